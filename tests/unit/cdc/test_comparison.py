"""How a row becomes text, and what is compared at all; that Postgres comes to the same is in tests/integration/cdc."""

from __future__ import annotations

import datetime as dt
import hashlib
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from tests.envelopes import DATASETS

from headwater.cdc.comparison import compared, duckdb_hash, duckdb_key, postgres_key, postgres_text
from headwater.cdc.verification import differing_rows
from headwater.contracts.loader import load_file
from headwater.contracts.model import Column
from headwater.contracts.types import Primitive

ACCOUNTS = load_file(DATASETS / "accounts" / "accounts.yaml")
ALL = ("account_id", "owner_name", "balance", "opened_on", "changed_at", "phone")


def number(text: str) -> int:
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:15], 16)


def test_a_row_is_its_values_escaped() -> None:
    rows = pa.table(
        {
            "account_id": pa.array([1, 2], pa.int64()),
            "owner": ["a|b\\c", None],
            "balance": pa.array([Decimal("1.50"), None], pa.decimal128(12, 2)),
            "opened_on": pa.array([dt.date(1970, 1, 11), None]),
            "changed_at": pa.array(
                [dt.datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=dt.UTC), None], pa.timestamp("us", "UTC")
            ),
        }
    )
    with duckdb.connect() as connection:
        connection.register("batch", rows)
        query = f"SELECT {duckdb_hash(compared(ACCOUNTS, ALL).columns)} FROM batch ORDER BY account_id"
        found = [value for (value,) in connection.sql(query).fetchall()]
    assert found == [number(r"1|a\|b\\c|1.50|10|1000005"), number(r"2|\N|\N|\N|\N")]


def test_only_what_both_have_is_compared() -> None:
    assert compared(ACCOUNTS, ALL).without == ()
    fewer = compared(ACCOUNTS, [name for name in ALL if name != "balance"])
    assert fewer.without == ("balance",)
    assert fewer.names == ("account_id", "owner", "opened_on", "changed_at")
    assert [name for _, name in fewer.columns][1] == "owner_name"


def test_a_row_that_differs_is_told_with_both_hashes() -> None:
    assert differing_rows({(1,): 1, (2,): 2, (3,): 3}, {(1,): 1, (2,): 5, (4,): 4}) == {
        (2,): (2, 5), (3,): (3, None), (4,): (None, 4),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "source", "silver"),
    [
        (Primitive.LONG, '"k"', '"k"'),
        (Primitive.STRING, "(nullif(btrim((\"k\")::text, E' \\t\\r\\n'), '')) COLLATE \"C\"", '("k")::VARCHAR'),
        (Primitive.UUID, '(lower(("k")::text)) COLLATE "C"', 'lower("k")'),
    ],
)
def test_keys_are_ordered_alike(kind: Primitive, source: str, silver: str) -> None:
    column = Column("k", kind, primary_key=True)
    assert (postgres_key(column, "k"), duckdb_key(column)) == (source, silver)


def test_every_type_has_a_text_in_postgres() -> None:
    assert all(postgres_text(Column("v", kind), "v") for kind in Primitive)
