"""The platform's own rules on a contract that already is a valid document of the standard.

Each check takes the document and yields errors with line and remedy. Checks across contracts are in `loader`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from headwater.contracts.document import Document, NodePath
from headwater.contracts.layers import ENVELOPE, HISTORY
from headwater.contracts.model import Kind, Severity, Spread
from headwater.contracts.standard import columns
from headwater.contracts.types import Array, Decimal, Map, Primitive, parse_type
from headwater.errors import ContractError

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
QUALIFIED = re.compile(r"[^.\s]+\.[^.\s]+")
SEMVER = re.compile(r"\d+\.\d+\.\d+")
TIME_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "y": 365 * 86_400}
"""Seconds of the units that slaProperties may use."""

SLA_PROPERTIES = {"freshness", "latency", "retention"}
STREAM_SLA_PROPERTIES = {"clockSkew", "watermark"}
"""How far in the future an event may lie, and how far behind the newest one it may come without being late."""
RETENTION_ELEMENTS = {"bronze", "silver", "gold", "snapshots"}
CLASSIFICATIONS = {"public", "internal", "confidential", "restricted"}
PARTITION_TRANSFORMS = {"identity", "day", "month", "year"}

KIND_OF = {"topic": Kind.STREAM, "table": Kind.TABLE, "file": Kind.FILES, "model": Kind.MODEL}
"""What the `physicalType` of the dataset says about where it comes from."""

SOURCE_SERVERS = {
    Kind.STREAM: ("kafka",),
    Kind.TABLE: ("postgres",),
    Kind.CAPTURE: ("postgres", "kafka"),
    Kind.FILES: ("local",),
    Kind.MODEL: (),
}
"""Servers a dataset comes from, exactly one of each type. A table that also names a broker is captured from the log."""
WAREHOUSE_DATABASE = {Kind.STREAM: "live", Kind.MODEL: "gold"}
_ADDRESS = re.compile(r"\$\{HEADWATER_[A-Z_]+\}")

REQUIRED_PROPERTIES: dict[Kind, set[str]] = {
    Kind.STREAM: {"sourceSystem", "messageKey", "eventType"},
    Kind.TABLE: {"sourceSystem"},
    Kind.CAPTURE: {"sourceSystem"},
    Kind.FILES: {"sourceSystem"},
    Kind.MODEL: {"spread"},
}
ALLOWED_PROPERTIES: dict[Kind, set[str]] = {
    Kind.STREAM: REQUIRED_PROPERTIES[Kind.STREAM] | {"orderByNewest", "history", "sortBy", "answerWhen"},
    Kind.TABLE: {"sourceSystem", "orderByNewest", "history", "sortBy"},
    Kind.CAPTURE: {"sourceSystem", "history", "sortBy"},  # the log itself says which change is the newest
    Kind.FILES: {"sourceSystem", "orderByNewest", "sortBy"},
    Kind.MODEL: {"spread", "changeColumn", "sortBy", "metrics", "answerWhen"},
}
LOGICAL_TYPES: dict[Primitive, str] = {
    Primitive.STRING: "string",
    Primitive.BOOLEAN: "boolean",
    Primitive.INT: "integer",
    Primitive.LONG: "integer",
    Primitive.FLOAT: "number",
    Primitive.DOUBLE: "number",
    Primitive.DATE: "date",
    Primitive.TIMESTAMP: "timestamp",
    Primitive.UUID: "string",
    Primitive.BINARY: "string",
}

Errors = Iterator[ContractError]


def convention_errors(document: Document) -> list[ContractError]:
    """What the platform's rules object to, by line; empty where nothing."""
    if len(document.data.get("schema") or []) != 1:
        return [document.error(("schema",), "a contract declares one dataset", "give `schema` exactly one entry")]
    if problems := list(_header(document)):
        return problems
    found: list[ContractError] = []
    for check in _CHECKS:
        found.extend(check(document))
    return found


def schema_of(document: Document) -> dict[str, Any]:
    """The one schema object of the contract."""
    schema: dict[str, Any] = document.data["schema"][0]
    return schema


def custom(holder: dict[str, Any]) -> dict[str, Any]:
    """The customProperties of a part as a mapping."""
    return {item["property"]: item["value"] for item in holder.get("customProperties") or []}


def _header(document: Document) -> Errors:
    data, schema = document.data, schema_of(document)
    name = schema["name"]
    folder, stem = document.path.parent.name, document.path.stem
    if not NAME.fullmatch(name) or name != stem:
        remedy = "lower case letters, digits and _, the same in both"
        yield document.error(("schema", 0, "name"), f"the dataset is named '{name}' and its file '{stem}'", remedy)
    if data.get("domain") != folder:
        yield document.error(
            ("domain",), f"domain is '{data.get('domain')}' and the folder '{folder}'", "make them one"
        )
    if data["id"] != f"{folder}.{name}":
        yield document.error(("id",), f"id is '{data['id']}'", f"write `id: {folder}.{name}`")
    if not SEMVER.fullmatch(data["version"]):
        yield document.error(("version",), f"version '{data['version']}' is not major.minor.patch", "e.g. 1.0.0")
    if not (data.get("description") or {}).get("purpose"):
        yield document.error(("description",), "description.purpose is missing", "say in a sentence what the data are")
    if not isinstance(data.get("team"), dict) or not data["team"].get("name"):
        yield document.error(("team",), "team.name is missing", "name the owner")
    if schema.get("physicalType") not in KIND_OF:
        at = ("schema", 0, "physicalType")
        yield document.error(
            at, f"physicalType '{schema.get('physicalType')}' of a dataset", f"one of {', '.join(KIND_OF)}"
        )
    if not schema.get("properties"):
        yield document.error(("schema", 0), "the dataset has no columns", "list them under `properties`")


def kind_of(document: Document) -> Kind:
    """Where the dataset comes from: a table with a broker beside its database is captured from the database's log."""
    kind = KIND_OF[schema_of(document)["physicalType"]]
    on_kafka = any(server["type"] == "kafka" for server in document.data.get("servers") or [])
    return Kind.CAPTURE if kind is Kind.TABLE and on_kafka else kind


def _servers(document: Document) -> Errors:
    kind, servers = kind_of(document), document.data.get("servers") or []
    for source in SOURCE_SERVERS[kind]:
        if sum(s["type"] == source for s in servers) != 1:
            yield document.error(("servers",), f"a {kind} has exactly one server of type {source}", "declare it")
    for i, server in enumerate(servers):
        at: NodePath = ("servers", i)
        if server["type"] not in {*SOURCE_SERVERS[kind], "clickhouse"}:
            yield document.error((*at, "type"), f"a {kind} has no server of type {server['type']}", "remove it")
            continue
        for key in ("host", "port"):
            if key in server and not _ADDRESS.fullmatch(str(server[key])):
                remedy = "addresses come from the settings: write ${HEADWATER_…}"
                yield document.error((*at, key), f"{key} '{server[key]}' is an address", remedy)
        if server["type"] == "clickhouse":
            yield from _warehouse(document, at, server, kind)


def _warehouse(document: Document, at: NodePath, server: dict[str, Any], kind: Kind) -> Errors:
    expected = WAREHOUSE_DATABASE.get(kind)
    if server["database"] != expected:
        what = f"a {kind} has no ClickHouse table in database '{server['database']}'"
        yield document.error((*at, "database"), what, f"it can be in '{expected}'" if expected else "remove the server")
    names = column_names(document)
    order_by = custom(server).get("orderBy") or []
    if not order_by:
        yield document.error(at, "a ClickHouse table has no orderBy", "add customProperties orderBy: the sorting key")
    for name in order_by:
        if name not in names:
            yield document.error((*at, "customProperties"), f"orderBy: there is no column '{name}'", "name a column")


def _dataset_properties(document: Document) -> Errors:
    kind, given = kind_of(document), custom(schema_of(document))
    at: NodePath = ("schema", 0, "customProperties")
    for name in sorted(REQUIRED_PROPERTIES[kind] - set(given)):
        yield document.error(at, f"a {kind} needs the custom property '{name}'", "add it")
    for name in sorted(set(given) - ALLOWED_PROPERTIES[kind]):
        yield document.error(at, f"custom property '{name}' has no meaning for a {kind}", "remove it")
    named = [given[k] for k in ("messageKey", "changeColumn") if k in given] + given.get("orderByNewest", [])
    named += given.get("sortBy", [])
    for column in named:
        if column not in column_names(document):
            yield document.error(at, f"there is no column '{column}'", "name a column of the dataset")
    for spread in given.get("spread", {}).values():
        if spread not in set(Spread):
            yield document.error(at, f"spread '{spread}'", f"one of {', '.join(Spread)}")
    if set(given.get("spread", {}).values()) & {Spread.SAME, Spread.FROM_DATE} and "changeColumn" not in given:
        yield document.error(at, "spread by date needs the custom property 'changeColumn'", "name the date column")
    yield from _physical_name(document, kind)


def _physical_name(document: Document, kind: Kind) -> Errors:
    name = schema_of(document).get("physicalName")
    if kind in (Kind.STREAM, Kind.TABLE, Kind.CAPTURE) and not name:
        what = "topic" if kind is Kind.STREAM else "table in Postgres, schema.table"
        yield document.error(("schema", 0), "physicalName is missing", f"name the {what}")
    elif kind is Kind.CAPTURE and not QUALIFIED.fullmatch(str(name)):
        at: NodePath = ("schema", 0, "physicalName")
        yield document.error(at, f"physicalName '{name}' of a capture", "write schema.table, as Postgres has it")


def column_names(document: Document) -> set[str]:
    """Names of the columns that options may name: own ones, and for a stream the envelope and `_ingested_at`."""
    own = {column["name"] for _, column in columns(document)}
    return own | {c.name for c in ENVELOPE} | {"_ingested_at"} if kind_of(document) is Kind.STREAM else own


def _keys(document: Document) -> Errors:
    keys = [(at, c) for at, c in columns(document) if c.get("primaryKey")]
    if not keys:
        yield document.error(
            ("schema", 0), "the dataset has no primary key", "mark its columns with `primaryKey: true`"
        )
    positions = [c.get("primaryKeyPosition", -1) for _, c in keys]
    if keys and positions != list(range(1, len(keys) + 1)):
        yield document.error(
            keys[0][0], "primaryKeyPosition must count 1, 2, … in the order of the columns", f"found {positions}"
        )
    for at, column in keys:
        if not column.get("required") and not column.get("transformLogic"):
            yield document.error(at, f"key column '{column['name']}' is not required", "add `required: true`")


def _column(document: Document) -> Errors:
    seen: set[str] = set()
    kind = kind_of(document)
    history = {c.name for c in HISTORY} if custom(schema_of(document)).get("history") else set()
    envelope = {c.name: c for c in ENVELOPE} if kind is Kind.STREAM else {}
    for at, column in columns(document):
        name = column["name"]
        if not (NAME.fullmatch(name) or (kind is Kind.MODEL and name in {c.name for c in HISTORY})):
            yield document.error((*at, "name"), f"column name '{name}'", "use lower case letters, digits and _")
        if name in seen or name in history:
            yield document.error((*at, "name"), f"column '{name}' is there twice", "rename it; history adds its own")
        seen.add(name)
        yield from _column_type(document, at, column)
        yield from _column_source(document, at, column, kind)
        if name in envelope and str(column["physicalType"]) != str(envelope[name].type):
            yield document.error(at, f"'{name}' belongs to the envelope", f"its type is {envelope[name].type}")
        if kind is Kind.MODEL and column.get("transformLogic"):
            yield document.error((*at, "transformLogic"), "the SQL file of a model is its logic", "remove it here")
        if (classification := column.get("classification", "internal")) not in CLASSIFICATIONS:
            known = ", ".join(sorted(CLASSIFICATIONS))
            yield document.error(
                (*at, "classification"), f"unknown classification '{classification}'", f"one of {known}"
            )
        transform = custom(column).get("partitionTransform", "identity")
        if transform not in PARTITION_TRANSFORMS:
            known = ", ".join(sorted(PARTITION_TRANSFORMS))
            yield document.error(at, f"unknown partitionTransform '{transform}'", f"one of {known}")


def _column_source(document: Document, at: NodePath, column: dict[str, Any], kind: Kind) -> Errors:
    """`physicalName` of a column: only a capture follows a column that the source calls otherwise."""
    if not (name := column.get("physicalName")) or name == column["name"]:
        return
    place = (*at, "physicalName")
    if kind is not Kind.CAPTURE:
        yield document.error(place, f"physicalName of a column of a {kind} would be ignored", "remove it")
    elif column.get("transformLogic"):
        yield document.error(place, f"'{column['name']}' is derived: the source does not have it", "remove it")
    elif any(other.get("physicalName", other["name"]) == name for _, other in columns(document) if other is not column):
        yield document.error(place, f"two columns come from the source's '{name}'", "let one of them")


def _column_type(document: Document, at: NodePath, column: dict[str, Any]) -> Errors:
    try:
        kind = parse_type(column["physicalType"])
    except ContractError as error:
        yield document.error((*at, "physicalType"), error.what, error.remedy)
        return
    match kind:
        case Decimal():
            expected = "number"
        case Array():
            expected = "array"
        case Map():
            expected = "map"
        case _:
            expected = LOGICAL_TYPES[kind]
    if column["logicalType"] != expected:
        what = f"logicalType '{column['logicalType']}' of '{column['name']}' does not fit physicalType '{kind}'"
        yield document.error((*at, "logicalType"), what, f"write `logicalType: {expected}`")


def _sla(document: Document) -> Errors:
    known = SLA_PROPERTIES | (STREAM_SLA_PROPERTIES if kind_of(document) is Kind.STREAM else set())
    own = {column["name"] for _, column in columns(document)}
    for i, sla in enumerate(document.data.get("slaProperties") or []):
        at: NodePath = ("slaProperties", i)
        if sla["property"] not in known:
            yield document.error(at, f"unknown slaProperty '{sla['property']}'", f"one of {', '.join(sorted(known))}")
        elif sla.get("unit") not in TIME_UNITS or type(sla["value"]) not in (int, float) or sla["value"] <= 0:
            yield document.error(at, "value and unit are no duration", f"units are {', '.join(TIME_UNITS)}")
        elif sla["property"] == "retention" and sla.get("element") not in RETENTION_ELEMENTS:
            remedy = f"element is one of {', '.join(sorted(RETENTION_ELEMENTS))}"
            yield document.error(at, "retention of what?", remedy)
        elif sla["property"] == "clockSkew" and "event_timestamp" in own:
            remedy = "give that column the `maximum` instead"
            yield document.error(at, "clockSkew would be ignored: the contract declares event_timestamp itself", remedy)


def severity_is_known(check: dict[str, Any]) -> bool:
    """Whether the severity of a quality check is one of ours."""
    return check.get("severity", "error") in set(Severity)


_CHECKS: tuple[Callable[[Document], Errors], ...] = (_servers, _dataset_properties, _keys, _column, _sla)
