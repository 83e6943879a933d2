"""Judge a table's rows by the rules of its contract, through Great Expectations, before readers see them.

Rules about single rows look only at the rows a build has replaced: what has been published before has passed. Rules
about the table as a whole (counts, keys that may repeat in another partition) look at all of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.contracts.model import Contracts, Dataset, Severity
from headwater.errors import TerminalError
from headwater.quality.expectations import judge
from headwater.quality.measures import Measure, failing_rows, measure

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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
    """All rules of one build, and the seconds it took to judge them."""

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


def check(
    spark: SparkSession, contracts: Contracts, dataset: Dataset, identifier: str, condition: str = "true"
) -> Report:
    """Judge the table `identifier` (a branch, as Spark names it), whose rows of `condition` are new."""
    begun = time.monotonic()
    measures = measure(spark, contracts, dataset, identifier, condition)
    results = []
    for measured, passed in zip(measures, judge(measures), strict=True):
        found = _found(measured)
        if not passed and (rows := failing_rows(spark, dataset, measured.rule, identifier, condition)):
            found += f" rows that do not, such as {'; '.join(rows)}"
        results.append(CheckResult(measured.rule, measured.severity, passed, measured.expected, found))
    return Report(dataset.name, tuple(results), round(time.monotonic() - begun, 3))


def _found(measured: Measure) -> str:
    return "nothing" if measured.value is None else f"{measured.value:g}"
