"""The MERGE statements of silver, as text. Aliases: `t` the silver table, `s` the batch.

All match on the contract's key within the batch's bounds, so that files which cannot hold a key of the batch are not
opened. A row is rewritten only where it differs: a repeat of what is there already changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from headwater.contracts.layers import HISTORY, OPERATION, silver_columns
from headwater.contracts.model import Dataset
from headwater.contracts.types import Primitive
from headwater.lake.bounds import Bounds
from headwater.lake.conform import IS_DELETED, LOG_ORDER, comparable, order_struct, quoted

ACCEPTED, REFUSED_ORDERS, GONE = "_accepted", "_refused_orders", "_gone"
"""Columns of a batch beside silver's own: what a restatement and a history need to know about a row."""


def upsert(dataset: Dataset, target: str, view: str, bounds: Bounds) -> str:
    """Newer rows win, new keys come in."""
    newer = f"{order_struct(dataset, 's')} > {order_struct(dataset, 't')}"
    differs = _differs(dataset, content_columns(dataset))
    if dataset.captured:
        differs = f"({differs} OR {_moved_on('s', 't')})"
    return f"""MERGE INTO {target} t USING {view} s
ON {_same(dataset.primary_key)} AND ({bounds.to_sql("t")})
WHEN MATCHED AND {newer} AND {differs} THEN UPDATE SET *
WHEN NOT MATCHED THEN INSERT *"""


def restate(dataset: Dataset, target: str, view: str, bounds: Bounds) -> str:
    """What the contract says today about the batch's keys, where silver's row is not newer than the batch's.

    A row that today's rules refuse gives way to the newest that they accept, or goes. It is recognised by its order
    among those of all refused rows of its key: newer ones may have been refused all along.
    """
    order, mine = order_struct(dataset, "s"), order_struct(dataset, "t")
    is_refused = f"array_contains(s.{REFUSED_ORDERS}, {mine})"
    return f"""MERGE INTO {target} t USING {view} s
ON {_same(dataset.primary_key)} AND ({bounds.to_sql("t")})
WHEN MATCHED AND NOT s.{ACCEPTED} AND {is_refused} THEN DELETE
WHEN MATCHED AND s.{ACCEPTED} AND ({order} >= {mine} OR {is_refused}) AND {_differs(dataset, content_columns(dataset))}
  THEN UPDATE SET *
WHEN NOT MATCHED AND s.{ACCEPTED} THEN INSERT *"""


def versions(dataset: Dataset, target: str, view: str, bounds: Bounds) -> str:
    """The versions of the batch's keys as their new timeline says: closed, corrected, inserted, or gone."""
    columns = [*content_columns(dataset), *(c.name for c in HISTORY)]
    return f"""MERGE INTO {target} t USING {view} s
ON {_same((*dataset.primary_key, "valid_from"))} AND ({bounds.to_sql("t")})
WHEN MATCHED AND s.{GONE} THEN DELETE
WHEN MATCHED AND {_differs(dataset, columns)} THEN UPDATE SET *
WHEN NOT MATCHED AND NOT s.{GONE} THEN INSERT *"""


def _moved_on(new: str, old: str) -> str:
    """Whether a change is a later one, even if it left the row as it was: the row takes its place in the log.

    Otherwise a change from between the two that comes once more would win. A repeat of the same change, and a row of a
    new snapshot that says what silver says, move nothing.
    """
    place = (f"struct({', '.join(f'{side}.`{name}`' for name in LOG_ORDER)})" for side in (new, old))
    return f"({' > '.join(place)} AND {new}.{OPERATION} <> 'read')"


def content_columns(dataset: Dataset) -> list[str]:
    """Silver's columns that say something about the row, not about how it came here or how long it holds."""
    present = {c.name for c in silver_columns(dataset)}
    return [c.name for c in dataset.columns] + [name for name in (IS_DELETED,) if name in present]


def _same(columns: Sequence[str]) -> str:
    return " AND ".join(f"t.{name} = s.{name}" for name in quoted(columns))


def _differs(dataset: Dataset, columns: Sequence[str]) -> str:
    types = {c.name: c.type for c in dataset.columns}
    sides = [[comparable(f"{a}.`{name}`", types.get(name, Primitive.STRING)) for a in "ts"] for name in columns]
    return "NOT (" + " AND ".join(f"{mine} <=> {theirs}" for mine, theirs in sides) + ")"
