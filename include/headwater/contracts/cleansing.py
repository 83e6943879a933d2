"""Cleansing: what becomes of a source's value before it is judged, as Spark SQL. Silver and the live tables share it.

Text is trimmed and an empty text becomes null; every value takes the contract's type; a column that bronze does not
have yet is null.
"""

from __future__ import annotations

from collections.abc import Collection

from headwater.contracts.model import Column
from headwater.contracts.types import Primitive

SPACE = r"' \t\r\n'"
"""What is cut off a text, as a SQL string."""


def cleansed(column: Column, present: Collection[str]) -> str:
    """The column's value, typed and named, from rows that have the columns `present`."""
    if column.name not in present:
        return f"{typed('null', column)} AS `{column.name}`"
    value = f"`{column.name}`"
    if column.type is Primitive.STRING:
        value = f"nullif(trim(BOTH {SPACE} FROM {value}), '')"
    return f"{typed(value, column)} AS `{column.name}`"


def typed(expression: str, column: Column) -> str:
    """The expression in the column's type."""
    return f"cast({expression} AS {spark_type(column)})"


def spark_type(column: Column) -> str:
    """The column's type in Spark SQL (a UUID is text there)."""
    return str(column.type).replace("uuid", "string")
