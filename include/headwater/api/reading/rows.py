"""Rows of a dataset, from what was asked for to the page: shared by REST and GraphQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headwater.api.reading import cursor as cursors
from headwater.api.reading.answers import MOST_ROWS, Asked, Page, Standpoint
from headwater.api.reading.literals import unusable
from headwater.api.reading.reading import Reading
from headwater.api.reading.selection import selected
from headwater.policy.model import Limits
from headwater.serving.asking import Asking
from headwater.warehouse.embedded.statements import quote_name

USUAL_ROWS = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for, as text. `limit` None: as many as is usual."""

    dataset: str
    columns: str = ""
    filters: Sequence[str] = ()
    sort: str = ""
    limit: int | None = None
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The question, judged, and from where it is answered."""

    at: Standpoint
    asked: Asked
    question: list[Any]
    begin: cursors.Cursor | None

    def following(self, page: Page) -> str | None:
        """The cursor of the next page; None at the end."""
        if not page.truncated:
            return None
        before = self.begin.skip if self.begin and list(self.begin.after) == page.ends else 0
        return cursors.written(cursors.Cursor(tuple(page.ends), page.alike + before, self._mark), self.question)

    @property
    def same_snapshot(self) -> bool:
        """Whether the table is as it was for the page before."""
        return self.begin is None or self.begin.mark == self._mark

    @property
    def _mark(self) -> str:
        return self.at.state.mark(self.asked.tables) or ""


def prepared(reading: Reading, asking: Asking, wanted: Wanted, *, paged: bool = True) -> Prepared:
    """A page of rows, or (not `paged`) all of them in one stream. Raises `Problem`."""
    role = asking.caller.role
    shape = reading.shape(wanted.dataset, asking)
    chosen = selected(shape, wanted.columns, wanted.filters, wanted.sort)
    question = [role.name, *chosen.question]
    begin = cursors.read(wanted.cursor, question) if wanted.cursor else None
    most = limited(wanted.limit, role.limits, paged=paged)
    statement = chosen.statement(role.database, most + 1 if paged else most, begin)
    tables, replay, shown = (shape.table,), chosen.replay(most, begin), len(statement.columns)
    if paged:
        names = [*statement.columns, *(key for key in statement.keys if key not in statement.columns)]
        keys = tuple(names.index(key) for key in statement.keys)
        asked = Asked(statement.sql, statement.parameters, tables, replay, most, shown, keys)
    else:
        # The order's own columns would be in the stream as well.
        bare = ", ".join(map(quote_name, statement.columns))
        asked = Asked(f"SELECT {bare} FROM ({statement.sql})", statement.parameters, tables, replay, most)  # noqa: S608
    return Prepared(reading.standpoint(asking), asked, question, begin)


def limited(limit: int | None, limits: Limits, *, paged: bool) -> int:
    """How many rows at most. Raises `Problem` (422) for more than a page holds, or the policy lets the role have."""
    most = min(limits.rows - 1, MOST_ROWS) if paged else limits.rows
    if limit is not None and limit > most:
        raise unusable(f"at most {most} rows" + (": ask for CSV or Arrow, or page on" if paged else ""))
    return limit or (min(USUAL_ROWS, most) if paged else most)
