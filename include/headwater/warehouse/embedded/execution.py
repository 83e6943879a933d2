"""One query's life in a worker thread: connection, judgement, run, clean-up. No asyncio in here."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Hashable, Iterator

from headwater.policy.model import ATTRIBUTES_SETTING
from headwater.warehouse.embedded import formats, limits, statements
from headwater.warehouse.embedded.access import EXTERNAL_ROLE, WRITER_ROLE
from headwater.warehouse.embedded.engine import Engine, EngineConnection, Insert, Progress
from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.request import QueryRequest
from headwater.warehouse.embedded.sessions import Session, Sessions

_STREAMED = frozenset({"SELECT", "WITH", "FROM"})
_USE = re.compile(r"\s*USE\s+(?:DATABASE\s+)?(`(?:[^`\\]|\\.)+`|\"(?:[^\"\\]|\\.)+\"|\w+)\s*;?\s*", re.I)
TEXT_FACTOR = 4
"""How much longer an answer may be as text than the engine reckons it: numbers are longer, and names may repeat."""
_WHOLE = ("extremes", "output_format_json_array_of_rows")
_DEFAULTS = {"implicit_select": "0", "async_insert": "0"}
"""chDB reads a bare word as SELECT; asynchronous inserts would answer before the rows are in a part."""
_HIDDEN = ("processes", "errors", "dropped_tables", "session_query_ids", "user_processes", "asynchronous_loader")
_HIDE = "{" + ",".join(f"'system.{table}':'0'" for table in _HIDDEN) + "}"
"""chDB asks no grant for its own tables; these tell of others' queries, `errors` even values that made them fail."""


class Execution:
    """A statement on its connection. `prepare`, then `rows` or `insert`, and `close` in every case."""

    def __init__(
        self, engine: Engine, sessions: Sessions, caps: limits.Limits, request: QueryRequest, *, crowded: bool
    ) -> None:
        self._engine = engine
        self._sessions = sessions
        self._caps = caps.of(request.user)
        self.request = request
        # With more queries than cores, a second thread per query only costs: `SELECT 1` 0.6 CPU-ms instead of 1.3.
        self._threads = {"max_threads": "1"} if crowded else {}
        self._session: Session | None = None
        self._connection: EngineConnection | None = None
        self._restore: list[str] = []
        self._finished = threading.Event()
        self._cancelled = False
        # Nobody is still cancelling by the connection's mark when it goes to the next query.
        self._ending = threading.Lock()
        self._key: Hashable = None
        self._reusable = False
        self.query_id = request.query_id
        self.progress = Progress()
        self.closed = False
        self.format = request.default_format

    # --- before

    def prepare(self, sql: str, *, data_follows: bool) -> str:
        """Judge the statement, take a connection and set it up; returns the statement to run."""
        request = self.request
        if request.params.get("session_id"):
            self._session = self._sessions.acquire(
                request.user,
                request.params["session_id"],
                check=request.params.get("session_check", "0") in ("1", "true"),
                timeout=request.params.get("session_timeout", ""),
            )
        settings = dict(request.settings)
        if request.user.readonly and self._session is None and not request.external and "settings" not in sql.lower():
            return self._prepare_reader(sql, data_follows=data_follows)
        connection = self._take_connection()
        if request.user.readonly:
            sql, settings = self._judge_settings(connection, sql, settings)
        self._judge(connection, sql, data_follows=data_follows)
        self._create_external_tables(connection)
        self._set_up(connection, settings)
        self.format = statements.output_format(sql) or request.default_format
        return sql

    def _prepare_reader(self, sql: str, *, data_follows: bool) -> str:
        """The short way of most queries: on a connection that is set up for such a reader already, if there is one."""
        request = self.request
        settings = limits.judge_reader_settings({**self._threads, **request.settings}, self._caps)
        settings.pop("log_comment", None)
        self._key = (request.user, request.database, frozenset(settings.items()))
        connection = self._engine.take(self._key)
        ready = connection is not None
        self._connection = connection = connection or self._engine.connect()
        self._judge(connection, sql, data_follows=data_follows)
        if not ready:
            self._set_up(connection, settings)
        self.format = statements.output_format(sql) or request.default_format
        return sql

    def _judge_settings(
        self, connection: EngineConnection, sql: str, settings: dict[str, str]
    ) -> tuple[str, dict[str, str]]:
        """A reader's statement without its own SETTINGS clause, and the settings it will run with.

        Under readonly=1 the engine refuses a query's own clause, and ignores one inside a subquery without a word;
        what may not be set is refused here wherever it stands.
        """
        if "settings" in sql.lower():
            sql = connection.normalize(sql)
        sql, inline = statements.split_settings(sql)
        for name, value in statements.nested_settings(sql):
            limits.judge_reader_settings({name: value}, self._caps)
        return sql, limits.judge_reader_settings({**self._threads, **settings, **inline}, self._caps)

    def _take_connection(self) -> EngineConnection:
        session = self._session
        if session is not None and session.connection is not None:
            self._connection = session.connection
            return session.connection
        self._connection = self._engine.connect()
        if session is not None and not self.request.user.readonly:
            session.connection = self._connection
            memory = {"max_memory_usage": str(self._caps.query_memory)}
            defaults = {**_DEFAULTS, **memory}
            self._connection.set_up(defaults, role=WRITER_ROLE, database=self.request.database or "default")
        return self._connection

    def _judge(self, connection: EngineConnection, sql: str, *, data_follows: bool) -> None:
        """Refuse what the engine would let through and ClickHouse's HTTP interface would not."""
        kind, count = connection.classify(sql + " VALUES" if data_follows else sql)
        if count > 1:
            raise EndpointError(
                "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed): only one statement per request."
            )
        words = {token.upper for token in statements.tokens(sql) if token.depth == 0} if kind == "CONTROL" else set()
        if "OUTFILE" in words:
            raise EndpointError("INTO_OUTFILE_NOT_ALLOWED", "INTO OUTFILE is not allowed.")
        mutating = kind.startswith("MUTATING") or data_follows
        if mutating and self.request.method in ("GET", "HEAD"):
            raise EndpointError(
                "READONLY",
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
                "You should use method POST for modifying queries.",
            )
        if self.request.user.readonly and (mutating or (kind != "READ_ONLY" and not _USE.fullmatch(sql))):
            raise EndpointError("READONLY", f"{self.request.user.name}: Cannot execute query in readonly mode.")
        if self.request.user.database and statements.estimates(sql):
            raise EndpointError("ACCESS_DENIED", f"{self.request.user.name}: EXPLAIN ESTIMATE counts rows of others.")
        if statements.may_call_forbidden(sql):
            # What the parser does not take is judged as it stands; the engine will refuse it.
            with contextlib.suppress(EndpointError):
                sql = connection.normalize(sql)
            statements.refuse_forbidden_functions(sql)

    def _create_external_tables(self, connection: EngineConnection) -> None:
        if self.request.external:
            # Before the reader's own set-up: under readonly=1 there would be no table to fill.
            memory = {"max_memory_usage": str(self._caps.query_memory)}
            connection.set_up(memory, role=EXTERNAL_ROLE, database=None)
        for table in self.request.external:
            connection.create_external_table(table.name, table.structure, table.format, table.data)
            self._restore.append(f"DROP TEMPORARY TABLE IF EXISTS {statements.quote_name(table.name)}")

    def _set_up(self, connection: EngineConnection, settings: dict[str, str]) -> None:
        request, session = self.request, self._session
        settings["log_comment"] = connection.mark
        if settings.get("wait_for_async_insert") == "0":
            settings["wait_for_async_insert"] = "1"
        if request.user.readonly:
            user = request.user
            database = request.database or (session.database if session else None) or user.database or "default"
            hidden = {"additional_table_filters": _HIDE, "readonly": "1"}
            if user.database:
                # How many rows were read to give those that are seen.
                hidden["output_format_write_statistics"] = "0"
            if user.attributes:
                hidden[ATTRIBUTES_SETTING] = user.attributes
            connection.set_up({**_DEFAULTS, **settings, **hidden}, role=user.role, database=database)
        elif session is None:
            memory = {"max_memory_usage": str(self._caps.query_memory)}
            merged = {**_DEFAULTS, **memory, **self._threads, **settings}
            connection.set_up(merged, role=WRITER_ROLE, database=request.database or "default")
        else:
            self._remember(connection, settings)
            connection.set_up(settings, role=WRITER_ROLE, database=request.database)

    def _remember(self, connection: EngineConnection, settings: dict[str, str]) -> None:
        """In a session, a setting of the URL holds for one query: note what to put back."""
        names = ", ".join(statements.quote(name) for name in settings)
        rows, _ = connection.run(
            f"SELECT name, changed, value FROM system.settings WHERE name IN ({names})",  # noqa: S608 (quoted)
            "JSONCompactEachRow",
        )
        for line in rows.splitlines():
            name, changed, value = json.loads(line)
            self._restore.append(f"SET {name} = {statements.quote(value) if int(changed) else 'DEFAULT'}")

    # --- the run

    def rows(self, sql: str) -> Iterator[bytes]:
        """The answer of a statement without data, in pieces."""
        connection = self._use()
        if self.request.user.readonly and self._session and (match := _USE.fullmatch(sql)):
            connection.run(sql)
            self._session.database = re.sub(r"\\(.)", r"\1", match.group(1).strip('`"'))
            return
        joiner = None if self._ends_with_more_than_rows(sql) else formats.joiner(self.format)
        first = next(statements.tokens(sql), None)
        if joiner is None or first is None or not (first.upper in _STREAMED or first.text == "("):
            data, self.progress = connection.run(sql, self.format, self.request.parameters)
            self._refuse_beyond(len(data))
            yield data
            return
        # As ClickHouse has it: the headers come last then, with the figures of the whole query.
        waits = self.request.params.get("wait_end_of_query") in ("1", "true")
        pieces: list[bytes] = []
        for piece in connection.stream(sql, self.format, self.request.parameters):
            data = joiner.join(piece.data)
            self.progress.add(piece, len(data))
            self._refuse_beyond(self.progress.result_bytes)
            if waits:
                pieces.append(data)
            else:
                yield data
        if data := b"".join([*pieces, joiner.finish()]):
            yield data
        # Nothing else leaves a connection as it was: USE moves it, parameters stay on it, a broken query may linger.
        self._reusable = self._key is not None and not self.request.parameters

    def _refuse_beyond(self, size: int) -> None:
        """Raise where an answer to a member is far beyond its bytes.

        The engine's own cap counts a constant column as one value: 3,000 rows of `repeat('x', 100000)` got past it.
        """
        most = TEXT_FACTOR * self._caps.reader_bytes
        if self._caps.member and size > most:
            raise EndpointError("TOO_MANY_ROWS_OR_BYTES", f"Limit for result exceeded, max bytes of text: {most}.")

    def _ends_with_more_than_rows(self, sql: str) -> bool:
        """Totals, extremes and one JSON array around all rows belong to a whole answer; streamed they would be lost."""
        text = sql.lower()
        asked = any(self.request.settings.get(name, "0") not in ("0", "false") for name in _WHOLE)
        return asked or any(name in text for name in _WHOLE) or re.search(r"\btotals\b", text) is not None

    def insert(self, head: str, input_format: str) -> Insert:
        """Begin an INSERT whose data the caller appends."""
        connection = self._use()
        if self.request.parameters:
            connection.apply({f"param_{name}": value for name, value in self.request.parameters.items()})
        return connection.insert(head, input_format)

    def _use(self) -> EngineConnection:
        if self._connection is None:
            raise RuntimeError("prepare() comes first")
        return self._connection

    # --- after

    def cancel(self) -> None:
        """Stop the query wherever it is; asks again until it has ended, since it may not have begun."""
        while True:
            with self._ending:
                if self._finished.is_set():
                    return
                self._cancelled = True
                if self._connection is not None:
                    self._engine.kill(self._connection.mark)
            self._finished.wait(0.05)

    def ended(self) -> None:
        """Say that the query has ended, which ends `cancel`."""
        with self._ending:
            self._finished.set()

    def close(self) -> None:
        """Give connection and session back."""
        if self.closed:
            return
        self.closed = True
        self.ended()
        connection, session = self._connection, self._session
        self._connection = self._session = None
        broken = False
        if session is not None and connection is not None and connection is session.connection:
            try:
                for statement in self._restore:
                    connection.run(statement)
            except EndpointError:
                # A session that cannot be put back would leak this query's settings into the next one.
                broken = True
        elif connection is not None and self._reusable and not self._cancelled:
            self._engine.give_back(connection, self._key)
        elif connection is not None:
            connection.close()
        if session is not None:
            close = broken or self.request.params.get("close_session", "0") in ("1", "true")
            self._sessions.release(session, close=close)
