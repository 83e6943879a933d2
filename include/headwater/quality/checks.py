"""Judge a table's rows by the rules of its contract, through Great Expectations, before readers see them.

Rules about single rows look only at the rows a build has replaced: what has been published before has passed. Rules
about the table as a whole (counts, keys that may repeat in another partition) look at all of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.contracts.model import Dataset, Severity
from headwater.contracts.quality import expectations
from headwater.errors import TerminalError
from headwater.quality.scope import judged_by_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class QualityFailed(TerminalError):
    """Rows break a rule of severity error; nothing was published."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One rule's outcome: what was expected, what was found, as short texts."""

    rule: str
    severity: Severity
    passed: bool
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.rule}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Report:
    """All rules of one build."""

    dataset: str
    results: tuple[CheckResult, ...]
    seconds: float = 0.0

    @property
    def errors(self) -> tuple[str, ...]:
        """Broken rules of severity error, as text."""
        return tuple(str(r) for r in self.results if not r.passed and r.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Broken rules of severity warning, as text."""
        return tuple(str(r) for r in self.results if not r.passed and r.severity is Severity.WARNING)

    def raise_for_errors(self, where: str) -> None:
        """Raise `QualityFailed`, naming each broken error rule."""
        if self.errors:
            raise QualityFailed(
                f"{len(self.errors)} of {len(self.results)} rules are broken: {'; '.join(self.errors)}",
                where=where,
                remedy="readers keep the last good version; correct the input or the rule and run the job again",
            )


def check(spark: SparkSession, dataset: Dataset, identifier: str, condition: str = "true") -> Report:
    """Judge the table `identifier` (a branch, as Spark names it), whose rows of `condition` are new."""
    begun = time.monotonic()
    whole = spark.table(identifier)
    by_rows: list[Any] = []
    by_table: list[Any] = []
    for expectation in expectations(dataset):
        (by_rows if judged_by_rows(dataset, expectation.meta["rule"]) else by_table).append(expectation)
    if condition == "true":
        by_rows, by_table = [], by_rows + by_table
    results = _validate(whole.where(condition), by_rows) + _validate(whole, by_table)
    return Report(dataset.name, tuple(results), round(time.monotonic() - begun, 3))


def _validate(frame: DataFrame, suite: Sequence[Any]) -> list[CheckResult]:
    """Run expectations on a frame in one go."""
    if not suite:
        return []
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    source = context.data_sources.add_spark("build", persist=False)
    batch = (
        source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    )
    expectation_suite = gx.ExpectationSuite("contract", expectations=list(suite))
    found = batch.validate(expectation_suite, result_format="BASIC")
    return [_result(item) for item in found.results]


def _result(item: Any) -> CheckResult:
    meta = item.expectation_config.meta
    return CheckResult(
        meta["rule"], Severity(meta["severity"]), bool(item.success), _expected(item.expectation_config), _found(item)
    )


_NOT_SAID = {"batch_id", "severity", "column"}


def _expected(configuration: Any) -> str:
    given = {k: v for k, v in configuration.kwargs.items() if k not in _NOT_SAID and v is not None}
    query = given.pop("unexpected_rows_query", None)
    if query:
        return f"no row of: {' '.join(query.split())}"
    column = configuration.kwargs.get("column")
    text = configuration.type.removeprefix("expect_").replace("_", " ")
    return f"{text}{f' ({column})' if column else ''}{f' {json.dumps(given, default=str)}' if given else ''}"


def _found(item: Any) -> str:
    if item.exception_info and item.exception_info.get("raised_exception"):
        return f"an error: {item.exception_info.get('exception_message')}"
    result = item.result or {}
    if "unexpected_count" in result:
        values = result.get("partial_unexpected_list") or []
        return f"{result['unexpected_count']} of {result.get('element_count', '?')} rows{_sample(values)}"
    rows = (result.get("details") or {}).get("unexpected_rows")
    return f"{result.get('observed_value')}{_sample(rows or [])}"


def _sample(values: Sequence[Any]) -> str:
    return f", such as {', '.join(map(str, list(values)[:3]))}" if values else ""
