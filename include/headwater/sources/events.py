"""Source rows as events: the envelope in front, then the row's own columns, in the types of the contract.

An event's id derives from its row, so a replayed source repeats it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts.loader import load_dataset
from headwater.contracts.model import Dataset
from headwater.errors import TerminalError
from headwater.sources import completejourney

MONEY = pa.decimal128(10, 2)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a file of the package becomes the events of a stream; the contract says the rest."""

    file: str
    time_column: str  # when it happened; the file lies in this order
    event_ids: Callable[[pa.Table], pa.Array | pa.ChunkedArray]


@dataclass(frozen=True, slots=True)
class EventSource:
    """A file of the package that is replayed as events of a stream dataset."""

    dataset: Dataset
    recipe: Recipe

    @property
    def time_column(self) -> str:
        """The column of the file that says when a row happened."""
        return self.recipe.time_column

    def event_ids(self, rows: pa.Table) -> pa.Array | pa.ChunkedArray:
        """The event id of each source row."""
        return self.recipe.event_ids(rows)

    def rows(self, start: date | None = None, end: date | None = None, limit: int | None = None) -> pa.Table:
        """Source rows that happened in [start, end), in time order; the first `limit` of them."""
        if start is None and end is None:
            return completejourney.read(self.recipe.file, limit=limit)
        table = completejourney.read(self.recipe.file)
        for bound, keep in ((start, pc.greater_equal), (end, pc.less)):
            if bound is not None:
                table = table.filter(keep(table[self.time_column], pa.scalar(bound).cast(pa.timestamp("ns"))))
        return table.slice(0, limit) if limit is not None else table

    def events(self, rows: pa.Table, schema_version: int) -> pa.Table:
        """The rows with the envelope in front; the time column becomes `event_timestamp`, amounts decimal(10,2)."""
        count = rows.num_rows
        columns = {
            "event_id": self.event_ids(rows),
            "event_type": pa.repeat(pa.scalar(self.dataset.event_type, pa.string()), count),
            "event_timestamp": rows[self.time_column].cast(pa.timestamp("us")),
            "source_system": pa.repeat(pa.scalar(self.dataset.source_system, pa.string()), count),
            "schema_version": pa.repeat(pa.scalar(schema_version, pa.int32()), count),
        }
        for field in rows.schema:
            if field.name != self.time_column:
                column = rows[field.name]
                # The files hold cents as doubles that are off by up to 1e-11: the cast rounds.
                columns[field.name] = column.cast(MONEY) if pa.types.is_floating(field.type) else column
        return pa.table(columns)

    def keys(self, rows: pa.Table | pa.RecordBatch) -> list[bytes]:
        """The message key of each row: the contract's key column as text, e.g. the household's number in digits."""
        column = rows.column(self.dataset.message_key)
        keys: list[bytes] = column.cast(pa.string()).cast(pa.binary()).to_pylist()
        return keys


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string())


def _sale_ids(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(_text(rows["basket_id"]), _text(rows["product_id"]), "-")


def _redemption_ids(rows: pa.Table) -> pa.ChunkedArray:
    day = pc.strftime(rows["redemption_date"], format="%Y%m%d")
    numbers = (_text(rows[name]) for name in ("household_id", "coupon_upc", "campaign_id"))
    return pc.binary_join_element_wise(*numbers, day, "-")


RECIPES = {
    "transactions": Recipe("transactions", "transaction_timestamp", _sale_ids),
    "coupon_redemptions": Recipe("coupon_redemptions", "redemption_date", _redemption_ids),
}


def event_source(dataset: str) -> EventSource:
    """The source that is replayed as this dataset. Raises `TerminalError` that lists those there are."""
    if dataset not in RECIPES:
        raise TerminalError(
            f"dataset '{dataset}' is not replayed from a file", remedy=f"replay one of {', '.join(sorted(RECIPES))}"
        )
    return EventSource(load_dataset(dataset), RECIPES[dataset])
