"""Events judged by a contract, without any service."""

from dataclasses import replace
from decimal import Decimal

import pytest

from headwater.api.judging import Judge
from headwater.api.openapi import event_schema
from headwater.contracts.loader import load_contracts, load_dataset
from headwater.contracts.model import Kind, RowRule, Severity

EVENT = {
    "event_id": "1-1",
    "event_timestamp": "2017-03-01T10:00:00Z",
    **dict.fromkeys(("household_id", "store_id", "basket_id", "product_id", "quantity"), 1),
    **dict.fromkeys(("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc"), Decimal("1.10")),
    "week": 9,
}


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(load_dataset("transactions"))


def faults(judge: Judge, *events):
    return [(f.index, f.field, f.rule) for f in judge.judge(list(enumerate(events)), 1).faults]


def test_a_good_event_gets_the_envelope_of_the_contract(judge: Judge):
    judged = judge.judge([(4, EVENT)], 3)
    assert (judged.indexes, judged.faults) == ([4], [])
    (row,) = judged.rows.to_pylist()
    assert (row["event_type"], row["source_system"], row["schema_version"]) == ("sale", "pos", 3)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"event_id": None}, ("event_id", "event_id_required")),
        ({"event_id": "  "}, ("event_id", "event_id_required")),
        ({"event_timestamp": "1970-01-01T00:00:00Z"}, ("event_timestamp", "event_timestamp_minimum")),
        ({"event_timestamp": "2099-01-01T00:00:00Z"}, ("event_timestamp", "event_timestamp_maximum")),
        ({"sales_value": Decimal("-0.01")}, ("sales_value", "sales_value_minimum")),
        ({"week": 54}, ("week", "week_maximum")),
        ({"transaction_date": "2017-03-01"}, ("transaction_date", "unknown")),
        ({"a'; DROP TABLE x": 1}, ("a'; DROP TABLE x", "unknown")),
    ],
)
def test_a_bad_event_names_field_and_rule(judge: Judge, change, expected):
    assert faults(judge, EVENT, {**EVENT, **change}) == [(1, *expected)]


def test_an_event_names_every_fault_it_has(judge: Judge):
    assert [f[1:] for f in faults(judge, {**EVENT, "week": 0, "quantity": -1})] == [
        ("quantity", "quantity_minimum"),
        ("week", "week_minimum"),
    ]


def with_rule(expression: str, severity: Severity = Severity.ERROR) -> Judge:
    dataset = load_dataset("transactions")
    return Judge(replace(dataset, row_rules=(*dataset.row_rules, RowRule("own", expression, None, severity))))


def test_a_rule_over_derived_columns_is_judged():
    judge = with_rule("(transaction_date < DATE '2017-03-01')")
    assert faults(judge, EVENT, {**EVENT, "event_timestamp": "2017-02-28T23:59:59Z"}) == [(0, "", "own")]


def test_a_rule_that_only_warns_refuses_nothing():
    assert faults(with_rule("(week > 100)", Severity.WARNING), EVENT) == []


def test_values_that_a_rule_fails_on_refuse_their_event_alone():
    judge = with_rule("(quantity * quantity > 0)")
    events = [{**EVENT, "quantity": number} for number in (1, 2**62, 1, 0)]
    assert faults(judge, *events) == [(1, "", "judged"), (3, "", "own")]


def test_a_rule_that_cannot_be_read_is_left_to_silver_and_said(caplog):
    judge = with_rule("(regexp_like(event_id, '(?=a)'))")
    assert "own is left to silver" in caplog.text
    assert faults(judge, EVENT) == []


@pytest.mark.parametrize("dataset", load_contracts().of_kind(Kind.STREAM), ids=lambda d: d.name)
def test_every_stream_is_described_with_its_fields(dataset):
    schema = event_schema(dataset)
    assert list(schema["properties"]) == [column.name for column in dataset.source_columns]
    assert {"event_id", "event_timestamp"} <= set(schema["required"])
    assert all("type" in column for column in schema["properties"].values())
