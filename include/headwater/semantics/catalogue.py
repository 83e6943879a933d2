"""Which metrics there are, and which of them a role may ask, by which dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlglot import expressions as exp

from headwater.contracts.joins import dimension_column, join_column
from headwater.contracts.metrics import Metric, parsed
from headwater.contracts.model import Contracts
from headwater.errors import TerminalError
from headwater.policy.model import Mask, Role

__all__ = ["Metric", "Offer", "UnknownMetric", "metrics_of", "offer", "offers"]


class UnknownMetric(TerminalError):
    """There is no such metric, or not for this role: the answer is the same."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A metric as a role may ask it: `dimensions` are those it sees, `masked` how it sees some of them.

    The metric has no `time` where the role does not see the day.
    """

    metric: Metric
    dimensions: tuple[str, ...]
    masked: Mapping[str, Mask]


def metrics_of(contracts: Contracts) -> dict[str, Metric]:
    """Every metric by its name."""
    return {m.name: m for _, d in sorted(contracts.datasets.items()) for m in d.metrics}


def offers(contracts: Contracts, role: Role) -> dict[str, Offer]:
    """The metrics that a role may ask, by name.

    A figure over a masked column would be wrong in silence (no household is counted where all are null), so such a
    metric is not offered; but hashes stay equal where values are, and may be counted as different ones.
    """
    found = {name: _offer(contracts, role, metric) for name, metric in sorted(metrics_of(contracts).items())}
    return {name: one for name, one in found.items() if one is not None}


def offer(contracts: Contracts, role: Role, name: str) -> Offer:
    """One of them. Raises `UnknownMetric`."""
    metric = metrics_of(contracts).get(name)
    found = _offer(contracts, role, metric) if metric else None
    if found is None:
        raise UnknownMetric(f"there is no metric '{name}'", remedy="list_metrics shows those that are")
    return found


def measures(contracts: Contracts, metric: Metric) -> tuple[Metric, ...]:
    """The measures that a metric rests on: itself, or the two of its ratio."""
    if metric.ratio is None:
        return (metric,)
    declared = {m.name: m for m in contracts.get(metric.dataset).metrics}
    return declared[metric.ratio.of], declared[metric.ratio.to]


def _offer(contracts: Contracts, role: Role, metric: Metric) -> Offer | None:
    view = role.views.get(metric.dataset)
    if view is None or not all(_true(measure, view.masks) for measure in measures(contracts, metric)):
        return None
    if metric.time and view.masks[metric.time] is Mask.YEAR_ONLY:
        # By month all figures would fall into January, and a filter on days would miss in silence.
        metric = replace(metric, time=None)
    elif metric.time and view.masks[metric.time] is not Mask.PLAIN:
        return None
    seen: dict[str, Mask] = {}
    for dimension in metric.dimensions:
        where, column = dimension_column(metric, dimension, contracts.datasets)
        own = role.views.get(where.name)
        if own is None or (where.name != metric.dataset and not _joins(contracts, metric, where.name, role)):
            continue
        if (mask := own.masks[column.name]) is not Mask.NULL:
            seen[dimension] = mask
    masked = {name: mask for name, mask in seen.items() if mask is not Mask.PLAIN}
    return Offer(metric, tuple(seen), masked)


def _true(measure: Metric, masks: Mapping[str, Mask]) -> bool:
    for column in parsed(measure.expression).find_all(exp.Column):
        mask = masks[column.name]
        counted = mask is Mask.HASH and isinstance(column.parent, exp.Distinct)
        if mask is not Mask.PLAIN and not counted:
            return False
    return True


def _joins(contracts: Contracts, metric: Metric, other: str, role: Role) -> bool:
    """Whether the role sees both ends of the join alike: plain, or as the same hash."""
    own, key = join_column(contracts.get(metric.dataset), contracts.get(other))
    ends = (role.views[metric.dataset].masks[own.name], role.views[other].masks[key.name])
    return ends[0] is ends[1] and ends[0] in (Mask.PLAIN, Mask.HASH)
