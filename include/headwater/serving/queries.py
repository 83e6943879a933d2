"""The parser: is this one SELECT over datasets that only computes? And which datasets does its answer rest on?

The engine is the guard: a query runs as the asker's user, which reads the views of its role and nothing else, within
limits that the server sets. This is the second guard. It judges by allowlists (how text may be written, functions,
clauses, tables), and what it judged is what runs: comments are cut out, and text that two lexers might read in two
ways is refused.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.tokens import Token, TokenType  # type: ignore[attr-defined]

from headwater.errors import TerminalError
from headwater.serving.allowed import may_call
from headwater.serving.clauses import ALLOWED_CLAUSES
from headwater.warehouse.embedded.statements import quote_name

# It writes statements that it does not know to the log, with whatever is in them.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

DIALECT = "clickhouse"
ALLOWED_DATABASES = frozenset({"gold", "live"})
METRIC_PREFIX = "metric_"
"""With what the names of the other views in a role's database begin: those of `semantics.views`."""
LONGEST = 20_000
"""Characters of a statement."""

_GAP = re.compile(r"[ \t\r\n]*")
_COMMENTS = re.compile(r"(?:[ \t\r\n]+|(?:--|\#[! ])[^\n]*(?:\n|\Z)|/\*(?:(?!/\*).)*?\*/)*", re.S)
"""What may stand between two tokens: a comment in a comment ends in one place here and in another there."""
_TEXT = re.compile(r"'(?:[^'\\]|\\.|'')*'", re.S)
_QUOTED = re.compile(r'`[^`\\\s][^`\\]*`|"[^"\\\s][^"\\]*"')
_PLAIN = re.compile(
    r"[A-Za-z_]\w*(?:[ \t\r\n]+\w+)*|[0-9][\w.]*(?:(?<=[eE])[+-]\d+)?|[-+*/%(){}\[\],.;:<>=!|?&^]+", re.A
)
_NAMES = (TokenType.VAR, TokenType.IDENTIFIER)
_REFUSED_WORDS = frozenset({"settings", "outfile", "infile", "apply", "into", "format"})


class QueryRefused(TerminalError):
    """The statement is not one bounded SELECT over the datasets."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A statement that may run: its text without comments, the tables it reads, whether it says in which order."""

    text: str
    tables: tuple[str, ...]  # <database>.<dataset>
    ordered: bool


def tables_of(sql: str, datasets: Collection[str] = ()) -> list[str]:
    """The tables a SELECT reads, as `database.table`. Raises `QueryRefused` as `judge` does."""
    return list(judge(sql, datasets).tables)


def judge(sql: str, datasets: Collection[str] = ()) -> Judged:
    """The statement, judged. Raises `QueryRefused` for anything but one SELECT over gold and live tables.

    A bare name is a WITH's. Outside of that WITH it would be a view of the role, so none is named like one of the
    role's `datasets`, or like a view of a metric. A parameter is a value, never a name.
    """
    if len(sql) > LONGEST:
        raise QueryRefused(f"a statement has at most {LONGEST:,} characters", remedy="shorten it")
    return _judge(sql, frozenset(datasets))


@lru_cache(maxsize=1024)
def _judge(sql: str, datasets: frozenset[str]) -> Judged:
    text = "".join(_written(sql, _tokens(sql))).strip().rstrip(";").rstrip()
    try:
        statements = [s for s in sqlglot.parse(text, read=DIALECT) if s is not None]
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise QueryRefused(f"this is not SQL that is read here: {first}", remedy="send one SELECT") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise QueryRefused("only one SELECT is answered", remedy="send one statement that begins with SELECT or WITH")
    statement = statements[0]
    _refuse_clauses(statement)
    tables = tuple(sorted(_tables(statement, datasets)))
    # ORDER BY behind a UNION orders the last SELECT alone.
    return Judged(text, tables, isinstance(statement, exp.Select) and statement.args.get("order") is not None)


def _tokens(sql: str) -> list[Token]:
    try:
        return sqlglot.tokenize(sql, read=DIALECT)
    except sqlglot.errors.SqlglotError as error:
        raise QueryRefused("this is not SQL that is read here", remedy="send one SELECT") from error


def _written(sql: str, tokens: list[Token]) -> Iterator[str]:
    """The text, token by token, each written as any lexer reads it; a space where comments were."""
    end = 0
    for index, token in enumerate(tokens):
        gap, text = sql[end : token.start], sql[token.start : token.end + 1]
        end = token.end + 1
        form = {TokenType.STRING: _TEXT, TokenType.IDENTIFIER: _QUOTED}.get(token.token_type, _PLAIN)
        if not form.fullmatch(text):
            raise QueryRefused(f"'{text[:40]}' is written in a way that is not read here", remedy="write it plainly")
        follows = tokens[index + 1].token_type if index + 1 < len(tokens) else None
        before = tokens[index - 1].token_type if index else None
        _judge_word(token, text, called=follows is TokenType.L_PAREN, column=before is TokenType.DOT)
        yield _between(gap)
        yield text
    _between(sql[end:])


def _between(gap: str) -> str:
    if not _COMMENTS.fullmatch(gap):
        raise QueryRefused("a comment is written in a way that is not read here", remedy="leave it out")
    return gap if _GAP.fullmatch(gap) else " "


def _judge_word(token: Token, text: str, *, called: bool, column: bool) -> None:
    """Refuse a word that changes limits or writes, and one before a parenthesis that is no allowed function."""
    if token.token_type is TokenType.STRING or not (text[0].isalpha() or text[0] in '_`"'):
        return
    for word in text.lower().split():
        if word in _REFUSED_WORDS and not column and not (called and word == "format"):
            raise QueryRefused(f"{word.upper()} is not for agents", remedy="leave that clause out")
    if called and not all(may_call(word) for word in text.split()):
        raise QueryRefused(f"function {text} is not allowed", remedy="docs/how-to/ask-with-an-agent.md has what is")


def _refuse_clauses(statement: exp.Query) -> None:
    """Raise `QueryRefused` for a clause that is not on the list, a name as a parameter, a table that hides in an IN."""
    for node in statement.walk():
        if not isinstance(node, exp.Func) and type(node).__name__ not in ALLOWED_CLAUSES:
            raise QueryRefused(
                f"{node.sql(DIALECT)[:60]} ({type(node).__name__}) is not allowed", remedy="leave it out"
            )
    for placeholder in statement.find_all(exp.Placeholder):
        if not isinstance(placeholder.args.get("kind"), exp.DataType):
            raise QueryRefused(f"{placeholder.sql(DIALECT)} is a name, not a value", remedy="write the name itself")
    for membership in statement.find_all(exp.In):
        members = [membership.args.get("field"), *membership.expressions]
        for member in members:
            if isinstance(member, exp.Table) or (isinstance(member, exp.Column) and not membership.expressions[1:]):
                raise QueryRefused(f"IN {member.sql(DIALECT)} hides a table", remedy="write IN (SELECT … FROM …)")


def _tables(statement: exp.Query, datasets: frozenset[str]) -> set[str]:
    ctes = {cte.alias for cte in statement.find_all(exp.CTE)}
    for name in sorted(ctes):
        if name in datasets or name.startswith(METRIC_PREFIX) or not name.isidentifier():
            raise QueryRefused(f"WITH may not name anything '{name}'", remedy="choose a name that no view has")
    tables = set()
    for table in statement.find_all(exp.Table):
        if isinstance(table.this, exp.Func | exp.Anonymous):
            raise QueryRefused(
                f"table function {table.this.sql(DIALECT)} is not allowed", remedy="read from gold or live tables"
            )
        if not all(isinstance(part, exp.Identifier) for part in table.parts):
            raise not_a_dataset(table.sql(DIALECT))
        if not table.db and table.name in ctes:
            continue
        if table.db not in ALLOWED_DATABASES or table.catalog:
            raise not_a_dataset(table.sql(DIALECT))
        tables.add(f"{table.db}.{table.name}")
    return tables


def not_a_dataset(table: str) -> QueryRefused:
    """The same for one that is not there and for one that the asker may not see."""
    return QueryRefused(
        f"table {table} is not a dataset",
        remedy="name it with its database, as list_datasets shows it: gold.<dataset> or live.<dataset>",
    )


def in_role(sql: str, database: str, tables: Collection[str]) -> str:
    """The statement over the role's views: of its `tables`, `gold.<dataset>` becomes `<database>.<dataset>`.

    Only the names are exchanged, token by token; whether they may be read is the engine's to say. Other names stay:
    `live` may be an alias, and `live.quantity` a column.
    """
    return _in_role(sql, database, frozenset(tables))


@lru_cache(maxsize=1024)
def _in_role(sql: str, database: str, tables: frozenset[str]) -> str:
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
