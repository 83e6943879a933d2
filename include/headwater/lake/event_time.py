"""Event time of a stream: how far its events have come, and how many came later than its contract allows for.

The *watermark* is the newest event that silver had accepted before a batch, less the contract's `watermark`. An event
of the batch that lies behind it is late. It is not refused: it finds its place in silver, and gold of its days is built
again. It is counted, by how late it is, in the summary of the very commit that holds it; so a build that is killed and
run again counts it once. An event of the future that a rule refuses does not move the watermark. Every arrival counts,
the repeat of an old event too: that is late as well, and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pyiceberg.table import Table

from headwater.contracts.model import Dataset, Kind
from headwater.lake.snapshots import nearest_properties

PREFIX = "headwater.event."
NEWEST, LATE = f"{PREFIX}newest", f"{PREFIX}late"
LATE_DAYS = "headwater.late-days"
"""Of one commit alone: late events per day on which they happened, JSON."""
BEHIND = {"hour": timedelta(hours=1), "day": timedelta(days=1), "older": None}
"""How late: up to so long behind the watermark. What is in one is not in the next."""


@dataclass(frozen=True, slots=True)
class EventTime:
    """`newest`: the latest accepted event so far. `late`: events that came behind the watermark so far, by how late."""

    newest: datetime | None = None
    late: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All that came late."""
        return sum(self.late.values())

    def properties(self) -> dict[str, str]:
        """As silver's summaries keep it; all of it is cumulative."""
        if self.newest is None:
            return {}
        late = {name: self.late.get(name, 0) for name in BEHIND}
        return {NEWEST: self.newest.isoformat(), LATE: json.dumps(late, separators=(",", ":"))}

    def after(self, batch: EventTime) -> EventTime:
        """With what a batch brought."""
        newest = max((e.newest for e in (self, batch) if e.newest is not None), default=None)
        return EventTime(newest, {name: self.late.get(name, 0) + batch.late.get(name, 0) for name in BEHIND})


def event_time(silver: Table) -> EventTime:
    """What silver's nearest ancestor says."""
    told = nearest_properties(silver, PREFIX)
    if NEWEST not in told:
        return EventTime()
    return EventTime(datetime.fromisoformat(told[NEWEST]), json.loads(told[LATE]))


def watermark(dataset: Dataset, so_far: EventTime) -> datetime | None:
    """Events before it are late; None where there is none yet, or the dataset is no stream."""
    if dataset.kind is not Kind.STREAM or so_far.newest is None or dataset.watermark_seconds is None:
        return None
    return so_far.newest - timedelta(seconds=dataset.watermark_seconds)
