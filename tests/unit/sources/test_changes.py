from collections import Counter
from datetime import datetime

from headwater.sources import completejourney
from headwater.sources.changes import INCOME_BANDS, planned_changes


def test_forty_households_and_twenty_five_products_change_on_their_day():
    assert Counter((change.table, change.column, change.at) for change in planned_changes()) == {
        ("households", "income", datetime(2017, 6, 15)): 40,
        ("products", "product_category", datetime(2017, 9, 1)): 25,
    }


def test_every_change_starts_from_the_value_of_the_file():
    files = {
        "households": completejourney.read("demographics", ["household_id", "income"]),
        "products": completejourney.read("products", ["product_id", "product_category"]),
    }
    values = {
        table: dict(zip(*(column.to_pylist() for column in rows.columns), strict=True)) for table, rows in files.items()
    }
    assert all(values[c.table][c.key] == c.old != c.new for c in planned_changes())


def test_income_moves_up_one_band():
    moved = [change for change in planned_changes() if change.column == "income"]
    assert all(INCOME_BANDS.index(change.new) - INCOME_BANDS.index(change.old) == 1 for change in moved)


def test_the_bands_are_all_those_of_the_file():
    assert set(completejourney.read("demographics")["income"].to_pylist()) == set(INCOME_BANDS)


def test_a_product_stays_in_its_department():
    products = completejourney.read("products").to_pylist()
    categories = {(row["department"], row["product_category"]) for row in products}
    department = {row["product_id"]: row["department"] for row in products}
    moved = [change for change in planned_changes() if change.table == "products"]
    assert all((department[change.key], change.new) in categories for change in moved)
