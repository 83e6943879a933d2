"""A bounded SELECT for an agent.

The engine is the guard: the query runs as the asker's user, which reads the views of its role and nothing else, within
limits that the server sets. The parser here is the second one, and finds out which datasets an answer rests on. What
can go wrong is said as a `QueryRefused` (the caller must change the statement) or comes from the engine as it is.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlglot
from clickhouse_connect.driver.client import Client
from sqlglot import exp
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

from headwater.errors import TerminalError
from headwater.policy.model import Role
from headwater.warehouse.embedded.statements import quote_name

DIALECT = "clickhouse"
ALLOWED_DATABASES = frozenset({"gold", "live"})
_NAMES = (TokenType.VAR, TokenType.IDENTIFIER)
MAX_ROWS = 1_000
MAX_CELL_CHARACTERS = 2_000
OUTSIDE_FUNCTIONS = (
    "file",
    "dict",
    "joinget",
    "catboost",
    "getsetting",
    "getmacro",
    "currentuser",
    "hostname",
    "sleep",
)


class QueryRefused(TerminalError):
    """The statement is not one bounded SELECT over the datasets."""


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """Rows of an answer: `rows` in the order of `columns`; `truncated` when there were more than asked for."""

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    truncated: bool
    tables: list[str]


def tables_of(sql: str, datasets: Collection[str] = ()) -> list[str]:
    """The tables a SELECT reads, as `database.table`. Raises `QueryRefused` for anything but one SELECT over them.

    A bare name is a WITH's. Outside of that WITH it would be a view of the role, so none is named like one of the
    role's `datasets`.
    """
    try:
        statements = [s for s in sqlglot.parse(sql, read=DIALECT) if s is not None]
    except sqlglot.errors.ParseError as error:
        raise QueryRefused(f"this is not SQL that ClickHouse reads: {error}", remedy="send one SELECT") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise QueryRefused("only one SELECT is answered", remedy="send one statement that begins with SELECT or WITH")
    statement = statements[0]
    if any(
        t.token_type is TokenType.IDENTIFIER and "\\" in sql[t.start : t.end] for t in sqlglot.tokenize(sql, DIALECT)
    ):
        raise QueryRefused("a quoted name has a backslash", remedy="write the name as it is")
    _refuse_clauses_and_functions(statement)
    ctes = {cte.alias for cte in statement.find_all(exp.CTE)}
    for name in sorted(ctes):
        if name in datasets or not name.isidentifier():
            raise QueryRefused(f"WITH may not name anything '{name}'", remedy="choose a name that no dataset has")
    tables = set()
    for table in statement.find_all(exp.Table):
        if isinstance(table.this, exp.Func | exp.Anonymous):
            raise QueryRefused(
                f"table function {table.this.sql(DIALECT)} is not allowed", remedy="read from gold or live tables"
            )
        if not table.db and table.name in ctes:
            continue
        if table.db not in ALLOWED_DATABASES:
            raise not_a_dataset(table.sql(DIALECT))
        tables.add(f"{table.db}.{table.name}")
    return sorted(tables)


def not_a_dataset(table: str) -> QueryRefused:
    """The same for one that is not there and for one that the asker may not see."""
    return QueryRefused(
        f"table {table} is not a dataset",
        remedy="name it with its database, as list_datasets shows it: gold.<dataset> or live.<dataset>",
    )


def _refuse_clauses_and_functions(statement: exp.Query) -> None:
    """Raise `QueryRefused` for clauses that change limits or write, and for functions that reach outside the tables."""
    for query in statement.find_all(exp.Query):
        if query.args.get("settings") or query.args.get("format") or query.args.get("into"):
            raise QueryRefused("INTO, SETTINGS and FORMAT are not for agents", remedy="leave that clause out")
    for function in statement.find_all(exp.Anonymous):
        if function.name.lower().startswith(OUTSIDE_FUNCTIONS):
            raise QueryRefused(f"function {function.name} reaches outside the tables", remedy="leave it out")
    for membership in statement.find_all(exp.In):
        if isinstance(field := membership.args.get("field"), exp.Column | exp.Table):
            raise QueryRefused(f"IN {field.sql(DIALECT)} hides a table", remedy="write IN (SELECT … FROM …)")


def in_role(sql: str, database: str, tables: Collection[str]) -> str:
    """The statement over the role's views: of its `tables`, `gold.<dataset>` becomes `<database>.<dataset>`.

    Only the names are exchanged, token by token; whether they may be read is the engine's to say. Other names stay:
    `live` may be an alias, and `live.quantity` a column.
    """
    tokens = sqlglot.tokenize(sql, read=DIALECT)
    parts, end = [], 0
    for index in range(len(tokens) - 2):
        first, dot, name = tokens[index : index + 3]
        follows = index > 0 and tokens[index - 1].token_type is TokenType.DOT
        if first.text in ALLOWED_DATABASES and dot.token_type is TokenType.DOT and not follows:
            if first.token_type not in _NAMES or first.start < end or f"{first.text}.{name.text}" not in tables:
                continue
            parts += [sql[end : first.start], f"{quote_name(database)}.{quote_name(name.text)}"]
            end = name.end + 1
    return "".join([*parts, sql[end:]])


def run_bounded(client: Client, sql: str, max_rows: int, role: Role) -> QueryAnswer:
    """Answer one SELECT with at most `max_rows` rows (1 to 1,000), as this role.

    Raises `QueryRefused` for a statement or a bound that is not allowed; ClickHouse's own errors pass through.
    """
    if not 1 <= max_rows <= MAX_ROWS:
        raise QueryRefused(f"max_rows is 1 to {MAX_ROWS:,}", remedy="page with LIMIT … OFFSET …, or aggregate")
    tables = tables_of(sql, role.views)
    seen = {view.table for view in role.views.values()}
    for table in tables:
        if table not in seen:
            raise not_a_dataset(table)
    own = in_role(sql, role.database, tables)
    bounded = f"SELECT * FROM (\n{own.strip().rstrip(';')}\n) LIMIT {max_rows + 1}"  # noqa: S608 - judged above
    result = client.query(bounded)  # time and memory are bounded by the reader's own limits on the server
    rows = [[_plain(value) for value in row] for row in result.result_rows[:max_rows]]
    return QueryAnswer(
        columns=list(result.column_names),
        types=[column_type.name for column_type in result.column_types],
        rows=rows,
        truncated=len(result.result_rows) > max_rows,
        tables=tables,
    )


def _plain(value: Any) -> Any:
    """A value as JSON has it. Decimals become strings, so that money keeps its cents."""
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, str) and len(value) > MAX_CELL_CHARACTERS:
        return f"{value[:MAX_CELL_CHARACTERS]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
