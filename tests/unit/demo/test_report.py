"""The demo's verdict: whatever is off, one check fails and names it; the command then ends with 1."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from headwater.contracts.avro import avro_schema
from headwater.contracts.model import Severity
from headwater.demo import commands, screen
from headwater.demo.report import BROKEN_RECORDS, Findings, Layers, Sales, checks
from headwater.quality.checks import CheckResult
from headwater.sources.broken import Outcome, broken_records
from headwater.sources.events import event_source
from headwater.sources.subjects import RegisteredSchema

PASSED = CheckResult("has_rows", Severity.ERROR, True, "at least 1", "3")
GOOD = Findings(
    layers=(
        Layers("transactions", bronze=9, silver=3, gold=None, clickhouse=3),
        Layers("fct_sales", bronze=None, silver=None, gold=3, clickhouse=3),
    ),
    source=Sales(3, Decimal("9.50")),
    gold_lines=3,
    clickhouse=Sales(3, Decimal("9.50")),
    unaccounted=0,
    quarantine=Counter(BROKEN_RECORDS),
    gold_tables=("fct_sales",),
    quality={"fct_sales": (PASSED,), "transactions": (PASSED,)},
)
OFF = {
    "every offset is accounted for": {"unaccounted": 1},
    "every sales line of the source is in gold": {"gold_lines": 2},
    "and in ClickHouse": {"clickhouse": Sales(4, Decimal("9.50"))},
    "sales to the cent": {"clickhouse": Sales(3, Decimal("9.49"))},
    "broken records are in quarantine": {"quarantine": BROKEN_RECORDS - Counter({"empty_value": 1})},
    "gold and ClickHouse agree": {"layers": (replace(GOOD.layers[1], clickhouse=None),)},
    "quality rules passed": {"quality": GOOD.quality | {"transactions": (PASSED, replace(PASSED, passed=False))}},
    "every gold table was checked": {"quality": {}},
}


def failed(found: Findings) -> list[str]:
    return [check.name for check in checks(found) if not check.passed]


def test_nothing_is_off() -> None:
    assert failed(GOOD) == []
    assert {check.name for check in checks(GOOD)} == set(OFF), "each check has a case below"


@pytest.mark.parametrize(("name", "change"), OFF.items(), ids=list(OFF))
def test_what_is_off_fails_its_check_alone(name: str, change: dict[str, Any]) -> None:
    assert failed(replace(GOOD, **change)) == [name]


def test_a_record_of_the_users_own_in_quarantine_is_no_fault() -> None:
    assert failed(replace(GOOD, quarantine=BROKEN_RECORDS + Counter({"undecodable_avro": 5, "a_rule": 1}))) == []


def test_as_many_broken_records_are_expected_as_are_sent() -> None:
    sent = broken_records(RegisteredSchema(1, 1, avro_schema(event_source("transactions").dataset)))
    assert BROKEN_RECORDS.total() == sum(record.outcome is not Outcome.STORED for record in sent)


@pytest.mark.parametrize(("found", "code"), [(GOOD, 0), (replace(GOOD, unaccounted=1), 1)], ids=["good", "off"])
def test_the_command_ends_with_1_when_something_is_off(
    monkeypatch: pytest.MonkeyPatch, found: Findings, code: int
) -> None:
    class NoSteps:
        timings = ()

        def __init__(self, *_: object) -> None: ...

        def run(self) -> None: ...

    monkeypatch.setattr(commands, "start_platform", lambda *_: None)
    monkeypatch.setattr(commands, "Steps", NoSteps)
    monkeypatch.setattr(screen, "gather", lambda *_: found)
    monkeypatch.setattr(screen, "answered", list)
    answer = CliRunner().invoke(commands.app, [])
    assert answer.exit_code == code, answer.output
    assert ("FAILED" in answer.output) == bool(code)
