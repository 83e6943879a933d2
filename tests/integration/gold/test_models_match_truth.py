"""The gold models alone, run by Spark on silver made from the source's files, against what DuckDB computes from them.

A tenth of the households over the whole year (every month, week and dated change is there) and an eighth of the stores'
promotions. The tables lie in Spark's own catalog as Parquet, so nothing of the shared lake is touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime

import pyarrow.dataset as ds
import pytest
from pyspark.sql import DataFrame, SparkSession
from tests.integration.gold.silver_files import write_silver
from tests.truth.expected import KEYS, Truth
from tests.truth.source import Change, Part, demo_changes

from headwater.contracts.graph import model_path
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Dataset
from headwater.contracts.quality import TABLE, broken_rules, metric_query
from headwater.settings import get_settings

pytestmark = pytest.mark.integration

CATALOGUE = load_contracts()
MODELS = {name: CATALOGUE.get(name) for name in KEYS}  # in an order in which each finds its inputs
DATED = [name for name, dataset in MODELS.items() if dataset.change_column]
FIRST, LAST = date(2017, 6, 1), date(2017, 7, 1)

# A product that moves twice, and a household that moves in the middle of a day it buys on.
OWN_CHANGES = (
    Change("products", 1082185, datetime(2017, 3, 3, 12), {"department": "DELI"}),
    Change("products", 1082185, datetime(2017, 11, 1), {"department": "PRODUCE", "brand": "Private"}),
    Change("households", 2375, datetime(2017, 5, 5, 5, 30), {"income": "75-99K", "kids_count": None}),
)
PART = Part(
    transactions="household_id % 10 = 0 OR household_id = 2375",
    promotions="store_id % 8 = 0",
    changes=(*demo_changes(), *OWN_CHANGES),
)


def model(name: str) -> str:
    return model_path(MODELS[name], get_settings().gold_models_dir).read_text()


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth(PART)


@pytest.fixture(scope="module")
def session(spark: SparkSession, truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session in which `silver.*` holds this part of the data and `gold.*` what the models make of it."""
    folder = tmp_path_factory.mktemp("lake")
    write_silver(truth.source, folder / "silver")
    session = spark.newSession()
    session.sql("USE spark_catalog")
    session.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    session.conf.set("spark.sql.maxMetadataStringLength", "2000")  # or a plan does not show all its filters
    for layer in ("silver", "gold"):
        session.sql(f"CREATE DATABASE {layer} LOCATION '{folder / layer}.db'")
    try:
        for table in sorted((folder / "silver").iterdir()):
            session.sql(f"CREATE TABLE silver.{table.name} USING parquet LOCATION '{table}'")
        for name, dataset in MODELS.items():
            typed(session.sql(model(name)), dataset).write.parquet(f"{folder}/gold/{name}")
            session.sql(f"CREATE TABLE gold.{name} USING parquet LOCATION '{folder}/gold/{name}'")
        session.conf.set("tests.folder", str(folder))
        yield session
    finally:
        for layer in ("gold", "silver"):
            session.sql(f"DROP DATABASE {layer} CASCADE")


def typed(rows: DataFrame, dataset: Dataset) -> DataFrame:
    """The columns in the types of the contract; ANSI casts raise where a value does not fit."""
    spark_names = {"long": "bigint"}
    return rows.selectExpr(
        *(f"CAST({c.name} AS {spark_names.get(str(c.type), str(c.type))}) AS {c.name}" for c in dataset.columns)
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_what_duckdb_computes_from_the_files(session: SparkSession, truth: Truth, name: str) -> None:
    actual = ds.dataset(f"{session.conf.get('tests.folder')}/gold/{name}").to_table()
    assert actual.num_rows > 0
    assert truth.differences(name, actual) == []


@pytest.mark.parametrize("name", MODELS)
def test_the_rules_of_the_contract_hold(session: SparkSession, name: str) -> None:
    dataset = MODELS[name]
    broken = session.sql(
        f"SELECT r, count(*) FROM (SELECT explode({broken_rules(dataset.row_rules)}) r FROM gold.{name}) GROUP BY r"
    )
    assert broken.collect() == []
    for rule in dataset.table_rules:
        [[value]] = session.sql(metric_query(rule).replace(TABLE, f"gold.{name}")).collect()
        low = rule.minimum if rule.minimum is not None else value
        high = rule.maximum if rule.maximum is not None else value
        assert low <= value <= high, f"{name}: {rule.name} is {value}"


def restated(session: SparkSession, name: str) -> DataFrame:
    """The model for a range of dates, as `build_gold` asks for it."""
    column = MODELS[name].change_column
    query = f"SELECT * FROM ({model(name)}) WHERE {column} >= DATE'{FIRST}' AND {column} < DATE'{LAST}'"
    return typed(session.sql(query), MODELS[name])


@pytest.mark.parametrize("name", DATED)
def test_a_range_of_dates_restates_exactly_its_rows(session: SparkSession, name: str) -> None:
    column = MODELS[name].change_column
    before = session.sql(f"SELECT * FROM gold.{name} WHERE {column} >= DATE'{FIRST}' AND {column} < DATE'{LAST}'")
    again = restated(session, name)
    assert 0 < before.count() == again.count()
    assert before.exceptAll(again).take(5) == []


@pytest.mark.parametrize("name", DATED)
def test_a_range_of_dates_is_pushed_down_to_the_files_of_the_fact(session: SparkSession, name: str) -> None:
    plan = session.sql(f"EXPLAIN EXTENDED SELECT * FROM ({model(name)}) WHERE "
                       f"{MODELS[name].change_column} >= DATE'{FIRST}'").collect()[0][0]  # fmt: skip
    column = {"fct_sales": "transaction_date"}.get(name, MODELS[name].change_column)
    assert re.search(rf"PushedFilters: \[[^\]]*GreaterThanOrEqual\({column},{FIRST}\)", plan), plan
