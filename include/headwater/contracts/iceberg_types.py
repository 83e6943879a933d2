"""A contract's columns and types as Iceberg's, and which of them Iceberg can read as another."""

from __future__ import annotations

from collections.abc import Iterable

from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    TimestamptzType,
)

from headwater.contracts.model import Column
from headwater.contracts.types import Array, DataType, Decimal, Map, Primitive

PRIMITIVES: dict[Primitive, IcebergType] = {
    Primitive.STRING: StringType(),
    Primitive.BOOLEAN: BooleanType(),
    Primitive.INT: IntegerType(),
    Primitive.LONG: LongType(),
    Primitive.FLOAT: FloatType(),
    Primitive.DOUBLE: DoubleType(),
    Primitive.DATE: DateType(),
    Primitive.TIMESTAMP: TimestamptzType(),
    # Spark has no UUID type of its own and cannot write Iceberg's.
    Primitive.UUID: StringType(),
    Primitive.BINARY: BinaryType(),
}


def iceberg_schema(columns: Iterable[Column]) -> Schema:
    """These columns as an Iceberg schema, ids in order."""
    ids = iter(range(1, 1_000_000))
    reserved = [(column, next(ids)) for column in columns]
    return Schema(
        *(
            NestedField(number, c.name, iceberg_type(c.type, ids), required=False, doc=c.description or None)
            for c, number in reserved
        )
    )


def iceberg_type(kind: DataType, ids: Iterable[int]) -> IcebergType:
    """A contract's type in Iceberg; `ids` gives nested fields theirs."""
    numbers = iter(ids)
    match kind:
        case Decimal(precision, scale):
            return DecimalType(precision, scale)
        case Array(element):
            return ListType(next(numbers), iceberg_type(element, numbers), element_required=False)
        case Map(value):
            key = next(numbers)
            return MapType(key, StringType(), next(numbers), iceberg_type(value, numbers), value_required=False)
        case _:
            return PRIMITIVES[kind]


def can_promote(old: IcebergType, new: IcebergType) -> bool:
    """Whether Iceberg (format 2) reads old files of one type as the other."""
    match old, new:
        case (IntegerType(), LongType()) | (FloatType(), DoubleType()):
            return True
        case DecimalType(), DecimalType():
            return old.scale == new.scale and old.precision <= new.precision
        case _:
            return str(old) == str(new)
