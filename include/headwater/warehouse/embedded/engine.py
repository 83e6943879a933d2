"""chDB: one engine per process and path, one connection per query, and a way to cancel.

A slow query holds only its own connection. The endpoint marks each query in `log_comment`, the one setting that chDB
shows in system.processes and that nothing else reads here (chDB has no query log), and cancels by that mark.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chdb
from chdb.state.sqlitelike import Connection

from headwater.warehouse.embedded import access
from headwater.warehouse.embedded.errors import from_engine
from headwater.warehouse.embedded.statements import quote, quote_name

KEPT_READY = 64
"""Connections that wait for a query, at most; each takes some kilobytes."""


@dataclass
class Progress:
    """What a query read and wrote, for X-ClickHouse-Summary."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0

    def add(self, piece: Piece, size: int) -> None:
        """Count a piece of an answer that is `size` bytes long."""
        self.read_rows += piece.read_rows
        self.read_bytes += piece.read_bytes
        self.result_rows += piece.rows
        self.result_bytes += size


@dataclass(frozen=True, slots=True)
class Piece:
    """A document of a streamed answer, its rows, and what was read since the piece before."""

    data: bytes
    rows: int = 0
    read_rows: int = 0
    read_bytes: int = 0


class Engine:
    """The engine under one path. Create it once per process."""

    def __init__(self, data_dir: Path, reader_databases: Sequence[str], role_databases: Sequence[str] = ()) -> None:
        config_file = access.write_engine_files(data_dir, reader_databases, role_databases)
        self.role_databases = frozenset(role_databases)
        self._path = str(data_dir)
        # The engine lives as long as one connection does.
        self._keeper = chdb.connect(f"{self._path}?config-file={config_file}")
        self._lock = threading.Lock()
        self._ready: list[tuple[Hashable, EngineConnection]] = []
        for database in reader_databases:
            self._keeper.query(f"CREATE DATABASE IF NOT EXISTS {quote_name(database)}")
        self.version = self._ask("SELECT version()")
        self.timezone = self._ask("SELECT timezone()")
        self.host_name = self._ask("SELECT hostName()")

    def _ask(self, sql: str) -> str:
        return str(self._keeper.query(sql, "TSVRaw").bytes().decode().strip())

    def connect(self) -> EngineConnection:
        """A connection of its own; about 0.2 ms."""
        return EngineConnection(chdb.connect(self._path))

    def take(self, key: Hashable) -> EngineConnection | None:
        """A connection that was set up as `key` says and given back; setting one up costs as much as a short query."""
        with self._lock:
            for place in reversed(range(len(self._ready))):
                if self._ready[place][0] == key:
                    return self._ready.pop(place)[1]
        return None

    def give_back(self, connection: EngineConnection, key: Hashable) -> None:
        """Keep a connection for the next who wants it so; it must be as it was set up, and run nothing."""
        with self._lock:
            self._ready.append((key, connection))
            unwanted = self._ready.pop(0)[1] if len(self._ready) > KEPT_READY else None
        if unwanted is not None:
            unwanted.close()

    def kill(self, mark: str) -> None:
        """Ask the engine to stop the query with this mark; harmless when there is none."""
        with self._lock:
            self._keeper.query(f"KILL QUERY WHERE Settings['log_comment'] = {quote(mark)} ASYNC FORMAT Null")

    def close(self) -> None:
        """Let go of the engine; every part that was inserted is on disk by then."""
        while self._ready:
            self._ready.pop()[1].close()
        self._keeper.close()


class EngineConnection:
    """One connection: settings, temporary tables and the current database are its own. Not for two threads at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.mark = str(uuid.uuid4())
        """What its queries carry in `log_comment`, to be cancelled by."""

    def set_up(self, settings: Mapping[str, str], *, role: str, database: str | None) -> None:
        """Database, role and settings in one round trip; a `readonly` among the settings is set last."""
        parts = [f"SET ROLE {role}"]
        if database is not None:
            parts.append(f"USE {quote_name(database)}")
        parts += self._set_statements(settings)
        self.run("; ".join(parts))

    def apply(self, settings: Mapping[str, str]) -> None:
        """Settings alone."""
        if statements := self._set_statements(settings):
            self.run("; ".join(statements))

    @staticmethod
    def _set_statements(settings: Mapping[str, str]) -> list[str]:
        others = {name: value for name, value in settings.items() if name != "readonly"}
        statements = []
        if others:
            statements.append("SET " + ", ".join(f"{name} = {quote(value)}" for name, value in others.items()))
        if "readonly" in settings:
            statements.append(f"SET readonly = {int(settings['readonly'])}")
        return statements

    def classify(self, sql: str) -> tuple[str, int]:
        """The engine's own class of a statement (READ_ONLY, MUTATING, MUTATING_GLOBAL, CONTROL, …) and their number."""
        answer = self._connection._conn.classify_query(sql)
        return answer["query_class"].name, answer["statement_count"]

    def normalize(self, sql: str) -> str:
        """The statement as the engine's parser writes it: without comments, names unquoted where that is possible."""
        escaped = sql.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\0", "\\0")
        return self.run("SELECT formatQuery({sql:String})", "TSVRaw", {"sql": escaped})[0].decode()

    def run(
        self, sql: str, output_format: str = "TabSeparated", parameters: Mapping[str, str] | None = None
    ) -> tuple[bytes, Progress]:
        """Run a statement and take its whole answer."""
        try:
            result = self._connection.query(sql, output_format, params=dict(parameters or {}))
        except (chdb.ChdbError, RuntimeError) as error:
            raise from_engine(error) from None
        data: bytes = result.bytes()
        return data, Progress(
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            result_rows=result.rows_read(),
            result_bytes=len(data),
        )

    def stream(self, sql: str, output_format: str, parameters: Mapping[str, str]) -> Iterator[Piece]:
        """Run a SELECT and yield its pieces as they come; a query without rows may yield one with its header."""
        raw = self._connection._conn
        try:
            handle = raw.send_query(sql, output_format, params=dict(parameters))
        except RuntimeError as error:
            raise from_engine(error) from None
        first, exhausted = True, False
        try:
            while True:
                result = raw.streaming_fetch_result(handle)
                rows = result.rows_read() if result is not None else 0
                if rows == 0:
                    exhausted = True
                    header = result.bytes() if result is not None and first else b""
                    if header:
                        yield Piece(header)
                    return
                first = False
                yield Piece(result.bytes(), rows, result.storage_rows_read(), result.storage_bytes_read())
        except RuntimeError as error:
            exhausted = True
            raise from_engine(error) from None
        finally:
            if not exhausted:
                raw.streaming_cancel_query(handle)

    def insert(self, sql: str, input_format: str) -> Insert:
        """Begin an INSERT with data; `sql` has no FORMAT clause."""
        try:
            return Insert(self._connection._conn, self._connection._conn.send_insert(sql, input_format))
        except RuntimeError as error:
            raise from_engine(error) from None

    def create_external_table(self, name: str, structure: str, input_format: str, data: bytes) -> None:
        """A temporary table of this connection, filled."""
        self.run(f"CREATE TEMPORARY TABLE {quote_name(name)} ({structure})")
        insert = self.insert(f"INSERT INTO {quote_name(name)}", input_format)
        insert.append(data)
        insert.finish()

    def close(self) -> None:
        """Close it; its temporary tables go with it."""
        self._connection.close()


class Insert:
    """An INSERT under way: data is appended in pieces, `finish` commits, `cancel` forgets what is not committed."""

    def __init__(self, raw: Any, handle: Any) -> None:
        self._raw = raw
        self._handle = handle

    def append(self, data: bytes) -> None:
        """Give the engine more data, cut anywhere."""
        try:
            self._raw.insert_append(self._handle, data)
        except RuntimeError as error:
            raise from_engine(error) from None

    def finish(self) -> Progress:
        """Commit. When this returns, the rows are in the table's parts on disk."""
        try:
            result = self._raw.insert_done(self._handle)
        except RuntimeError as error:
            raise from_engine(error) from None
        return Progress(written_rows=result.rows_written(), written_bytes=result.bytes_written())

    def cancel(self) -> None:
        """Stop without commit."""
        try:
            self._raw.insert_cancel(self._handle)
        except RuntimeError as error:
            raise from_engine(error) from None
