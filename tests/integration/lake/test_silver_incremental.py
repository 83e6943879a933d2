"""Silver follows the change: what it opens, where it goes on, and what interruptions and compaction do to it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.datasets.cases import Lake
from tests.integration.lake.sales import new_dataset, position, sale

from headwater.lake import commits, silver
from headwater.lake.bounds import literal
from headwater.lake.silver import build
from headwater.lake.snapshots import inputs_read

pytestmark = pytest.mark.integration

MONTHS = 6


def test_a_small_batch_opens_only_the_files_of_its_keys(lake: Lake) -> None:
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sale(1000 * month + n, 100 * month + n) for month in range(MONTHS) for n in range(100)])
    first = build(lake.spark, lake.catalog, dataset)
    assert (first["mode"], first["rows"], first["files_total"]) == ("append", 100 * MONTHS, MONTHS)
    lake.arrive(dataset, [sale(5050, 600, quantity=9, event_id="x"), sale(5200, 601)])
    second = build(lake.spark, lake.catalog, dataset)
    assert (second["mode"], second["files_opened"], second["files_total"]) == ("merge", 1, MONTHS + 1)
    assert second["rows_read"] == 2
    assert second["bytes_written"] < first["bytes_written"]
    lake.arrive(dataset, [sale(5300, 602)])
    assert build(lake.spark, lake.catalog, dataset)["files_opened"] == 0
    (total,) = lake.rows(f"silver.{dataset.name}", "count(*) AS n, sum(quantity) AS pieces")
    assert total == {"n": 100 * MONTHS + 2, "pieces": 100 * MONTHS + 10}


def test_spark_prunes_by_the_bounds_in_the_statement(lake: Lake) -> None:
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sale(1000, 0)])
    build(lake.spark, lake.catalog, dataset)
    plan = lake.spark.sql(
        f"EXPLAIN MERGE INTO lake.silver.{dataset.name} t USING lake.silver.{dataset.name} s "
        "ON t.basket_id = s.basket_id AND (t.basket_id BETWEEN 5 AND 6) WHEN NOT MATCHED THEN INSERT *"
    ).collect()[0][0]
    assert "basket_id >= 5, basket_id <= 6" in plan


def test_a_correction_in_another_month_replaces_the_row(lake: Lake) -> None:
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sale(1000, 0)])
    build(lake.spark, lake.catalog, dataset)
    later = sale(9000, 1)["event_timestamp"]
    lake.arrive(dataset, [sale(1000, 1, event_timestamp=later, quantity=2)])
    build(lake.spark, lake.catalog, dataset)
    rows = lake.rows(f"silver.{dataset.name}", "basket_id, quantity, month(transaction_date) AS month")
    assert rows == [{"basket_id": 1000, "quantity": 2, "month": 10}]


def test_compaction_of_bronze_is_no_news(lake: Lake) -> None:
    dataset = new_dataset(lake)
    for offset in range(3):
        lake.arrive(dataset, [sale(1000 + offset, offset)])
    build(lake.spark, lake.catalog, dataset)
    lake.spark.sql(
        f"CALL lake.system.rewrite_data_files(table => 'bronze.{dataset.name}', options => map('rewrite-all', 'true'))"
    ).collect()
    assert build(lake.spark, lake.catalog, dataset)["mode"] == "unchanged"
    lake.arrive(dataset, [sale(1003, 3)])
    assert build(lake.spark, lake.catalog, dataset)["rows_read"] == 1


def test_an_expired_position_goes_on_from_the_offsets(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sale(1000, 0), sale(1001, 1, quantity=-1)], position(2))
    build(lake.spark, lake.catalog, dataset)
    lake.arrive(dataset, [sale(1002, 2)], position(3))
    lake.arrive(dataset, [sale(1003, 3)], position(4))
    _expire_all_but_the_newest(lake, f"bronze.{dataset.name}")
    with caplog.at_level(logging.WARNING):
        result = build(lake.spark, lake.catalog, dataset)
    assert (result["from"], result["rows_read"]) == ("offsets", 2)
    assert "has expired; going on from offsets" in caplog.text
    assert len(lake.rows(f"silver.{dataset.name}")) == 3
    assert len(lake.rows(f"silver.{dataset.name}_refused")) == 1


def test_an_expired_position_without_offsets_reads_everything_once_more(lake: Lake) -> None:
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sale(1000, 0), sale(1001, 1, quantity=-1)])
    build(lake.spark, lake.catalog, dataset)
    lake.arrive(dataset, [sale(1002, 2)])
    lake.arrive(dataset, [sale(1003, 3)])
    _expire_all_but_the_newest(lake, f"bronze.{dataset.name}")
    assert build(lake.spark, lake.catalog, dataset)["from"] == "everything"
    assert len(lake.rows(f"silver.{dataset.name}")) == 3
    assert len(lake.rows(f"silver.{dataset.name}_refused")) == 1


class Killed(BaseException):
    """The process ends here."""


def test_killed_between_the_refused_rows_and_silver(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sale(1000, 0), sale(1001, 1, quantity=-1)])
    with monkeypatch.context() as patched:
        patched.setattr(silver, "write", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            build(lake.spark, lake.catalog, dataset)
    assert len(lake.rows(f"silver.{dataset.name}_refused")) == 1
    assert lake.rows(f"silver.{dataset.name}") == []
    lake.arrive(dataset, [sale(1002, 2), sale(1003, 3, quantity=-1)])
    build(lake.spark, lake.catalog, dataset)
    refused = lake.rows(f"silver.{dataset.name}_refused", "_kafka_offset AS at")
    assert sorted(row["at"] for row in refused) == [1, 3]
    assert len(lake.rows(f"silver.{dataset.name}")) == 2


def test_a_batch_that_is_refused_whole_is_read_once(lake: Lake) -> None:
    dataset = dataclasses.replace(new_dataset(lake), table_rules=())
    lake.arrive(dataset, [sale(1000, 0, quantity=-1)])
    build(lake.spark, lake.catalog, dataset)
    assert build(lake.spark, lake.catalog, dataset)["mode"] == "unchanged"
    assert len(lake.rows(f"silver.{dataset.name}_refused")) == 1


def test_tables_from_before_an_upgrade_gain_the_new_provenance(lake: Lake) -> None:
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sale(1000, 0), sale(1001, 1, quantity=-1)])
    build(lake.spark, lake.catalog, dataset)
    refused = f"silver.{dataset.name}_refused"
    for name, columns in ((f"silver.{dataset.name}", ["_kafka_topic"]), (refused, ["_headers", "_kafka_topic_id"])):
        with lake.catalog.load_table(name).update_schema() as change:
            for column in columns:
                change.delete_column(column)  # as in a table that is older than the column
    lake.arrive(dataset, [sale(1000, 2, quantity=2), sale(1002, 3, quantity=-1, _headers="[]", _kafka_topic_id="T")])

    assert build(lake.spark, lake.catalog, dataset)["mode"] == "merge"

    assert lake.rows(f"silver.{dataset.name}", "quantity, _kafka_topic") == [{"quantity": 2, "_kafka_topic": "t"}]
    found = lake.rows(refused, "_kafka_offset AS at, _headers, _kafka_topic_id AS topic_id")
    assert sorted(found, key=str) == [
        {"at": 1, "_headers": None, "topic_id": None},
        {"at": 3, "_headers": "[]", "topic_id": "T"},
    ]


def test_a_merge_that_meets_a_compaction_is_tried_again(
    lake: Lake, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    dataset = new_dataset(lake)
    name = f"silver.{dataset.name}"
    for offset in range(2):
        lake.arrive(dataset, [sale(1000 + offset, offset)])
        build(lake.spark, lake.catalog, dataset)
    lake.spark.udf.register("wait_for_compaction", _waits_between(tmp_path / "merging", tmp_path / "compacted"), "long")
    compaction = threading.Thread(target=_compact_while_merging, args=(lake, name, tmp_path))
    compaction.start()
    merge = f"""MERGE INTO lake.{name} t USING (SELECT wait_for_compaction(id) AS basket_id FROM range(1000, 1001)) s
        ON t.basket_id = s.basket_id WHEN MATCHED THEN UPDATE SET t.quantity = t.quantity + 5"""
    with caplog.at_level(logging.WARNING):
        commits.execute(lake.catalog, lake.spark, name, merge, {"headwater.input.bronze.x": "5"})
    compaction.join()
    assert "commit met another writer, try 1" in caplog.text
    assert inputs_read(lake.catalog.load_table(name)) == {"bronze.x": 5}
    rows = lake.rows(name, "basket_id, quantity")
    assert sorted((row["basket_id"], row["quantity"]) for row in rows) == [(1000, 6), (1001, 1)]


def _waits_between(begun: Path, done: Path) -> Callable[[int], int]:
    """A function that says that it has begun, and goes on when the other is done. The files it works on are chosen."""

    def wait(number: int) -> int:
        begun.touch()
        wait_for(done)
        return number

    def wait_for(path: Path) -> None:
        import time

        for _ in range(3000):
            if path.exists():
                return
            time.sleep(0.1)
        raise TimeoutError(str(path))

    return wait


def _compact_while_merging(lake: Lake, name: str, folder: Path) -> None:
    _waits_between(folder / "compaction-waits", folder / "merging")(0)
    lake.spark.sql(
        f"CALL lake.system.rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true'))"
    ).collect()
    (folder / "compacted").touch()


def _expire_all_but_the_newest(lake: Lake, name: str) -> None:
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    lake.spark.sql(
        f"CALL lake.system.expire_snapshots(table => '{name}', older_than => {literal(tomorrow)}, retain_last => 1)"
    ).collect()
