"""The predicate of rows: a small part of SQL over a table's columns and the asker's attributes.

Comparisons of a column with literals, IN, BETWEEN, IS NULL, LIKE, AND, OR, NOT, and `column IN user.<attribute>`. No
functions, no subqueries: each row is judged by itself. An attribute stands under AND and OR alone: under NOT,
whoever has none of it would see everything.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlglot
from sqlglot import exp

from headwater.contracts.model import Column
from headwater.contracts.types import Primitive
from headwater.errors import ContractError
from headwater.policy.model import ATTRIBUTES_SETTING, Attribute

USER = "user"
_ALLOWED = (
    exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between,
    exp.Is, exp.Null, exp.Like, exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Neg, exp.Cast, exp.DataType,
    exp.Date,
)  # fmt: skip
_ATTRIBUTE_TYPES = {"long": (Primitive.INT, Primitive.LONG), "string": (Primitive.STRING, Primitive.UUID)}
_ARRAYS = {"long": "Array(Int64)", "string": "Array(String)"}


def parse(text: str, columns: Mapping[str, Column], attributes: Mapping[str, Attribute]) -> exp.Expr:
    """The predicate, judged. Raises `ContractError` with what is wrong and the remedy, without place."""
    try:
        parsed = sqlglot.parse_one(text)
    except sqlglot.errors.SqlglotError as error:
        first = str(error).splitlines()[0]
        raise ContractError(f"the predicate is no SQL: {first}", remedy="write one condition") from error
    for node in parsed.walk():
        if not isinstance(node, _ALLOWED):
            raise ContractError(
                f"{type(node).__name__} may not stand in a predicate: {node.sql()}",
                remedy="use =, <>, <, >, IN, BETWEEN, LIKE, IS NULL, AND, OR, NOT over columns and user.<attribute>",
            )
    if not parsed.find(exp.Column):
        raise ContractError("the predicate names no column", remedy="leave `rows` out, or name one")
    for column in parsed.find_all(exp.Column):
        _judge_column(column, columns, attributes)
    return parsed


def _judge_column(column: exp.Column, columns: Mapping[str, Column], attributes: Mapping[str, Attribute]) -> None:
    if column.table != USER:
        if column.table or column.name not in columns:
            raise ContractError(f"there is no column '{column.sql()}'", remedy=f"known are: {', '.join(columns)}")
        return
    if column.name not in attributes:
        known = ", ".join(attributes) or "none"
        raise ContractError(f"there is no attribute '{column.name}'", remedy=f"declared are: {known}")
    membership = column.parent
    if not isinstance(membership, exp.In) or membership.args.get("field") is not column:
        raise ContractError(f"{column.sql()} is a list", remedy=f"write <column> IN {column.sql()}")
    if not isinstance(membership.this, exp.Column) or membership.this.table:
        raise ContractError(f"only a column can be IN {column.sql()}", remedy="put a column before IN")
    above = membership.parent
    while above is not None:
        if not isinstance(above, exp.And | exp.Or | exp.Paren):
            raise ContractError(
                f"{column.sql()} stands under {type(above).__name__.upper()}: without values it would show every row",
                remedy="say what is seen, not what is not, with AND, OR and parentheses only",
            )
        above = above.parent
    kind = attributes[column.name].type
    if membership.this.name in columns and columns[membership.this.name].type not in _ATTRIBUTE_TYPES[kind]:
        raise ContractError(
            f"'{membership.this.name}' is {columns[membership.this.name].type}, the attribute {kind}",
            remedy="compare what has one type",
        )


def clickhouse_sql(parsed: exp.Expr, attributes: Mapping[str, Attribute]) -> str:
    """The predicate for ClickHouse. `has` with a list that is constant is used by the primary key."""

    def replace(node: exp.Expr) -> exp.Expr:
        field = node.args.get("field") if isinstance(node, exp.In) else None
        if field is None:
            return node
        kind = _ARRAYS[attributes[field.name].type]
        values = f"JSONExtract(getSetting('{ATTRIBUTES_SETTING}'), '{field.name}', '{kind}')"
        return sqlglot.parse_one(f"has({values}, {node.this.name})", read="clickhouse")

    return parsed.copy().transform(replace).sql(dialect="clickhouse")
