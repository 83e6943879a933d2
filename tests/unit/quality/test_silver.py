"""What of silver is judged where, and what its metadata answers."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tests.unit.lake.tables import append, new_catalog

from headwater.contracts.loader import load_dataset
from headwater.contracts.model import TableRule
from headwater.quality.silver import Built, judged_by_batch, known_number, row_bounds, rows_to_judge

SALES, HOUSEHOLDS, STORES = (load_dataset(name) for name in ("transactions", "households", "stores"))
UNIQUE = TableRule("primary_key_unique", "duplicateValues", SALES.primary_key, maximum=0)
BATCH = Built("silver.`basket_id` BETWEEN 1 AND 2")


@pytest.mark.parametrize(
    ("rule", "by_batch"),
    [
        (UNIQUE, True),
        (TableRule("r", "duplicateValues", (*SALES.primary_key, "store_id"), maximum=0), True),
        (TableRule("r", "duplicateValues", ("basket_id",), maximum=0), False),
        (TableRule("r", "duplicateValues", SALES.primary_key, maximum=3), False),
        (TableRule("r", "nullValues", ("week",), maximum=0), True),
        (TableRule("r", "nullValues", ("week",), maximum=5, unit="percent"), False),
        (TableRule("r", "rowCount", maximum=0), False),
        (TableRule("r", "sql", maximum=0, query="SELECT 0"), False),
        (TableRule("r", "sql", maximum=0, query="SELECT 0", arguments={"scope": "rows"}), True),
    ],
)
def test_which_rules_need_only_the_rows_of_the_batch(rule: TableRule, by_batch: bool) -> None:
    assert judged_by_batch(SALES, rule) is by_batch
    assert (BATCH.condition in rows_to_judge(SALES, rule, BATCH)) is by_batch


def test_a_table_is_judged_as_the_source_has_it() -> None:
    rule = TableRule("r", "rowCount", minimum=1)
    assert rows_to_judge(SALES, rule, BATCH) == "(SELECT * FROM lake.silver.transactions AS silver)"
    assert rows_to_judge(STORES, rule, BATCH).endswith("AS silver WHERE NOT _is_deleted)")
    assert rows_to_judge(HOUSEHOLDS, rule, BATCH).endswith("AS silver WHERE is_current)")


@pytest.mark.parametrize(
    ("minimum", "maximum", "known"), [(1, None, 3), (3, 3, 3), (4, None, None), (None, 2, None), (None, None, 3)]
)
def test_rows_are_counted_by_metadata_where_the_verdict_is_sure(
    tmp_path: Path, minimum: int | None, maximum: int | None, known: int | None
) -> None:
    table = new_catalog(tmp_path).create_table("silver.t", pa.schema([("id", pa.int64())]))
    assert row_bounds(table) == (0, 0)
    append(table, [1, 2, 3])
    rule = TableRule("r", "rowCount", minimum=minimum, maximum=maximum)
    assert row_bounds(table) == (3, 3)
    assert known_number(SALES, table, rule, BATCH) == known
    assert known_number(STORES, table, rule, BATCH) is None


def test_a_first_build_is_unique_as_it_was_written(tmp_path: Path) -> None:
    table = new_catalog(tmp_path).create_table("silver.t", pa.schema([("id", pa.int64())]))
    assert known_number(SALES, table, UNIQUE, Built(unique=True)) == 0
    assert known_number(SALES, table, UNIQUE, BATCH) is None
