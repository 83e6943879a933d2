"""Change events become rows of bronze, each by its own schema, none left out. The envelopes are made by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from pyspark.sql import SparkSession
from tests.envelopes import COLUMNS, START, ChangeCase, account, change, change_case, envelope_schema

from headwater.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture
def case(stack: Settings) -> ChangeCase:
    return change_case(stack)


def test_every_change_is_one_row(case: ChangeCase, spark: SparkSession):
    moment = datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    micros = int(moment.timestamp()) * 1_000_000 + 678901
    whole = account(1, "Cyd 𝒳", "-5.25", opened_on=-1, changed_at=micros)
    case.send(
        change("r", whole, lsn=100),
        change("c", account(2), lsn=110, prior=105),
        change("u", account(2, balance=None), lsn=120, prior=115),
        change("d", account(2), lsn=130, prior=125),
        None,
        change("t", lsn=140, prior=135),
    )
    case.read_once(spark)

    assert case.rows("_operation", "_lsn", "_prior_commit_lsn", "_tx_id", "account_id", "balance") == [
        ("read", 100, 100, 800, 1, Decimal("-5.25")),
        ("insert", 110, 105, 810, 2, Decimal("10.00")),
        ("update", 120, 115, 820, 2, None),
        ("delete", 130, 125, 830, 2, Decimal("10.00")),
        ("tombstone", None, None, None, None, None),
        ("truncate", 140, 135, 840, None, None),
    ]
    assert case.rows("owner", "opened_on", "changed_at")[0] == ("Cyd 𝒳", date(1969, 12, 31), moment)
    assert case.rows("_committed_at")[0] == (START + timedelta(seconds=100),)
    assert case.rows("_error", "_raw") == [(None, None)] * 6
    assert case.places() == [(0, offset) for offset in range(6)]


def test_the_source_may_change_its_columns_while_the_stream_runs(
    case: ChangeCase, spark: SparkSession, caplog: pytest.LogCaptureFixture
):
    case.send(change("c", account(1), lsn=100))
    added = {**COLUMNS, "phone": ["null", "string"]}
    case.use(envelope_schema(added))
    case.send(change("c", {**account(2), "phone": "1"}, lsn=110))
    dropped = {name: kind for name, kind in added.items() if name != "balance"}
    case.use(envelope_schema(dropped))
    case.send(change("c", {**account(3), "phone": "1"}, lsn=120))
    renamed = {"owner" if name == "owner_name" else name: kind for name, kind in COLUMNS.items()}
    case.use(envelope_schema({**renamed, "account_id": "int", "balance": "double"}))
    case.send(change("c", {**account(4), "owner": "Bob", "balance": 2.5}, lsn=130))
    case.read_once(spark)

    assert case.rows("account_id", "owner", "balance", "_error") == [
        (1, "Ada", Decimal("10.00"), None),
        (2, "Ada", Decimal("10.00"), None),
        (3, "Ada", None, None),
        (4, "Bob", Decimal("2.50"), None),
    ]
    assert "phone" not in case.bronze()[0]
    case.use(envelope_schema(dropped | {"email": "string"}))
    case.send(change("c", {**account(5), "phone": "1", "email": "e"}, lsn=140))
    with caplog.at_level("WARNING"):
        case.read_once(spark)
    assert "the source has email, phone, which the contract does not have: left out" in caplog.text
    assert "the source does not have balance: null from now on" in caplog.text


def test_what_cannot_be_read_is_in_quarantine_with_its_reason(case: ChangeCase, spark: SparkSession):
    good = case.value(change("c", account(1), lsn=100))
    case.send(
        change("c", account(2, balance="10.125"), lsn=110),
        change("c", account(3, balance="123456789012.00"), lsn=111),
        change("c", account(4, balance="NaN"), lsn=112),
        change("u", lsn=113),
        change("m", account(5), lsn=114),
    )
    case.produce(good[:9], b"", b"\1" + good[1:], b"\0\0\0\xff\xff" + good[5:], good)
    case.read_once(spark)

    assert [reason for (reason,) in case.rows("_error")] == [
        "does_not_fit: balance",
        "does_not_fit: balance",
        "does_not_fit: balance",
        "row_missing",
        "unknown_operation",
        "undecodable_avro",
        "empty_value",
        "bad_magic_byte",
        "unknown_schema_id",
        None,
    ]
    assert [bool(row["_raw"]) for row in case.bronze("_raw")] == [True] * 6 + [False, True, True, False]
    ledger = case.ledger(exact=True)
    assert (ledger.unaccounted, sum(line.quarantined for line in ledger.partitions)) == (0, 9)
