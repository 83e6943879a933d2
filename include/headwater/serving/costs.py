"""What a statement would read at most, from what ClickHouse knows of its tables; nothing of the statement is run.

ClickHouse's own estimate counts rows of the tables below the views, and evaluates constants on the way. So this is
an upper bound by size: all rows of each table, and the bytes of the columns that are named.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from headwater.policy.model import Role
from headwater.serving.evidence import Shown
from headwater.serving.queries import DIALECT, judge, not_a_dataset

_SIZES = (
    "SELECT name, data_uncompressed_bytes FROM system.columns WHERE database = {database:String} "
    "AND table = {name:String} UNION ALL SELECT '', total_bytes_uncompressed FROM system.tables "
    "WHERE database = {database:String} AND name = {name:String}"
)
"""A small part keeps its columns in one file, so their own sizes are not known; the table's is, under no name."""


@dataclass(frozen=True, slots=True)
class TableCost:
    """What one table adds; None where the role sees only some of its rows, and so is not told how many there are."""

    table: str
    rows_at_most: int | None
    bytes_at_most: int | None


@dataclass(frozen=True, slots=True)
class Cost:
    """An upper bound per table, and what an answer of this role may have."""

    tables: list[TableCost]
    answer_rows: int
    answer_bytes: int
    seconds: int
    advice: str


def estimate(shown: Shown, role: Role, sql: str) -> Cost:
    """The bound. Raises `QueryRefused` as running it would."""
    judged = judge(sql, role.views)
    views = {view.table: view for view in role.views.values()}
    named = {column.name for column in sqlglot.parse_one(judged.text, read=DIALECT).find_all(exp.Column)}
    # count(*) reads no column; any other star reads all.
    starred = [s for s in sqlglot.parse_one(judged.text, read=DIALECT).find_all(exp.Star) if s.parent_select]
    all_columns = any(not isinstance(star.parent, exp.Count) for star in starred)
    costs = []
    for table in judged.tables:
        if table not in views:
            raise not_a_dataset(table)
        if views[table].rows:
            costs.append(TableCost(table, None, None))
            continue
        database, _, name = table.partition(".")
        sizes = {column: int(size or 0) for column, size in shown.ask(_SIZES, {"database": database, "name": name})}
        whole = sizes.pop("", 0)
        spared = 0 if all_columns else sum(size for column, size in sizes.items() if column not in named)
        costs.append(TableCost(table, shown.rows().get(table), whole - spared))
    limits = role.limits
    advice = "filter by the date that partitions the table, name the columns you need, aggregate, and page the rest"
    return Cost(costs, limits.rows, limits.bytes, limits.seconds, advice)
