"""Gold is built where its inputs changed, judged on a branch, and published only if it passed."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.integration.lake.shop import FIRST, OPEN, Shop, open_shop

from headwater.lake.branches import BRANCH
from headwater.lake.catalog import get_catalog
from headwater.lake.locks import table_lock
from headwater.lake.models import load_model
from headwater.lake.partitions import WHOLE, dates
from headwater.lake.publish import publish
from headwater.quality.checks import QualityFailed
from headwater.quality.results import latest_reports

pytestmark = pytest.mark.integration

JANUARY, FEBRUARY, MARCH = date(2017, 1, 5), date(2017, 2, 5), date(2017, 3, 5)
AMOUNT, KEY = 4, 1


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    """A shop of its own with a sale in each of three months, built."""
    spark.catalog.setCurrentCatalog("lake")
    opened = open_shop(spark, get_catalog(), tmp_path / "models", f"s{uuid.uuid4().hex[:8]}_")
    opened.items((1, "one", FIRST, OPEN), (2, "two", FIRST, OPEN))
    opened.sell((1, 1, JANUARY, "1.50"), (2, 2, FEBRUARY, "2.50"), (3, 3, MARCH, "5.50"))
    opened.build_all()
    return opened


def assert_equals_a_whole_build(shop: Shop) -> None:
    """What increments have made is what building everything anew makes."""
    for name in ("dim_item", "fct_sale", "mart_day"):
        before = shop.rows(name)
        shop.build(name, WHOLE)
        assert shop.rows(name) == before


def test_a_second_run_commits_nothing(shop: Shop) -> None:
    before = shop.snapshots()
    results = shop.build_all()
    assert shop.snapshots() == before
    assert all(not result.replaced for result in results.values())


def test_only_the_months_of_new_rows_are_rewritten(shop: Shop) -> None:
    january = shop.files("fct_sale", "2017-01")
    shop.sell((4, 1, date(2017, 2, 6), "7.00"))
    results = shop.build_all()
    assert results["fct_sale"].replaced.describe() == "2017-02-01..2017-03-01"
    assert (results["fct_sale"].rows, results["mart_day"].rows) == (2, 2)
    assert shop.files("fct_sale", "2017-01") == january
    assert len(january) == 1
    assert_equals_a_whole_build(shop)


def test_a_month_that_lost_its_rows_is_emptied(shop: Shop) -> None:
    shop.delete_sales("sale_id = 3")
    shop.build_all()
    assert {row[0] for row in shop.rows("fct_sale")} == {1, 2}
    assert {row[0] for row in shop.rows("mart_day")} == {JANUARY, FEBRUARY}


def test_a_broken_rule_leaves_main_as_it_was(shop: Shop) -> None:
    before, rows = shop.snapshots(), shop.rows("fct_sale")
    shop.sell((4, 1, FEBRUARY, "-7.00"))
    with pytest.raises(QualityFailed, match=r"amount_minimum: expected .*, found 1 rows .*sale_id=4, amount=-7.00"):
        shop.build("fct_sale")
    assert (shop.snapshots(), shop.rows("fct_sale")) == (before, rows)
    assert BRANCH not in shop.catalog.load_table(f"gold.{shop.prefix}fct_sale").metadata.refs
    report = latest_reports(f"{shop.prefix}fct_sale")[0]
    assert not report["passed"]
    assert [r["rule"] for r in report["results"] if not r["passed"]] == ["amount_minimum"]
    shop.delete_sales("sale_id = 4")
    shop.sell((4, 1, FEBRUARY, "7.00"))
    assert shop.build("fct_sale").rows == 2


@pytest.mark.parametrize(
    ("sale", "rule"),
    [((1, 1, MARCH, "1.00"), "primary_key_unique"), ((9, 9, JANUARY, "2000.00"), "amount_usual")],
)
def test_rules_about_the_table_see_all_of_it_and_warnings_are_recorded(
    shop: Shop, sale: tuple[int, int, date, str], rule: str
) -> None:
    shop.sell(sale)  # sale 1 is in January already
    if rule == "primary_key_unique":
        with pytest.raises(QualityFailed, match="primary_key_unique"):
            shop.build("fct_sale")
    else:
        assert [w.split(":")[0] for w in shop.build("fct_sale").warnings] == ["amount_usual"]
        assert Decimal("2000.00") in {row[AMOUNT] for row in shop.rows("fct_sale")}


def test_a_new_version_rebuilds_the_months_that_look_it_up(shop: Shop) -> None:
    changed = datetime(2017, 2, 3, tzinfo=UTC)
    shop.items((1, "one", FIRST, OPEN), (2, "two", FIRST, changed), (2, "zwei", changed, OPEN))
    results = shop.build_all()
    assert results["fct_sale"].replaced.describe() == "2017-02-01..2017-03-01"
    assert {row[0]: row[KEY] for row in shop.rows("fct_sale")} == {1: "1@19000101", 2: "2@20170203", 3: "0"}
    assert_equals_a_whole_build(shop)


def test_an_item_that_comes_late_finds_its_sales(shop: Shop) -> None:
    shop.items((1, "one", FIRST, OPEN), (2, "two", FIRST, OPEN), (3, "three", FIRST, OPEN), (4, "four", FIRST, OPEN))
    results = shop.build_all()
    assert results["fct_sale"].replaced.describe() == "2017-03-01..2017-04-01"
    assert shop.rows("fct_sale")[2][KEY] == "3@19000101"


def test_compaction_is_no_change(shop: Shop) -> None:
    table = f"silver.{shop.prefix}sales"
    shop.sell((4, 1, JANUARY, "1.00"))
    shop.build_all()
    before = shop.snapshots()
    options = "options => map('rewrite-all', 'true')"
    shop.spark.sql(f"CALL lake.system.rewrite_data_files(table => '{table}', {options})").collect()
    assert shop.catalog.load_table(table).current_snapshot().summary.operation.value == "replace"
    shop.build_all()
    assert shop.snapshots() == before


def test_a_restatement_rewrites_its_months_and_changes_no_row(shop: Shop) -> None:
    rows, january = shop.rows("fct_sale"), shop.files("fct_sale", "2017-01")
    result = shop.build("fct_sale", dates(date(2017, 2, 10), date(2017, 2, 11)))
    assert result.replaced.describe() == "2017-02-01..2017-03-01"
    assert (shop.rows("fct_sale"), shop.files("fct_sale", "2017-01")) == (rows, january)


def test_a_changed_model_is_built_whole_and_a_changed_comment_is_not(shop: Shop) -> None:
    model = shop.models["mart_day"]
    directory = model.path.parent.parent
    for text, whole in ((f"-- A comment.\n{model.text}", False), (model.text.replace("sum(", "2 * sum("), True)):
        model.path.write_text(text)
        shop.models["mart_day"] = load_model(model.dataset, directory, shop.contracts)
        assert shop.build("mart_day").replaced.whole is whole
    assert shop.rows("mart_day")[0] == (JANUARY, 1, Decimal("3.00"))


def test_what_a_killed_build_left_is_no_hindrance(shop: Shop) -> None:
    table = f"lake.gold.{shop.prefix}mart_day"
    shop.spark.sql(f"ALTER TABLE {table} CREATE BRANCH {BRANCH}")
    shop.spark.sql(f"INSERT INTO {table}.branch_{BRANCH} VALUES (DATE'2017-01-01', 99, 99)")
    shop.sell((4, 1, FEBRUARY, "1.00"))
    shop.build_all()
    assert shop.rows("mart_day") == [
        (JANUARY, 1, Decimal("1.50")),
        (FEBRUARY, 2, Decimal("3.50")),
        (MARCH, 1, Decimal("5.50")),
    ]


def test_a_first_build_that_was_killed_is_no_hindrance(spark: SparkSession, tmp_path: Path) -> None:
    spark.catalog.setCurrentCatalog("lake")
    shop = open_shop(spark, get_catalog(), tmp_path / "models", f"s{uuid.uuid4().hex[:8]}_")
    spark.sql(f"ALTER TABLE lake.gold.{shop.prefix}dim_item CREATE BRANCH {BRANCH}")
    assert shop.snapshot("dim_item") is None
    shop.items((1, "one", FIRST, OPEN))
    assert shop.build("dim_item").rows == 2


def test_two_builds_at_once_publish_once(shop: Shop) -> None:
    shop.sell((4, 1, FEBRUARY, "7.00"))
    with ThreadPoolExecutor(2) as executor:
        results = list(executor.map(shop.build, ["fct_sale", "fct_sale"]))
    assert sorted(result.rows for result in results) == [0, 2]
    assert [row[0] for row in shop.rows("fct_sale")] == [1, 2, 3, 4]


def test_a_refused_fast_forward_is_built_again_on_the_new_main(shop: Shop) -> None:
    """A writer that takes no lock commits to main while the branch is being built."""
    name = f"gold.{shop.prefix}mart_day"
    written: list[int] = []

    def write(branch: str) -> None:
        shop.spark.sql(f"INSERT INTO {branch} VALUES (DATE'2017-05-01', 5, 5)")
        if not written:
            shop.spark.sql(f"INSERT INTO lake.{name} VALUES (DATE'2017-04-01', 4, 4)")
        written.append(len(written))

    with table_lock(name) as lock:
        head = publish(shop.spark, shop.catalog, lock, write, lambda _: None)
    assert len(written) == 2
    assert shop.snapshot("mart_day") == head
    assert [row[0] for row in shop.rows("mart_day")][-2:] == [date(2017, 4, 1), date(2017, 5, 1)]
