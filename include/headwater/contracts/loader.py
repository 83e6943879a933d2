"""Contracts from files: read, judge, and turn into the plain values of `model`.

A wrong contract raises `ContractError` (several faults: `ContractErrors`) with file, line and remedy; nothing is
loaded half.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from open_data_contract_standard.model import OpenDataContractStandard, SchemaObject, SchemaProperty
from open_data_contract_standard.model import Server as StandardServer

from headwater.contracts.checks import check_errors
from headwater.contracts.conventions import TIME_UNITS, convention_errors, kind_of
from headwater.contracts.document import Document, read_document
from headwater.contracts.layers import ENVELOPE
from headwater.contracts.metrics import PROPERTY, metrics_of
from headwater.contracts.model import (
    Answer,
    Column,
    Contracts,
    Dataset,
    Kind,
    PartitionField,
    RowRule,
    Spread,
    TableRule,
    WarehouseTable,
)
from headwater.contracts.references import reference_errors
from headwater.contracts.rules import column_rules, custom_row_rules, implied_table_rules, table_rules
from headwater.contracts.standard import standard_errors
from headwater.contracts.types import Primitive, parse_type
from headwater.errors import ContractError
from headwater.settings import get_settings

DEFAULT_RETENTION_DAYS = {"bronze": 90, "silver": 730, "gold": 2557}
"""Days that rows are kept where a contract does not say."""

_NEWEST = {
    Kind.STREAM: ("event_timestamp", "_kafka_offset"),
    Kind.TABLE: ("_ingested_at",),
    Kind.CAPTURE: (),
    Kind.FILES: ("_ingested_at",),
    Kind.MODEL: (),
}
EARLIEST_EVENT = "2000-01-01T00:00:00Z"
DEFAULT_CLOCK_SKEW = 86_400
"""Seconds by which an event may lie ahead of its arrival where a contract does not say: none from 2099."""
DEFAULT_WATERMARK = 3_600
"""Seconds by which an event may lie behind the newest one before it counts as late, where a contract does not say."""


class ContractErrors(ContractError):
    """Several faults of one or more contracts; `errors` has them one by one."""

    def __init__(self, errors: list[ContractError]) -> None:
        self.errors = errors
        super().__init__("\n".join(str(e) for e in errors))


def load_contracts(directory: Path | None = None) -> Contracts:
    """All contracts of `<directory>/<domain>/*.yaml` (by default the project's), judged alone and together.

    Raises `ContractErrors` with every fault of every file.
    """
    directory = directory or get_settings().contracts_dir
    datasets: dict[str, Dataset] = {}
    errors: list[ContractError] = []
    for path in sorted(directory.glob("*/*.yaml")):
        try:
            dataset = load_file(path)
        except ContractErrors as several:
            errors += several.errors
            continue
        except ContractError as error:
            errors.append(error)
            continue
        if dataset.name in datasets:
            other = datasets[dataset.name].path
            errors.append(
                ContractError(f"dataset {dataset.name} is also in {other}", where=str(path), remedy="rename one")
            )
        datasets[dataset.name] = dataset
    if not errors:
        errors = [e for d in datasets.values() for e in reference_errors(d, datasets)]
    raise_errors(errors)
    return Contracts(datasets)


def load_dataset(path_or_name: Path | str) -> Dataset:
    """One dataset: from a file, or by name from the project's contracts. Raises `ContractError`."""
    if isinstance(path_or_name, Path) or str(path_or_name).endswith(".yaml"):
        return load_file(Path(path_or_name))
    name, folder = str(path_or_name), get_settings().contracts_dir
    if found := sorted(folder.glob(f"*/{name}.yaml")):
        return load_file(found[0])
    return load_contracts(folder).get(name)


def load_file(path: Path) -> Dataset:
    """The dataset that this file declares. Raises `ContractErrors` with every fault of the file."""
    path = path.resolve()
    return _load(path, path.stat().st_mtime_ns if path.exists() else 0)


@cache
def _load(path: Path, _modified: int) -> Dataset:
    document = read_document(path)
    for judge in (standard_errors, convention_errors, check_errors):
        raise_errors(judge(document))
    return _build(document)


def raise_errors(errors: Iterable[ContractError]) -> None:
    """Raise these faults, sorted by place, if there are any."""
    if found := sorted(set(errors), key=lambda e: _place(e.where)):
        raise ContractErrors(found) if len(found) > 1 else found[0]


def _place(where: str) -> tuple[str, int]:
    file, _, line = where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (where, 0)


def _custom(holder: Any) -> dict[str, Any]:
    return {item.property: item.value for item in holder.customProperties or []}


def _build(document: Document) -> Dataset:
    contract = OpenDataContractStandard.model_validate(document.data)
    schema = (contract.schema_ or [])[0]
    kind, custom = kind_of(document), _custom(schema)
    columns = _columns(schema, kind)
    key = tuple(c.name for c in columns if c.primary_key)
    servers = {s.database: s for s in contract.servers or [] if s.type == "clickhouse"}
    description = contract.description
    return Dataset(
        name=str(schema.name),
        domain=str(contract.domain),
        kind=kind,
        version=str(contract.version),
        description=str(description.purpose if description else ""),
        owner=str(getattr(contract.team, "name", "")),
        columns=columns,
        path=document.path,
        business_name=schema.businessName or contract.name or "",
        source_name=_source_name(contract, schema, kind),
        message_key=custom.get("messageKey"),
        event_type=custom.get("eventType"),
        source_system=custom.get("sourceSystem", ""),
        event_time="event_timestamp" if kind is Kind.STREAM else None,
        order_by_newest=tuple(custom.get("orderByNewest", _NEWEST[kind])),
        history=custom.get("history", False),
        partition_by=_partitions(schema),
        sort_by=tuple(custom.get("sortBy", ())),
        row_rules=_row_rules(schema, kind, _seconds(contract, "clockSkew") or DEFAULT_CLOCK_SKEW),
        table_rules=_table_rules(schema, key, kind),
        warehouse=_warehouse(servers.get("gold")),
        live=_warehouse(servers.get("live")),
        spread={name: Spread(how) for name, how in custom.get("spread", {}).items()},
        change_column=custom.get("changeColumn"),
        freshness_seconds=_seconds(contract, "freshness"),
        latency_seconds=_seconds(contract, "latency"),
        watermark_seconds=(_seconds(contract, "watermark") or DEFAULT_WATERMARK) if kind is Kind.STREAM else None,
        roles=tuple(str(r.role) for r in contract.roles or []),
        tags=tuple(contract.tags or ()),
        retention_days=_retention(contract, kind),
        metrics=metrics_of(str(schema.name), custom.get(PROPERTY, [])),
        when_stale=Answer(custom.get("answerWhen", {}).get("stale", Answer.WARN)),
        when_failing=Answer(custom.get("answerWhen", {}).get("failing", Answer.WARN)),
    )


def _columns(schema: SchemaObject, kind: Kind) -> tuple[Column, ...]:
    own = {c.name: c for c in map(_column, schema.properties or [])}
    envelope = ENVELOPE if kind is Kind.STREAM else ()
    first = [own.pop(c.name, c) for c in envelope]
    return (*first, *own.values())


def _column(declared: SchemaProperty) -> Column:
    custom = _custom(declared)
    references = [str(r.to) for r in declared.relationships or []]
    return Column(
        name=str(declared.name),
        type=parse_type(str(declared.physicalType)),
        description=declared.description or "",
        required=bool(declared.required),
        unique=bool(declared.unique),
        primary_key=bool(declared.primaryKey),
        classification=declared.classification or "internal",
        enum=tuple(str(v.value) for v in declared.enum or []),
        references=references[0] if references else None,
        derived=declared.transformLogic,
        sources=tuple(declared.transformSourceObjects or ()),
        low_cardinality=custom.get("lowCardinality", False),
        codec=custom.get("codec"),
        source_name=declared.physicalName,
    )


def _source_name(contract: OpenDataContractStandard, schema: SchemaObject, kind: Kind) -> str:
    if kind is Kind.FILES:
        return next(str(s.path) for s in contract.servers or [] if s.type == "local")
    return schema.physicalName or ""


def _partitions(schema: SchemaObject) -> tuple[PartitionField, ...]:
    parts = sorted((c for c in schema.properties or [] if c.partitioned), key=lambda c: c.partitionKeyPosition or 0)
    return tuple(PartitionField(str(c.name), _custom(c).get("partitionTransform", "identity")) for c in parts)


def _row_rules(schema: SchemaObject, kind: Kind, skew: int) -> tuple[RowRule, ...]:
    declared = list(schema.properties or [])
    if kind is Kind.STREAM:
        own = {c.name for c in declared}
        declared = [_envelope_property(c, skew) for c in ENVELOPE if c.name not in own] + declared
    found = [rule for c in declared for rule in (*column_rules(c), *custom_row_rules(c.quality, c.name))]
    return (*found, *custom_row_rules(schema.quality))


def _envelope_property(column: Column, skew: int) -> SchemaProperty:
    """A field of the envelope that the contract does not declare; of the event's time both ends are bounded."""
    options = {"minimum": EARLIEST_EVENT, "maximum": f"_ingested_at + {_period(skew)}"}
    return SchemaProperty(
        name=column.name,
        physicalType=str(column.type),
        logicalType="timestamp" if column.type is Primitive.TIMESTAMP else "string",
        required=column.required,
        logicalTypeOptions=options if column.name == "event_timestamp" else None,
    )


def _period(seconds: int) -> str:
    """ISO 8601, as `rules` reads it."""
    if seconds % 86_400 == 0:
        return f"P{seconds // 86_400}D"
    return f"PT{seconds // 3_600}H" if seconds % 3_600 == 0 else f"PT{seconds}S"


def _table_rules(schema: SchemaObject, key: tuple[str, ...], kind: Kind) -> tuple[TableRule, ...]:
    found = list(implied_table_rules(schema, key, kind is Kind.MODEL))
    for column in schema.properties or []:
        found += table_rules(column.quality, str(column.name))
    return (*found, *table_rules(schema.quality))


def _warehouse(server: StandardServer | None) -> WarehouseTable | None:
    if server is None:
        return None
    custom = _custom(server)
    return WarehouseTable(
        database=str(server.database),
        engine=custom.get("engine", "MergeTree"),
        order_by=tuple(custom["orderBy"]),
        partition_by=custom.get("partitionBy"),
        ttl_days=custom.get("ttlDays"),
    )


def _seconds(contract: OpenDataContractStandard, name: str) -> int | None:
    for sla in contract.slaProperties or []:
        if sla.property == name:
            return int(float(str(sla.value)) * TIME_UNITS[str(sla.unit)])
    return None


def _retention(contract: OpenDataContractStandard, kind: Kind) -> dict[str, int]:
    layers = ("gold",) if kind is Kind.MODEL else ("bronze", "silver")
    days = {layer: DEFAULT_RETENTION_DAYS[layer] for layer in layers}
    for sla in contract.slaProperties or []:
        if sla.property == "retention":
            days[str(sla.element)] = int(float(str(sla.value)) * TIME_UNITS[str(sla.unit)]) // 86_400
    return days
