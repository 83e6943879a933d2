"""Build a gold table from its model: only the partitions that a change reaches, checked before they are seen.

Every commit's summary says which snapshot of each input it was made from and which text of the model made it. The next
build compares: same inputs and same model, no commit; a changed model, a whole build; else the affected partitions.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from headwater.contracts.model import Contracts
from headwater.errors import TerminalError
from headwater.lake.branches import BRANCH
from headwater.lake.locks import TableLock, table_lock
from headwater.lake.models import Model
from headwater.lake.partitions import NOTHING, WHOLE, Affected, dates
from headwater.lake.publish import publish
from headwater.lake.snapshots import (
    MODEL_KEY,
    head_id,
    input_properties,
    inputs_read,
    nearest_properties,
    properties_of,
)
from headwater.lake.spread import affected, changed_inputs, input_heads
from headwater.quality.checks import Report, check
from headwater.quality.results import store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build did: rows written, main's snapshot, the parts it replaced, how many checks it passed."""

    table: str
    snapshot_id: int | None
    replaced: Affected = NOTHING
    rows: int = 0
    checks: int = 0
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The job's result line."""
        return {
            "table": self.table,
            "rows": self.rows,
            "snapshot_id": self.snapshot_id,
            "replaced": self.replaced.describe(),
            "checks": self.checks,
            "warnings": list(self.warnings),
        }


def build(
    spark: SparkSession, catalog: Catalog, contracts: Contracts, model: Model, requested: Affected = NOTHING
) -> BuildResult:
    """Bring the model's table up to its inputs, and build `requested` anew whatever has changed.

    Raises `QualityFailed` where an error rule is broken (main stays as it was), `ModelError`, `TableLocked`.
    """
    with table_lock(model.table, purpose="build") as lock:
        table = _load(catalog, model)
        heads = input_heads(catalog, model)
        parts = _parts(spark, catalog, contracts, model, table, heads) | _whole_partitions(model, requested)
        if not parts:
            return BuildResult(model.table, head_id(table))
        log.info("%s: building %s", model.table, parts.describe())
        return _replace(spark, catalog, contracts, model, lock, parts, heads)


def unchanged(catalog: Catalog, model: Model) -> BuildResult | None:
    """What `build` returns where there is nothing to do, from metadata alone: that needs no Spark. Else None."""
    table, heads = _load(catalog, model), input_heads(catalog, model)
    if not _made_by(model, table) or changed_inputs(catalog, model, inputs_read(table), heads):
        return None
    return BuildResult(model.table, head_id(table))


def requested_range(start: date | None, end: date | None) -> Affected:
    """What `--from` and `--to` ask for (half-open); nothing where neither is given."""
    if start is None and end is None:
        return NOTHING
    return dates(start or date(1900, 1, 1), end or date(9999, 12, 31))


def _load(catalog: Catalog, model: Model) -> Table:
    if not catalog.table_exists(model.table):
        raise TerminalError("there is no such table", where=model.table, remedy="run `headwater contract apply`")
    return catalog.load_table(model.table)


def _parts(
    spark: SparkSession, catalog: Catalog, contracts: Contracts, model: Model, table: Table, heads: dict[str, int]
) -> Affected:
    """What is behind: everything on the first build or after a change of the model, else what the inputs reach."""
    if not _made_by(model, table):
        return WHOLE
    return affected(spark, catalog, contracts, model, inputs_read(table), heads)


def _made_by(model: Model, table: Table) -> bool:
    """Whether the table's last build was by this text of the model."""
    return nearest_properties(table, MODEL_KEY).get(MODEL_KEY) == model.fingerprint


def _whole_partitions(model: Model, requested: Affected) -> Affected:
    """The request widened to partitions; a table without a change column can only be built whole."""
    if not requested:
        return NOTHING
    partition = next((p for p in model.dataset.partition_by if p.column == model.dataset.change_column), None)
    return WHOLE if partition is None else requested.aligned(partition)


def _replace(
    spark: SparkSession,
    catalog: Catalog,
    contracts: Contracts,
    model: Model,
    lock: TableLock,
    parts: Affected,
    heads: dict[str, int],
) -> BuildResult:
    condition = parts.condition(model.dataset.change_column or "")
    summary = {**input_properties(heads), MODEL_KEY: model.fingerprint}
    reports: list[Report] = []

    def write(branch: str) -> None:
        from pyspark.sql.functions import expr

        writer = model.frame(spark, heads).where(condition).writeTo(branch)
        for key, value in summary.items():
            writer = writer.option(f"snapshot-property.{key}", value)
        writer.overwrite(expr(condition))

    def audit(branch: str) -> None:
        report = check(spark, contracts, model.dataset, branch, condition)
        store(report, head_id(catalog.load_table(model.table), BRANCH))
        reports[:] = [report]
        report.raise_for_errors(model.table)

    snapshot_id = publish(spark, catalog, lock, write, audit)
    table = catalog.load_table(model.table)
    snapshot = table.metadata.snapshot_by_id(snapshot_id)
    rows = 0 if snapshot is None else int(properties_of(snapshot).get("added-records", 0))
    report = reports[0]
    return BuildResult(model.table, snapshot_id, parts, rows, len(report.results), report.warnings)
