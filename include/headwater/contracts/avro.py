"""Avro: the schema of a stream's records."""

from __future__ import annotations

from typing import Any

from headwater.contracts.model import Column, Dataset, Kind
from headwater.contracts.types import Array, DataType, Decimal, Map, Primitive
from headwater.errors import ContractError

PRIMITIVES: dict[Primitive, str | dict[str, str]] = {
    Primitive.STRING: "string",
    Primitive.BOOLEAN: "boolean",
    Primitive.INT: "int",
    Primitive.LONG: "long",
    Primitive.FLOAT: "float",
    Primitive.DOUBLE: "double",
    Primitive.DATE: {"type": "int", "logicalType": "date"},
    Primitive.TIMESTAMP: {"type": "long", "logicalType": "timestamp-micros"},
    Primitive.UUID: {"type": "string", "logicalType": "uuid"},
    Primitive.BINARY: "bytes",
}
NAMESPACE = "headwater"

AvroSchema = dict[str, Any]


def avro_schema(dataset: Dataset) -> AvroSchema:
    """The record schema of a stream: envelope and own source columns; optional ones are nullable and default to null.

    Raises `ContractError` for a dataset that is no stream.
    """
    if dataset.kind is not Kind.STREAM:
        raise ContractError(f"dataset {dataset.name} is a {dataset.kind}, not a stream", where=str(dataset.path))
    return {
        "type": "record",
        "name": "".join(part.capitalize() for part in dataset.name.split("_")),
        "namespace": f"{NAMESPACE}.{dataset.domain}",
        "doc": dataset.description,
        "fields": [_field(c) for c in dataset.source_columns],
    }


def avro_type(kind: DataType) -> Any:
    """A contract's type in Avro; elements and values of collections are nullable."""
    match kind:
        case Decimal(precision, scale):
            return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
        case Array(element):
            return {"type": "array", "items": ["null", avro_type(element)]}
        case Map(value):
            return {"type": "map", "values": ["null", avro_type(value)]}
        case _:
            return PRIMITIVES[kind]


def _field(column: Column) -> dict[str, Any]:
    field: dict[str, Any] = {"name": column.name}
    field["type"] = avro_type(column.type) if column.required else ["null", avro_type(column.type)]
    if not column.required:
        field["default"] = None
    if column.description:
        field["doc"] = column.description
    return field
