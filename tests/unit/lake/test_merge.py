"""The statements of silver, from contracts alone: golden where a wrong word would lose rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from headwater.contracts.loader import load_dataset
from headwater.contracts.model import RowRule, Severity
from headwater.contracts.quality import error_rules
from headwater.contracts.types import parse_type
from headwater.lake import merge
from headwater.lake.bounds import bounds_of
from headwater.lake.conform import comparable, newest_first, order_columns
from headwater.lake.history import version_time
from headwater.lake.refusals import restate_refused

STORES = load_dataset("stores")
ACCOUNTS = load_dataset(Path(__file__).parents[2] / "datasets" / "accounts" / "accounts.yaml")
BOUNDS = bounds_of(("store_id",), [[(1, 9)]])


def test_upsert() -> None:
    assert merge.upsert(STORES, "lake.silver.stores", "batch", BOUNDS) == (
        "MERGE INTO lake.silver.stores t USING batch s\n"
        "ON t.`store_id` = s.`store_id` AND ((t.`store_id` BETWEEN 1 AND 9))\n"
        "WHEN MATCHED AND struct(s.`_ingested_at`) > struct(t.`_ingested_at`) AND NOT (t.`store_id` <=> s.`store_id` "
        "AND t.`store_name` <=> s.`store_name` AND t.`updated_at` <=> s.`updated_at` "
        "AND t.`_is_deleted` <=> s.`_is_deleted`) THEN UPDATE SET *\n"
        "WHEN NOT MATCHED THEN INSERT *"
    )


def test_a_captured_row_takes_the_place_of_a_later_change() -> None:
    sql = merge.upsert(ACCOUNTS, "t1", "v", BOUNDS)
    order = "struct({0}.`_prior_commit_lsn`, {0}.`_lsn`, {0}.`_kafka_offset`)"
    assert f"WHEN MATCHED AND {order.format('s')} > {order.format('t')} AND (NOT (" in sql
    place = "struct({0}.`_prior_commit_lsn`, {0}.`_lsn`)"
    assert f"OR ({place.format('s')} > {place.format('t')} AND s._operation <> 'read'))" in sql
    assert version_time(ACCOUNTS) == "_committed_at"


def test_a_restatement_keeps_what_is_newer() -> None:
    sql = merge.restate(STORES, "t1", "v", BOUNDS)
    is_refused = "array_contains(s._refused_orders, struct(t.`_ingested_at`))"
    assert f"WHEN MATCHED AND NOT s._accepted AND {is_refused} THEN DELETE" in sql
    assert f"AND (struct(s.`_ingested_at`) >= struct(t.`_ingested_at`) OR {is_refused})" in sql
    assert "WHEN NOT MATCHED AND s._accepted THEN INSERT *" in sql


def test_versions_match_on_key_and_beginning() -> None:
    sql = merge.versions(load_dataset("households"), "t1", "v", bounds_of(("household_id",), [[(1, 2)]]))
    assert "ON t.`household_id` = s.`household_id` AND t.`valid_from` = s.`valid_from` AND (" in sql
    assert "WHEN MATCHED AND s._gone THEN DELETE" in sql
    assert "t.`valid_to` <=> s.`valid_to`" in sql
    assert "WHEN NOT MATCHED AND NOT s._gone THEN INSERT *" in sql


def test_where_and_when_it_came_is_no_content() -> None:
    columns = merge.content_columns(load_dataset("transactions"))
    assert "quantity" in columns
    assert "transaction_date" in columns
    assert not [name for name in columns if name.startswith("_")]


def test_refused_rows_are_recognised_by_their_place() -> None:
    sql = restate_refused(load_dataset("transactions"), "t1", "v")
    assert "t.`_kafka_offset` <=> s.`_kafka_offset` AND t.`_attempt` <=> s.`_attempt`" in sql


def test_order_is_the_contracts_then_the_place() -> None:
    sales, households = load_dataset("transactions"), load_dataset("households")
    assert order_columns(sales) == ("event_timestamp", "_kafka_offset", "_kafka_partition")
    assert newest_first(sales).endswith("`_attempt` DESC NULLS LAST")
    assert order_columns(households) == ("_ingested_at", "updated_at"), "a table is as it was read last"
    assert version_time(households) == "updated_at"
    assert version_time(sales) == "event_timestamp"


def test_keys_are_required_and_warnings_refuse_nothing() -> None:
    warned = RowRule("a_warning", "store_id < 5", severity=Severity.WARNING)
    bare = dataclasses.replace(STORES, row_rules=(warned,))
    assert [rule.name for rule in error_rules(bare)] == ["store_id_required"]
    assert len({rule.name for rule in error_rules(STORES)}) == len(error_rules(STORES))


@pytest.mark.parametrize(
    ("kind", "comparable_form"),
    [
        ("long", "x"),
        ("array<long>", "x"),
        ("map<string,long>", "array_sort(transform(map_entries(x), e0 -> struct(e0.key, e0.value AS value)))"),
        (
            "array<map<string,long>>",
            "transform(x, e0 -> array_sort(transform(map_entries(e0), e1 -> struct(e1.key, e1.value AS value))))",
        ),
    ],
)
def test_maps_are_compared_by_their_entries(kind: str, comparable_form: str) -> None:
    assert comparable("x", parse_type(kind)) == comparable_form
