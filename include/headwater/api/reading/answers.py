"""From a question that was judged to an answer: out of the cache or from ClickHouse, with what it rests on.

JSON answers are a page, at most 1,000 rows, held in memory and kept; CSV and Arrow go through piece by piece, as many
rows as the policy lets the role have, and are not kept.

What the tables show is read before the query and again behind it; where a load or a policy came between them the query
runs once more, so that the evidence is that of the rows. Where one came again, that is said, and nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from headwater.api.reading.cache import LARGEST, Cache, key_of
from headwater.api.reading.clickhouse import Answer, ClickHouse
from headwater.api.reading.standing import State
from headwater.contracts.model import Contracts
from headwater.serving.asking import Asking
from headwater.serving.evidence import Evidence, warnings_of

MOST_ROWS = 1_000
_MOVED = "the data are being loaded: the rows may be those of the snapshot before"
_CHANGING = re.compile(
    r"\b(?:now\w*|today|yesterday|cur(?:rent)?_?\w*|utc_?timestamp|timezone|rand\w*|generate\w+|uptime|version|user"
    r"|\w*queryid|\w*query_id|connection_?id|host\w*|server\w*|tcpport|get\w*setting|fuzz\w*|sleep\w*|rownumber\w*|blocknumber"
    r"|local\w*|displayname|session_?\w*)\s*(?:\(|\b)",
    re.I,
)
"""What gives another answer the next time, and whom it gives it to; a name too many here only costs a cached answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question in ClickHouse's words: `sql` over the role's own views, `replay` over `gold.…` and `live.…`.

    It has LIMIT `limit` + 1, to see whether there is more. Of the answer's columns the first `shown` are for the caller
    (None: all); `keys` are the places of those that a cursor is made of.
    """

    sql: str
    parameters: Mapping[str, str]
    tables: tuple[str, ...]
    replay: str
    limit: int
    shown: int | None = None
    keys: tuple[int, ...] = ()

    @property
    def lasting(self) -> bool:
        """Whether it gives the same answer as long as its tables stay the same."""
        live = any(not table.startswith("gold.") for table in self.tables)
        return bool(self.tables) and not live and not _CHANGING.search(self.replay)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as JSON, a list of lists; `ends` are the values of the last row's keys, `alike` how many rows have them.

    `kept` says that it comes out of the cache.
    """

    columns: list[dict[str, str]]
    rows: bytes
    count: int
    truncated: bool
    ends: list[str | None] = field(default_factory=list)
    alike: int = 0
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Standpoint:
    """From where a question is answered: who asks, under which policy, what the tables show, whether that moved."""

    asking: Asking
    state: State
    contracts: Contracts
    moved: bool = False

    def judged(self, asked: Asked) -> tuple[str, ...]:
        """What is to be said of the data's state. Raises `DataRefused` where a contract wants no answer from it."""
        self.asking.reads(asked.tables, asked.replay)
        return warnings_of(self.contracts, self.state.of(asked.tables)) + ((_MOVED,) if self.moved else ())

    def etag(self, asked: Asked, form: str) -> str | None:
        """A weak entity tag: it changes with policy, tables and question. None where nobody can say."""
        key = self.key(asked)
        return f'W/"{hashlib.sha256(f"{key} {form}".encode()).hexdigest()[:32]}"' if key else None

    def key(self, asked: Asked) -> str | None:
        """The key of the answer in the cache; None for one that is not to be kept."""
        mark = self.state.mark(asked.tables)
        if mark is None or self.moved or not asked.lasting:
            return None
        policy = (self.asking.policy_version, self.state.applied_at)
        form = (asked.limit, asked.shown, asked.keys)
        return key_of(self.asking.caller, policy, asked.tables, mark, asked.sql, asked.parameters, form)

    def evidence(self, asked: Asked, *, truncated: bool = False) -> dict[str, Any]:
        """What the answer rests on, for JSON."""
        found = Evidence(
            sql=asked.replay,
            tables=self.state.of(asked.tables),
            policy=self.asking.applied(asked.tables),
            parameters=asked.parameters,
            truncated=truncated,
            warnings=self.judged(asked),
        )
        return asdict(found)


class Answers:
    """Answers questions. Thread-safe."""

    def __init__(self, clickhouse: ClickHouse, cache: Cache, after: Callable[[Sequence[str]], State]) -> None:
        self.clickhouse = clickhouse
        self.cache = cache
        self._after = after

    def page(self, at: Standpoint, asked: Asked) -> tuple[Page, Standpoint]:
        """The rows, and from where they were seen. Raises `Problem`, `DataRefused`, `WarehouseUnavailableError`."""
        at.judged(asked)
        key = at.key(asked)
        if key and (kept := self.cache.get(key)) is not None and (page := _unpacked(kept)) is not None:
            return page, at
        for _ in range(2):
            text = self.clickhouse.ask(at.asking.headers, asked.sql, asked.parameters).whole()
            at = self._behind(at, asked)
            if not at.moved:
                break
        page, key = _page(text, asked), at.key(asked)
        if key and len(page.rows) <= LARGEST:
            self.cache.put(key, _packed(page))
        return page, at

    def stream(self, at: Standpoint, asked: Asked, form: str) -> tuple[Answer, Standpoint]:
        """The rows in ClickHouse's format `form`, to be passed on piece by piece, and from where they are seen.

        With its first bytes ClickHouse has chosen the parts that it reads.
        """
        at.judged(asked)
        answer = self.clickhouse.ask(at.asking.headers, asked.sql, asked.parameters, form)
        try:
            at = self._behind(at, asked)
            if at.moved:
                answer.close()
                answer = self.clickhouse.ask(at.asking.headers, asked.sql, asked.parameters, form)
                at = self._behind(at, asked)
        except BaseException:
            answer.close()
            raise
        return answer, at

    def _behind(self, at: Standpoint, asked: Asked) -> Standpoint:
        """The standpoint after the query."""
        if not asked.tables:
            return at
        state = self._after(asked.tables)
        return replace(at, state=state, moved=not at.state.same(asked.tables, state))


def _page(text: bytes, asked: Asked) -> Page:
    lines = text.splitlines()
    names, kinds = json.loads(lines[0]), json.loads(lines[1])
    found = lines[2:]
    rows, truncated = found[: asked.limit], len(found) > asked.limit
    columns = [{"name": n, "type": k} for n, k in zip(names, kinds, strict=True)][: asked.shown]
    ends, alike = _ends(rows, asked.keys) if asked.keys and truncated else ([], 0)
    if asked.shown is not None and asked.shown < len(names):
        rows = [json.dumps(json.loads(row)[: asked.shown], ensure_ascii=False).encode() for row in rows]
    return Page(columns, b"[" + b",".join(rows) + b"]", len(rows), truncated, ends, alike)


def _ends(rows: list[bytes], keys: tuple[int, ...]) -> tuple[list[str | None], int]:
    """The last row's keys as text, and how many rows at the end have the same."""
    last: list[Any] = []
    alike = 0
    for row in reversed(rows):
        values = json.loads(row)
        key = [values[place] for place in keys]
        if alike and key != last:
            break
        last, alike = key, alike + 1
    return [_text(value) for value in last], alike


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _packed(page: Page) -> bytes:
    head = [page.columns, page.count, page.truncated, page.ends, page.alike]
    return json.dumps(head, ensure_ascii=False).encode() + b"\n" + page.rows


def _unpacked(kept: bytes) -> Page | None:
    """The page, or None for what this version did not write."""
    head, _, rows = kept.partition(b"\n")
    try:
        columns, count, truncated, ends, alike = json.loads(head)
    except ValueError:
        return None
    return Page(columns, rows, count, truncated, ends, alike, kept=True)
