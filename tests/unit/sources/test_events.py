"""Events against the package's own files, read by DuckDB."""

from datetime import date, datetime
from decimal import Decimal

import duckdb
import pytest

from headwater.contracts.avro import avro_schema
from headwater.errors import TerminalError
from headwater.sources import completejourney
from headwater.sources.events import event_source


def _sql(query: str) -> list[tuple]:
    return duckdb.sql(query.replace("{file}", f"'{completejourney.data_file('transactions')}'")).fetchall()


def test_a_range_is_half_open_and_in_the_order_of_time():
    rows = event_source("transactions").rows(date(2017, 3, 1), date(2017, 3, 3))
    expected = _sql(
        "SELECT count(*) FROM {file} "
        "WHERE transaction_timestamp >= '2017-03-01' AND transaction_timestamp < '2017-03-03'"
    )
    times = rows["transaction_timestamp"].to_pylist()
    assert [(len(times),)] == expected
    assert times == sorted(times)


def test_a_limit_takes_the_first_rows():
    source = event_source("transactions")
    assert source.rows(limit=10).equals(source.rows(date(2017, 1, 1), date(2017, 1, 2)).slice(0, 10))


def test_a_sale_carries_its_envelope_and_its_amounts_in_cents():
    source = event_source("transactions")
    first = source.events(source.rows(limit=1), schema_version=3).to_pylist()[0]
    assert first == {
        "event_id": "31198570044-1095275",
        "event_type": "sale",
        "event_timestamp": datetime(2017, 1, 1, 11, 53, 26),
        "source_system": "pos",
        "schema_version": 3,
        "household_id": 900,
        "store_id": 330,
        "basket_id": 31198570044,
        "product_id": 1095275,
        "quantity": 1,
        "sales_value": Decimal("0.50"),
        "retail_disc": Decimal("0.00"),
        "coupon_disc": Decimal("0.00"),
        "coupon_match_disc": Decimal("0.00"),
        "week": 1,
    }


def test_amounts_are_those_of_the_file_to_the_cent():
    source = event_source("transactions")
    events = source.events(source.rows(limit=100_000), 1)
    (expected,) = _sql(
        "SELECT sum(CAST(sales_value AS DECIMAL(10,2))), sum(CAST(retail_disc AS DECIMAL(10,2))) "
        "FROM (SELECT * FROM {file} ORDER BY file_row_number LIMIT 100000)".replace(
            "{file}", "read_parquet({file}, file_row_number=true)"
        )
    )
    assert tuple(sum(events[name].to_pylist()) for name in ("sales_value", "retail_disc")) == expected


@pytest.mark.parametrize("dataset", ["transactions", "coupon_redemptions"])
def test_event_ids_are_unique_in_the_whole_file(dataset):
    source = event_source(dataset)
    ids = source.event_ids(source.rows())
    assert len(ids.unique()) == len(ids)


@pytest.mark.parametrize("dataset", ["transactions", "coupon_redemptions"])
def test_events_have_the_fields_of_the_contracts_schema(dataset):
    source = event_source(dataset)
    events = source.events(source.rows(limit=5), 1)
    assert events.column_names == [field["name"] for field in avro_schema(source.dataset)["fields"]]


def test_a_redemption_is_known_by_household_coupon_campaign_and_day():
    source = event_source("coupon_redemptions")
    first = source.events(source.rows(limit=1), 1).to_pylist()[0]
    assert first["event_id"] == "1029-51380041013-26-20170101"
    assert first["event_timestamp"] == datetime(2017, 1, 1)


def test_the_message_key_is_the_household_in_digits():
    source = event_source("transactions")
    assert source.keys(source.rows(limit=2)) == [b"900", b"900"]


def test_a_dataset_that_is_not_replayed_is_refused_with_those_that_are():
    with pytest.raises(TerminalError, match="coupon_redemptions, transactions"):
        event_source("households")
