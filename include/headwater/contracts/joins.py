"""The dimensions of a metric that stand in other datasets: by which column they are reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headwater.contracts.metrics import Metric
from headwater.contracts.model import Column, Dataset
from headwater.errors import ContractError


def join_column(dataset: Dataset, other: Dataset) -> tuple[Column, Column]:
    """The column of `dataset` that refers to `other`, and the one it refers to.

    Raises `ContractError` where none does, several do, or it is not the other's whole key, so that the join would
    count rows twice.
    """
    found = [c for c in dataset.columns if c.references and c.references.partition(".")[0] == other.name]
    if len(found) != 1:
        how = "no column refers" if not found else "several columns refer"
        raise ContractError(f"{how} to {other.name}", remedy="a dimension is reached by one `relationships`")
    target = str(found[0].references).partition(".")[2]
    if other.primary_key != (target,):
        raise ContractError(f"{target} is not the key of {other.name}", remedy="refer to its key, or rows count twice")
    return found[0], other.column(target)


def dimension_column(metric: Metric, dimension: str, known: Mapping[str, Dataset]) -> tuple[Dataset, Column]:
    """Where a dimension stands. Raises `ContractError`."""
    own = known[metric.dataset]
    table, _, name = dimension.rpartition(".")
    if not table:
        return own, own.column(name)
    if table not in known:
        raise ContractError(f"there is no dataset '{table}'", remedy="name a dataset that a column here refers to")
    join_column(own, known[table])
    return known[table], known[table].column(name)


def metric_faults(dataset: Dataset, known: Mapping[str, Dataset]) -> Iterator[str]:
    """What is wrong with a contract's metrics beside the others: names that are taken, dimensions out of reach."""
    names = {m.name: d.name for d in known.values() for m in d.metrics if d.name != dataset.name}
    if dataset.metrics and dataset.warehouse is None:
        yield "metrics: the dataset has no ClickHouse table"
    for metric in dataset.metrics:
        if metric.name in names:
            yield f"metrics: '{metric.name}' is a metric of {names[metric.name]} already"
        for dimension in metric.dimensions:
            try:
                where, _ = dimension_column(metric, dimension, known)
            except ContractError as error:
                yield f"metrics: '{metric.name}' by '{dimension}': {error.what}"
                continue
            if where.warehouse is None:
                yield f"metrics: '{metric.name}' by '{dimension}': {where.name} has no ClickHouse table"
