"""A bounded answer with its evidence: one SELECT as the caller's role, and what its rows rest on.

The state of the tables is known before the query and read again after it; where a load came between them the query
runs once more, so that the snapshots named are those of the rows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.contracts.model import Contracts
from headwater.policy.model import Role
from headwater.serving.asking import Asking
from headwater.serving.evidence import Evidence, LoadedTable, Shown, same_snapshots, warnings_of
from headwater.serving.queries import Judged, QueryRefused, in_role, judge, not_a_dataset
from headwater.serving.warehouse import Result, Warehouse

MAX_ROWS = 1_000
MAX_CELL_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of an answer, in the order of `columns`; `next_page` asks for those that follow, '' where there are none."""

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    truncated: bool
    next_page: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Request:
    """One SELECT over `gold.…` and `live.…`, with the values of its parameters, and which of its rows are wanted."""

    sql: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    max_rows: int = 100
    page: str = ""
    most_rows: int = MAX_ROWS


class Answering:
    """Answers; thread-safe, one per process."""

    def __init__(self, contracts: Contracts, warehouse: Warehouse, shown: Shown) -> None:
        self.contracts = contracts
        self.warehouse = warehouse
        self.shown = shown

    def answer(self, asking: Asking, request: Request) -> Page:
        """Rows with evidence, recorded before they are handed out.

        Raises `QueryRefused`, `DataRefused`, `QueryTooLarge`, `QueryFailed`, and what recording raises.
        """
        role = asking.caller.role
        if not 1 <= request.max_rows <= request.most_rows:
            raise QueryRefused(f"max_rows is 1 to {request.most_rows:,}", remedy="page with next_page, or aggregate")
        asking.reads((), request.sql)
        judged = judge(request.sql, role.views)
        asking.reads(judged.tables, judged.text)
        self._allowed(role, judged)
        offset, since = _page(request, judged)
        before = self.shown.recent()
        warnings_of(self.contracts, {name: before.get(name) for name in judged.tables})  # may refuse
        most = min(request.max_rows, role.limits.rows - 1)  # one more is asked for, to see whether there are more
        result, after, moved = self._asked(asking, request, judged, (most, offset), before)
        tables = {name: after.get(name) for name in judged.tables}
        more = len(result.rows) > most
        rows = [[plain(value) for value in row] for row in result.rows[:most]]
        warnings = [*warnings_of(self.contracts, tables), *moved]
        mark = _mark(judged.text, request.parameters, tables)
        if since and since != mark:
            warnings.append("the data changed since the page before: rows may be missing or come twice")
        if (more or offset) and not judged.ordered:
            warnings.append("without ORDER BY, pages may overlap")
        whole = all(not role.views[name.partition(".")[2]].rows for name in judged.tables)
        evidence = Evidence(
            sql=request.sql,
            tables=tables,
            policy=asking.applied(judged.tables),
            parameters=request.parameters,
            rows_read=result.read_rows if whole else None,
            bytes_read=result.read_bytes if whole else None,
            truncated=more,
            warnings=tuple(warnings),
        )
        asking.answered(datasets=judged.tables, rows=len(rows), sql=judged.text)
        following = _token(offset + len(rows), mark) if more else ""
        return Page(result.columns, result.types, rows, more, following, evidence)

    def _allowed(self, role: Role, judged: Judged) -> None:
        seen = {view.table for view in role.views.values()}
        for table in judged.tables:
            if table not in seen:
                raise not_a_dataset(table)

    def _asked(
        self,
        asking: Asking,
        request: Request,
        judged: Judged,
        wanted: tuple[int, int],
        before: Mapping[str, LoadedTable],
    ) -> tuple[Result, Mapping[str, LoadedTable], Sequence[str]]:
        own = in_role(judged.text, asking.caller.role.database, judged.tables)
        # The text was judged, and the engine holds the asker to its role: what is added only bounds the answer.
        most, offset = wanted
        bounded = f"SELECT * FROM (\n{own}\n) LIMIT {most + 1} OFFSET {offset}"  # noqa: S608
        for _ in range(2):
            result = self.warehouse.ask(asking.headers, bounded, request.parameters)
            if not judged.tables:
                return result, {}, ()
            after = self.shown.newer(judged.tables)
            if same_snapshots(judged.tables, before, after):
                return result, after, ()
            before = after
        return result, after, ("the data are being loaded: the rows may be those of the snapshot before",)


def _page(request: Request, judged: Judged) -> tuple[int, str]:
    """Where the page begins, and the mark of what was asked for the first one. Raises `QueryRefused`."""
    if not request.page:
        return 0, ""
    try:
        offset, statement, since = json.loads(base64.urlsafe_b64decode(request.page.encode()))
    except (ValueError, TypeError, binascii.Error) as error:
        raise QueryRefused("this is no next_page of an answer", remedy="give it as it came") from error
    if type(offset) is not int or offset < 0 or statement != _mark(judged.text, request.parameters, {})[:16]:
        raise QueryRefused("this next_page is of another statement", remedy="repeat the statement and parameters")
    return offset, f"{statement}{since}"


def _token(offset: int, mark: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([offset, mark[:16], mark[16:]]).encode()).decode()


def _mark(sql: str, parameters: Mapping[str, Any], tables: Mapping[str, LoadedTable | None]) -> str:
    """Sixteen digits for the statement, sixteen for the snapshots it was answered from."""
    asked = json.dumps([sql, dict(parameters)], sort_keys=True, default=str)
    state = json.dumps({name: table.snapshot_id if table else "" for name, table in tables.items()}, sort_keys=True)
    return "".join(hashlib.sha256(text.encode()).hexdigest()[:16] for text in (asked, state))


def plain(value: Any) -> Any:
    """A cell as it is told: text that is too long is cut, and says so."""
    if isinstance(value, str) and len(value) > MAX_CELL_CHARACTERS:
        return f"{value[:MAX_CELL_CHARACTERS]}… ({len(value):,} characters)"
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value
