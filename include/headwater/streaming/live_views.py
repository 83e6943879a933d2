"""Views over the live tables: one SELECT in ClickHouse's SQL each, `spark_jobs/live/<domain>/<view>.sql`.

A view belongs to every stream whose live table it reads; nothing else names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from headwater.contracts.model import Dataset
from headwater.errors import TerminalError

LIVE = "live"


@dataclass(frozen=True, slots=True)
class LiveView:
    """The view `live.<name>`; `tables` are those it reads, as `<database>.<table>`."""

    name: str
    path: Path
    tables: tuple[str, ...]
    select: str

    @property
    def statement(self) -> str:
        """The DDL; repeating it brings the view up to its file."""
        return f"CREATE OR REPLACE VIEW {LIVE}.{self.name} AS\n{self.select}"


def views_of(dataset: Dataset, folder: Path) -> tuple[LiveView, ...]:
    """The views that read the dataset's live table, by name. Raises `TerminalError` for a file that is no SELECT."""
    views = [_read(path) for path in sorted(folder.glob("*/*.sql"))]
    return tuple(view for view in views if f"{LIVE}.{dataset.name}" in view.tables)


def _read(path: Path) -> LiveView:
    select = path.read_text(encoding="utf-8")
    try:
        parsed = sqlglot.parse_one(select, read="clickhouse")
    except ParseError as error:
        first = str(error).splitlines()[0]
        raise TerminalError(f"no SQL that can be read: {first}", where=str(path), remedy="mend the view") from error
    if not isinstance(parsed, exp.Query):
        raise TerminalError("a view is one SELECT", where=str(path), remedy="leave out everything around it")
    tables = tuple(sorted({f"{table.db}.{table.name}" for table in parsed.find_all(exp.Table) if table.db}))
    return LiveView(path.stem, path, tables, select)
