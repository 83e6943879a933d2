"""What contracts ask of the running platform: the changes to topics, subjects, lake tables and warehouse tables.

`plan` says them, `apply` makes them; both are safe to repeat, and a second `apply` finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from headwater.contracts.model import Dataset, Kind
from headwater.errors import ContractError
from headwater.settings import Settings


class Target(StrEnum):
    """Where a contract becomes something, in the order in which it is applied."""

    TOPIC = "topic"
    SUBJECT = "subject"
    LAKE = "lake"
    WAREHOUSE = "warehouse"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that applying a contract does."""

    dataset: str
    target: Target
    what: str
    destroys: bool = False

    def as_json(self) -> dict[str, object]:
        """The change as plain values."""
        return asdict(self)


def plan(settings: Settings, datasets: Iterable[Dataset], targets: Sequence[Target] = tuple(Target)) -> list[Change]:
    """What applying these contracts would change. Raises what the targets raise."""
    return [change for dataset, target in _places(datasets, targets) for change in _PLAN[target](settings, dataset)]


def apply(
    settings: Settings,
    datasets: Sequence[Dataset],
    targets: Sequence[Target] = tuple(Target),
    *,
    allow_destructive: bool = False,
) -> Iterator[Change]:
    """Make the changes, one dataset and target after the other, and yield them as they are done.

    Raises `ContractError` before anything is done where a change would lose data and that was not allowed.
    """
    planned = plan(settings, datasets, targets)
    losses = [c for c in planned if c.destroys]
    if losses and not allow_destructive:
        what = "; ".join(f"{c.dataset}: {c.what}" for c in losses)
        remedy = "if the data can be loaded again from the lake, repeat with --allow-destructive"
        raise ContractError(f"this would lose data: {what}", remedy=remedy)
    changed = {(c.dataset, c.target) for c in planned}
    for dataset, target in _places(datasets, targets):
        if (dataset.name, target) in changed:
            yield from _APPLY[target](settings, dataset)


def _places(datasets: Iterable[Dataset], targets: Sequence[Target]) -> Iterator[tuple[Dataset, Target]]:
    for dataset in datasets:
        for target in Target:
            # The schemas of a capture follow the source's own; the connector registers them.
            has_it = {Target.TOPIC: dataset.streamed, Target.SUBJECT: dataset.kind is Kind.STREAM}
            if target in targets and has_it.get(target, True):
                yield dataset, target


# The engines' libraries are imported when a target is asked for: `headwater contract check` needs none of them.


def _plan_topic(settings: Settings, dataset: Dataset) -> list[Change]:
    from headwater.contracts.topic import plan_topic

    return [Change(dataset.name, Target.TOPIC, what) for what in plan_topic(settings, dataset)]


def _apply_topic(settings: Settings, dataset: Dataset) -> list[Change]:
    from headwater.contracts.topic import apply_topic

    return [Change(dataset.name, Target.TOPIC, what) for what in apply_topic(settings, dataset)]


def _plan_subject(settings: Settings, dataset: Dataset) -> list[Change]:
    from headwater.contracts.subject import plan_subject

    return [Change(dataset.name, Target.SUBJECT, what) for what in plan_subject(settings, dataset)]


def _apply_subject(settings: Settings, dataset: Dataset) -> list[Change]:
    from headwater.contracts.subject import apply_subject

    return [Change(dataset.name, Target.SUBJECT, what) for what in apply_subject(settings, dataset)]


def _plan_lake(_settings: Settings, dataset: Dataset) -> list[Change]:
    from headwater.contracts.iceberg import plan_tables
    from headwater.lake.catalog import get_catalog

    return [Change(dataset.name, Target.LAKE, what) for what in plan_tables(get_catalog(), dataset)]


def _apply_lake(_settings: Settings, dataset: Dataset) -> list[Change]:
    from headwater.contracts.iceberg import ensure_tables
    from headwater.lake.catalog import get_catalog

    return [Change(dataset.name, Target.LAKE, what) for what in ensure_tables(get_catalog(), dataset)]


def _plan_warehouse(_settings: Settings, dataset: Dataset) -> list[Change]:
    from headwater.contracts.warehouse import plan_warehouse

    return [Change(dataset.name, Target.WAREHOUSE, m.sql, m.destroys) for m in plan_warehouse(dataset)]


def _apply_warehouse(_settings: Settings, dataset: Dataset) -> list[Change]:
    from headwater.contracts.warehouse import apply_warehouse

    return [Change(dataset.name, Target.WAREHOUSE, m.sql, m.destroys) for m in apply_warehouse(dataset)]


_Step = Callable[[Settings, Dataset], list[Change]]
_PLAN: dict[Target, _Step] = {
    Target.TOPIC: _plan_topic,
    Target.SUBJECT: _plan_subject,
    Target.LAKE: _plan_lake,
    Target.WAREHOUSE: _plan_warehouse,
}
_APPLY: dict[Target, _Step] = {
    Target.TOPIC: _apply_topic,
    Target.SUBJECT: _apply_subject,
    Target.LAKE: _apply_lake,
    Target.WAREHOUSE: _apply_warehouse,
}
