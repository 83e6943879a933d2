"""Every verdict is held against fastavro: what we call readable is read, and what Avro cannot read is refused."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest

from headwater.contracts.compatibility import read_problems, without_docs


def _record(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "R", "namespace": "n", "fields": list(fields)}


def _field(kind: Any, **more: Any) -> dict[str, Any]:
    return _record({"name": "f", "type": kind, **more})


def _money(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


OPTIONAL: dict[str, Any] = {"name": "g", "type": ["null", "long"], "default": None}
DATE = {"type": "int", "logicalType": "date"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}

# writer, reader, a value of the writer's field
READABLE = {
    "the same": (_field("long"), _field("long"), 1),
    "int to long": (_field("int"), _field("long"), 1),
    "float to double": (_field("float"), _field("double"), 0.5),
    "more digits": (_field(_money(10, 2)), _field(_money(12, 2)), None),
    "required becomes optional": (_field("long"), _field(["null", "long"], default=None), 1),
    "optional and promoted": (_field(["null", "int"], default=None), _field(["null", "long"], default=None), 1),
    "a new optional field": (_field("long"), _record({"name": "f", "type": "long"}, OPTIONAL), 1),
    "a dropped field": (_record({"name": "f", "type": "long"}, OPTIONAL), _field("long"), 1),
    "elements": (_field({"type": "array", "items": "int"}), _field({"type": "array", "items": ["null", "long"]}), [1]),
    "values": (_field({"type": "map", "values": "int"}), _field({"type": "map", "values": "long"}), {"a": 1}),
}
UNREADABLE = {
    "a new required field": (_field("long"), _record({"name": "f", "type": "long"}, {"name": "g", "type": "long"}), 1),
    "optional becomes required": (_field(["null", "long"], default=None), _field("long"), None),
    "another type": (_field("long"), _field("boolean"), 1),
    "narrower": (_field("long"), _field("int"), 1),
    "elements of another type": (
        _field({"type": "array", "items": "string"}),
        _field({"type": "array", "items": "long"}),
        ["a"],
    ),
    "scalar to array": (_field("long"), _field({"type": "array", "items": "long"}), 1),
}
# Avro reads these, Iceberg or the meaning does not.
STRICTER = {
    "int to float": (_field("int"), _field("float"), "Iceberg cannot promote"),
    "long to double": (_field("long"), _field("double"), "Iceberg cannot promote"),
    "string to bytes": (_field("string"), _field("bytes"), "Iceberg cannot promote"),
    "another scale": (_field(_money(10, 2)), _field(_money(10, 4)), "Iceberg cannot promote"),
    "fewer digits": (_field(_money(10, 2)), _field(_money(8, 2)), "Iceberg cannot promote"),
    "a date becomes a number": (_field(DATE), _field("int"), "was date and is int"),
    "a number becomes a time": (_field("long"), _field(MICROS), "was long and is timestamp-micros"),
    "another name": (_field("long"), {**_field("long"), "name": "S"}, "was named n.R and is n.S"),
}


def _read(writer: dict[str, Any], reader: dict[str, Any], value: Any) -> Any:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, writer, {"f": value, "g": None})
    buffer.seek(0)
    return fastavro.schemaless_reader(buffer, writer, reader)


@pytest.mark.parametrize("case", READABLE)
def test_readable_by_us_and_by_fastavro(case: str) -> None:
    writer, reader, value = READABLE[case]
    assert read_problems(reader, writer) == []
    if value is not None:
        assert _read(writer, reader, value)["f"] == value


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_by_us_and_by_fastavro(case: str) -> None:
    writer, reader, value = UNREADABLE[case]
    assert read_problems(reader, writer)
    with pytest.raises((fastavro._read_common.SchemaResolutionError, TypeError, ValueError)):  # type: ignore[attr-defined]
        _read(writer, reader, value)


@pytest.mark.parametrize("case", STRICTER)
def test_refused_for_the_lake_though_avro_reads_it(case: str) -> None:
    writer, reader, message = STRICTER[case]
    assert message in "; ".join(read_problems(reader, writer))


def test_documentation_is_no_change() -> None:
    assert without_docs(_field("long", doc="a")) == without_docs(_field("long", doc="b"))
