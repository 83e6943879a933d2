"""The comparison itself must see every kind of difference, or the truth proves nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from tests.truth.comparison import compare, differences

EXPECTED = pa.table(
    {
        "day": pa.array([date(2017, 1, 1), date(2017, 1, 2)]),
        "brand": pa.array(["National", None]),
        "baskets": pa.array([3, 4], pa.int64()),
        "sales_value": pa.array([Decimal("10.10"), Decimal("0.00")], pa.decimal128(18, 2)),
    }
)
KEY = ("day", "brand")


def changed(column: str, values: pa.Array) -> pa.Table:
    return EXPECTED.set_column(EXPECTED.column_names.index(column), column, values)


def test_the_same_rows_in_another_order_and_in_an_engines_own_types_are_no_difference() -> None:
    actual = EXPECTED.take([1, 0])
    actual = actual.set_column(1, "brand", actual["brand"].dictionary_encode())
    actual = actual.set_column(2, "baskets", actual["baskets"].cast(pa.uint16()))
    actual = actual.set_column(3, "sales_value", actual["sales_value"].cast(pa.decimal128(38, 2)))
    assert differences(actual, EXPECTED, KEY) == []


def test_a_cent_is_a_difference_and_is_named_with_its_row() -> None:
    actual = changed("sales_value", pa.array([Decimal("10.11"), Decimal("0.00")], pa.decimal128(18, 2)))
    [found] = differences(actual, EXPECTED, KEY)
    assert "sales_value differs in 1 rows: day=2017-01-01, brand=National" in found
    assert "Decimal('10.11'), expected Decimal('10.10')" in found


def test_a_null_is_not_a_zero() -> None:
    actual = changed("sales_value", pa.array([Decimal("10.10"), None], pa.decimal128(18, 2)))
    assert len(differences(actual, EXPECTED, KEY)) == 1


def test_a_missing_row_and_one_too_many_are_told_apart() -> None:
    assert differences(EXPECTED.slice(0, 1), EXPECTED, KEY) == ["1 rows missing, such as day=2017-01-02, brand=None"]
    assert differences(EXPECTED, EXPECTED.slice(0, 1), KEY) == [
        "1 rows not expected, such as day=2017-01-02, brand=None"
    ]


def test_a_row_that_is_there_twice_is_a_difference() -> None:
    found = differences(pa.concat_tables([EXPECTED, EXPECTED.slice(0, 1)]), EXPECTED, KEY)
    assert found == ["actual has 2 rows of day=2017-01-01, brand=National"]


def test_columns_in_another_order_are_a_difference() -> None:
    assert differences(EXPECTED.select(EXPECTED.column_names[::-1]), EXPECTED, KEY)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("sales_value", pa.array([10.10, 0.0])),
        ("day", pa.array(["2017-01-01", "2017-01-02"])),
        ("day", pa.array([datetime(2017, 1, 1, tzinfo=UTC), datetime(2017, 1, 2, tzinfo=UTC)])),
    ],
    ids=["money as a float", "a day as text", "a day as a time"],
)
def test_values_of_another_kind_are_refused(column: str, values: pa.Array) -> None:
    with pytest.raises(TypeError, match="values came as"):
        differences(changed(column, values), EXPECTED, KEY)


def test_a_fraction_of_a_cent_is_refused_rather_than_rounded() -> None:
    values = pa.array([Decimal("10.104"), Decimal("0.000")], pa.decimal128(18, 3))
    with pytest.raises(pa.ArrowInvalid):
        differences(changed("sales_value", values), EXPECTED, KEY)


def test_compare_raises_with_all_differences() -> None:
    with pytest.raises(AssertionError, match="missing"):
        compare(EXPECTED.slice(0, 1), EXPECTED, KEY)
