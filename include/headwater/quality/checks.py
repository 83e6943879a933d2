"""Judge a table's rows by the rules of its contract, through Great Expectations, before readers see them.

Rules about single rows look only at the rows a build has replaced: what has been published before has passed. Rules
about the table as a whole (counts, keys that may repeat in another partition) look at all of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headwater.contracts.model import Contracts, Dataset, Severity
from headwater.errors import TerminalError
from headwater.quality.expectations import judge
from headwater.quality.measures import Measure, failing_rows, measure, shown

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


REMEDY = "readers keep the last good version; correct the input or the rule and run the job again"


class QualityFailed(TerminalError):
    """A rule of severity error is broken; nothing downstream may be built."""


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

    def raise_for_errors(self, where: str, remedy: str = REMEDY) -> None:
        """Raise `QualityFailed`, naming each broken error rule."""
        if self.errors:
            raise QualityFailed(
                f"{len(self.errors)} of {len(self.results)} rules are broken: {'; '.join(self.errors)}",
                where=where,
                remedy=remedy,
            )


def check(
    spark: SparkSession, contracts: Contracts, dataset: Dataset, identifier: str, condition: str = "true"
) -> Report:
    """Judge the table `identifier` (a branch, as Spark names it), whose rows of `condition` are new."""
    begun = time.monotonic()
    measures = measure(spark, contracts, dataset, identifier, condition)
    results = []
    for result in judged(measures):
        if not result.passed and (rows := failing_rows(spark, dataset, result.rule, identifier, condition)):
            result = replace(result, found=f"{result.found} rows that do not, such as {'; '.join(rows)}")
        results.append(result)
    return Report(dataset.name, tuple(results), round(time.monotonic() - begun, 3))


def judged(measures: Sequence[Measure]) -> tuple[CheckResult, ...]:
    """The outcome of each measured rule."""
    verdicts = zip(measures, judge(measures), strict=True)
    return tuple(CheckResult(m.rule, m.severity, passed, m.expected, _found(m)) for m, passed in verdicts)


def _found(measured: Measure) -> str:
    return "nothing" if measured.value is None else shown(measured.value)
