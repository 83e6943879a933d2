"""Judge silver after a build: the contract's rules about the table, and the warnings about rows.

Silver has no branch: its rows are accepted one by one, and what breaks an error rule about rows never gets in (see
`lake.refusals`). What is judged here is the rest: rules about the table as a whole, and how many rows break a warning.
A broken error rule fails the build, so that nothing downstream runs, and it fails each later build until it holds.

The work follows the change:

- Warnings are counted in the pass over the batch that counts its refused rows (`lake.batch.summarize`).
- A count of rows is read from the table's metadata; the rows are counted only where that leaves the rule open.
- Rules that a row answers alone, and a key that may not repeat, look only at where the batch's keys can be.
- Everything else (a share in percent, a query of the contract's own) is measured on the whole table: that is what the
  contract asks for. Tables of a source database are compared whole at each read anyway.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyiceberg.table import Table

from headwater.contracts.model import Dataset, Kind, Severity, TableRule
from headwater.contracts.quality import TABLE, metric_query
from headwater.lake.snapshots import INPUT_PREFIX, nearest_with, properties_of
from headwater.quality.checks import Report, judged
from headwater.quality.measures import Measure, ask, measured
from headwater.quality.results import latest_reports, store
from headwater.quality.scope import ROW_METRICS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WITH_DELETED = (Kind.TABLE, Kind.CAPTURE)
"""Kinds whose silver keeps the rows that the source has deleted."""
REMEDY = "silver holds these rows, nothing is built on them; correct the source or the rule and run the job again"


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did: `condition` (SQL over the alias `silver`) holds for all rows it can have touched.

    `warned` counts the accepted rows that break each warning; `unique` says that all rows of the table are the build's,
    one per key.
    """

    condition: str = "true"
    warned: Mapping[str, int] = field(default_factory=dict)
    unique: bool = False


def audit(spark: SparkSession, dataset: Dataset, table: Table, built: Built) -> Report:
    """Judge silver as it is after the build, keep the report, and raise `QualityFailed` for a broken error rule."""
    begun = time.monotonic()
    results = judged(_measures(spark, dataset, table, built))
    report = Report(dataset.name, results, round(time.monotonic() - begun, 3))
    store(report, built_at(table))
    report.raise_for_errors(f"silver.{dataset.name}", REMEDY)
    return report


def audit_again(spark: SparkSession, dataset: Dataset, table: Table) -> Report | None:
    """Where nothing has changed: judge silver if its last build did not pass, or was killed before it was judged."""
    return audit(spark, dataset, table, Built()) if to_be_judged(dataset, table) else None


def to_be_judged(dataset: Dataset, table: Table) -> bool:
    """Whether silver's last build did not pass, or was killed before it was judged."""
    last = built_at(table)
    if last is None or not dataset.table_rules:
        return False
    return not any(report["passed"] and report["snapshot_id"] == last for report in latest_reports(dataset.name))


def built_at(table: Table) -> int | None:
    """The snapshot of silver's last build (compaction may have committed on top of it); None before the first."""
    snapshot = nearest_with(table, INPUT_PREFIX)
    return None if snapshot is None else snapshot.snapshot_id


def row_bounds(table: Table) -> tuple[int, int] | None:
    """Rows of the table by its metadata, at least and at most; None where that does not tell.

    They differ by the deleted positions: a position may be deleted in two files, or in one that is gone.
    """
    snapshot = table.current_snapshot()
    told = {} if snapshot is None else properties_of(snapshot)
    if snapshot is not None and ("total-records" not in told or int(told.get("total-equality-deletes", 0))):
        return None
    rows = int(told.get("total-records", 0))
    return max(0, rows - int(told.get("total-position-deletes", 0))), rows


def judged_by_batch(dataset: Dataset, rule: TableRule) -> bool:
    """Whether a rule that held before holds for the table if it holds where the batch's keys are."""
    if rule.unit == "percent" or rule.maximum != 0:
        return False
    if rule.metric == "duplicateValues":
        return bool(dataset.primary_key) and set(dataset.primary_key) <= set(rule.columns)
    return rule.metric in ROW_METRICS or rule.arguments.get("scope") == "rows"


def _measures(spark: SparkSession, dataset: Dataset, table: Table, built: Built) -> list[Measure]:
    warnings = {r.name: r for r in dataset.row_rules if r.severity is Severity.WARNING}
    found = [measured(warnings[name], count) for name, count in built.warned.items() if name in warnings]
    known = [known_number(dataset, table, rule, built) for rule in dataset.table_rules]
    open_rules = [rule for rule, number in zip(dataset.table_rules, known, strict=True) if number is None]
    queries = [metric_query(rule).replace(TABLE, rows_to_judge(dataset, rule, built)) for rule in open_rules]
    answers = iter(ask(spark, dataset, queries, [rule.name for rule in open_rules]))
    for rule, number in zip(dataset.table_rules, known, strict=True):
        found.append(measured(rule, next(answers) if number is None else number))
    return found


def known_number(dataset: Dataset, table: Table, rule: TableRule, built: Built) -> int | None:
    """The rule's number where it is known without a look at the rows."""
    if rule.metric == "rowCount" and dataset.kind not in WITH_DELETED and not dataset.history:
        found = row_bounds(table)
        return found[0] if found and _holds(rule, found[0]) and _holds(rule, found[1]) else None
    if rule.metric == "duplicateValues" and built.unique and judged_by_batch(dataset, rule):
        return 0
    return None


def _holds(rule: TableRule, number: int) -> bool:
    return (rule.minimum is None or number >= rule.minimum) and (rule.maximum is None or number <= rule.maximum)


def rows_to_judge(dataset: Dataset, rule: TableRule, built: Built) -> str:
    """The rows to measure: of a history the open versions, of a source table those it still has."""
    conditions = [f"({built.condition})"] if judged_by_batch(dataset, rule) else []
    if dataset.history:
        conditions.append("is_current")
    elif dataset.kind in WITH_DELETED:
        conditions.append("NOT _is_deleted")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"(SELECT * FROM lake.silver.{dataset.name} AS silver{where})"  # noqa: S608 - names come from contracts
