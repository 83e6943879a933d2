"""`headwater cdc verify`: does silver say what the source table says?

Both sides count and hash their rows per range of keys, each in its own engine: Postgres in one pass over one state of
the table (a transaction that sees nothing later), DuckDB over silver's files. Only the rows of ranges that differ are
compared one by one, by their hashes.

The comparison means something once silver has what the source had then: the connector has confirmed the log up to that
place, bronze and silver the topic up to the end it had after that. The source goes on meanwhile, so silver may be
ahead. Therefore a difference counts when it is found twice, in the same form, at two states of the source; a row that
changed in between is looked at again, and told as unsettled if it never stands still.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from headwater.cdc.arrival import await_silver
from headwater.cdc.comparison import Compared, compared, identifier, postgres_hash, postgres_key
from headwater.cdc.connector import Capture, capture_of
from headwater.cdc.silver_rows import SilverRows
from headwater.cdc.source import connected
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Dataset
from headwater.errors import TerminalError
from headwater.settings import Settings

RANGE_ROWS = 10_000
"""Rows of the source in a range: few enough to be compared one by one, enough that ten million make a thousand."""
MOST_ROWS = 200_000
"""Rows that differ and are held; ranges beyond are counted only. Who finds so many needs a new snapshot, not names."""
ROUNDS = 4
"""A row that differs in another way each time so often is told as unsettled."""

Key = tuple[Any, ...]
Hashes = tuple[int | None, int | None]
"""The row's hash in the source and in silver; None where it is not there."""


@dataclass(frozen=True, slots=True)
class Range:
    """Rows of the source from the key `first` up to the next range's: how many, and the sum of their hashes."""

    first: Key
    rows: int
    sum: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. Keys are in the order of the contract's key; of each kind at most `limit` are named.

    `without` are columns that were not compared; `unsettled` rows that changed each time they were looked at.
    """

    dataset: str
    lsn: str
    source_rows: int
    silver_rows: int
    ranges: int
    ranges_differing: int
    counts: Mapping[str, int]
    keys: Mapping[str, Sequence[Mapping[str, str]]]
    without: Sequence[str]
    seconds: float
    unsettled: int = field(default=0)

    @property
    def equal(self) -> bool:
        """Whether no row differs."""
        return not any(self.counts.values())

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"equal": self.equal, **asdict(self)}


def verify(settings: Settings, name: str, *, wait: float, limit: int = 100, range_rows: int = RANGE_ROWS) -> Verified:
    """Compare a captured dataset with its source. `wait` 0 compares what is there now, once, and waits for nothing.

    Raises `RetryableError` where silver does not come up to the source within `wait` seconds, `ContractError` for a
    dataset that is not captured, `TerminalError` where its table is not there.
    """
    capture = capture_of(settings, load_contracts(settings.contracts_dir), [name])
    begun, deadline = time.monotonic(), time.monotonic() + wait
    check = _Check(settings, capture, capture.datasets[0], range_rows)
    found = check.round(deadline if wait else None, None)
    settled = found
    for _ in range(ROUNDS - 1):
        if not wait or not found:
            break
        again = check.round(time.monotonic() + wait, found)
        settled = {key: hashes for key, hashes in again.items() if found.get(key) == hashes}
        found = again
        if settled == found:
            break
    return check.verified(settled, len(found) - len(settled), limit, time.monotonic() - begun)


class _Check:
    """One comparison, in rounds."""

    def __init__(self, settings: Settings, capture: Capture, dataset: Dataset, range_rows: int) -> None:
        self._settings, self._capture, self._dataset, self._range_rows = settings, capture, dataset, range_rows
        self._columns = Compared(dataset, (), ())
        self._lsn, self._rows, self._ranges, self._differing = "", (0, 0), 0, 0

    def round(self, deadline: float | None, before: Mapping[Key, Hashes] | None) -> dict[Key, Hashes]:
        """Rows that differ at one state of the source; with `before`, of those rows alone."""
        with _state(self._settings, self._capture.database) as connection:
            lsn = _one(connection, "SELECT pg_current_wal_insert_lsn()::text")
            source = SourceRows(connection, self._dataset)
            self._columns = source.columns
            if deadline is not None:
                await_silver(self._settings, self._capture, self._dataset, lsn, deadline)
            ranges = source.ranges(self._range_rows)
            with SilverRows(self._settings, source.columns) as silver:
                sums = silver.ranges([one.first for one in ranges])
                if before is None:
                    self._lsn, self._ranges = lsn, len(ranges)
                    self._rows = sum(one.rows for one in ranges), sum(rows for rows, _ in sums)
                found: dict[Key, Hashes] = {}
                differing = 0
                for number, (one, theirs) in enumerate(zip(ranges, sums, strict=True)):
                    if (one.rows, one.sum) != theirs:
                        differing += 1
                        if len(found) >= MOST_ROWS:
                            continue
                        following = ranges[number + 1].first if number + 1 < len(ranges) else None
                        mine = source.rows(one.first if number else None, following)
                        found |= differing_rows(mine, silver.rows(number))
                if not ranges:
                    found = differing_rows({}, silver.rows(0))
                if before is None:
                    self._differing = differing or int(bool(found))
        return found if before is None else {key: hashes for key, hashes in found.items() if key in before}

    def verified(self, found: Mapping[Key, Hashes], unsettled: int, limit: int, seconds: float) -> Verified:
        kinds: dict[str, list[Key]] = {"missing": [], "extra": [], "differing": []}
        for key, (mine, theirs) in sorted(found.items()):
            kinds["missing" if theirs is None else "extra" if mine is None else "differing"].append(key)
        names = [column.name for column, _ in self._columns.key]
        return Verified(
            dataset=self._dataset.name,
            lsn=self._lsn,
            source_rows=self._rows[0],
            silver_rows=self._rows[1],
            ranges=self._ranges,
            ranges_differing=self._differing,
            counts={kind: len(keys) for kind, keys in kinds.items()},
            keys={
                kind: [dict(zip(names, map(str, key), strict=True)) for key in keys[:limit]]
                for kind, keys in kinds.items()
            },
            without=self._columns.without,
            seconds=round(seconds, 3),
            unsettled=unsettled,
        )


def differing_rows(source: Mapping[Key, int], silver: Mapping[Key, int]) -> dict[Key, Hashes]:
    """Keys whose rows are not the same, or are on one side alone."""
    return {key: (source.get(key), silver.get(key)) for key in {*source, *silver} if source.get(key) != silver.get(key)}


class SourceRows:
    """The table as one transaction sees it."""

    def __init__(self, connection: psycopg.Connection, dataset: Dataset) -> None:
        self._connection = connection
        schema, _, table = dataset.source_name.partition(".")
        query = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
        present = [name for (name,) in connection.execute(query, (schema, table)).fetchall()]
        self.columns = compared(dataset, present)
        if len(self.columns.key) < len(dataset.primary_key):
            raise TerminalError(
                "the source has no such table, or it lacks the key's columns",
                where=dataset.source_name,
                remedy=f"correct physicalName in {dataset.path.name}, or the rights of the user",
            )
        self._table = f"{identifier(schema)}.{identifier(table)}"
        self._keys = [postgres_key(column, name) for column, name in self.columns.key]
        query = f"SELECT {', '.join(self._keys)} FROM {self._table} LIMIT 0"  # noqa: S608  (quoted)
        self._casts = _types(connection, query)

    def ranges(self, size: int) -> list[Range]:
        """Ranges of so many rows, in the order of the keys; the first row's key names each."""
        keys = [f"k{number}" for number in range(len(self._keys))]
        picked = ", ".join(f"{key} AS k{number}" for number, key in enumerate(self._keys))
        first = ", ".join(f"max({key}) FILTER (WHERE n % {size} = 0)" for key in keys)
        query = f"""
            SELECT n / {size}, count(*), sum(h), {first} FROM (
                SELECT row_number() OVER (ORDER BY {", ".join(keys)}) - 1 AS n, h, {", ".join(keys)} FROM (
                    SELECT {picked}, {postgres_hash(self.columns.columns)} AS h FROM {self._table}
                ) AS hashed
            ) AS numbered GROUP BY 1 ORDER BY 1"""  # noqa: S608  (names of the contract, quoted)
        return [Range(tuple(key), int(rows), int(total)) for _, rows, total, *key in self._all(query)]

    def rows(self, first: Key | None, following: Key | None) -> dict[Key, int]:
        """The hashes of the rows from one key up to another, by key; None is an open end."""
        row = f"({', '.join(self._keys)})"
        place = f"({', '.join(f'%s::{cast}' for cast in self._casts)})"
        bounds = [(f"{row} >= {place}", first), (f"{row} < {place}", following)]
        conditions = [text for text, key in bounds if key is not None] or ["true"]
        query = (
            f"SELECT {postgres_hash(self.columns.columns)}, {', '.join(self._keys)} "  # noqa: S608
            f"FROM {self._table} WHERE {' AND '.join(conditions)}"
        )
        values = [value for _, key in bounds if key is not None for value in key]
        return {tuple(key): int(hashed) for hashed, *key in self._all(query, values)}

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        text = query if values else query.replace("%", "%%")
        return self._connection.execute(text.encode(), list(values)).fetchall()


@contextmanager
def _state(settings: Settings, database: str) -> Iterator[psycopg.Connection]:
    """A transaction that sees one state of the database."""
    with connected(settings, database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            connection.execute("SET LOCAL TimeZone = 'UTC'")
            connection.execute("SET LOCAL DateStyle = 'ISO'")
            yield connection


def _types(connection: psycopg.Connection, query: str) -> list[str]:
    """The types of a query's columns, as Postgres writes them."""
    codes = [column.type_code for column in connection.execute(query.encode()).description or ()]
    return [str(_one(connection, "SELECT format_type(%s, NULL)", code)) for code in codes]


def _one(connection: psycopg.Connection, query: str, *values: object) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return None if row is None else row[0]
