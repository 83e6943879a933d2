"""The source schema on the real Postgres, in a database of the test's own; truth by DuckDB from the package's files."""

import uuid
from datetime import datetime

import duckdb
import psycopg
import pytest
from psycopg import sql

from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Kind
from headwater.errors import RetryableError
from headwater.settings import get_settings
from headwater.sources import changes, completejourney, postgres

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def database(stack):
    """An empty source database; the settings point to it."""
    name = f"source_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(stack.postgres_dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HEADWATER_POSTGRES_SOURCE_DATABASE", name)
            get_settings.cache_clear()
            yield name
        get_settings.cache_clear()
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def tables(database):
    postgres.load()


@pytest.fixture
def loaded(tables):
    """A connection to the loaded database; what a test does with it is rolled back."""
    connection = postgres.connect()
    yield connection
    connection.rollback()
    connection.close()


@pytest.fixture
def spoilt(loaded):
    """The same for tests whose changes are committed: the files' rows are brought back afterwards."""
    yield loaded
    loaded.rollback()
    postgres.load(reset=True)


def _file(name: str) -> str:
    return f"'{completejourney.data_file(name)}'"


def test_the_tables_hold_what_the_files_hold(loaded):
    expected = duckdb.sql(f"""
        SELECT (SELECT count(DISTINCT household_id) FROM {_file("transactions")}),
               (SELECT count(*) FROM {_file("products")}),
               (SELECT count(*) FROM (SELECT store_id FROM {_file("transactions")}
                                      UNION SELECT store_id FROM {_file("promotions")})),
               (SELECT count(*) FROM {_file("campaign_descriptions")}),
               (SELECT count(*) FROM {_file("campaigns")}),
               (SELECT count(*) FROM (SELECT DISTINCT * FROM {_file("coupons")}))
    """).fetchall()
    names = ("households", "products", "stores", "campaigns", "campaign_households", "coupons")
    query = "SELECT " + ", ".join(f"(SELECT count(*) FROM retail.{name})" for name in names)
    assert loaded.execute(query).fetchall() == expected == [(2469, 92331, 457, 27, 6589, 111332)]


@pytest.mark.parametrize(
    ("table", "file", "key"),
    [("products", "products", "product_id"), ("campaigns", "campaign_descriptions", "campaign_id")],
)
def test_every_value_arrives_as_it_is_in_the_file(loaded, table, file, key):
    cursor = loaded.execute(f"SELECT * FROM retail.{table} ORDER BY {key}")
    columns = [c.name for c in cursor.description]
    assert columns[-1] == "updated_at"
    casts = ", ".join(f"{c}::date" if c.endswith("_date") else c for c in columns[:-1])
    expected = duckdb.sql(f"SELECT {casts} FROM {_file(file)} ORDER BY {key}").fetchall()
    assert [row[:-1] for row in cursor] == expected


def test_an_unknown_demographic_is_null_and_not_empty(loaded):
    known, unknown = loaded.execute(
        "SELECT count(income), count(*) FILTER (WHERE income IS NULL AND age IS NULL) FROM retail.households"
    ).fetchone()
    assert (known, unknown) == (801, 2469 - 801)


def test_the_tables_have_the_columns_of_their_contracts(loaded):
    for dataset in load_contracts().of_kind(Kind.TABLE):
        schema, _, table = dataset.source_name.partition(".")
        columns = loaded.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
            (schema, table),
        ).fetchall()
        assert {name for (name,) in columns} == {column.name for column in dataset.source_columns}, dataset.name


def test_a_second_load_adds_nothing_and_undoes_no_change(spoilt):
    assert changes.apply_changes() == {"households": 40, "products": 25}
    assert set(postgres.load().values()) == {0}
    assert _moved(spoilt) == [(40, datetime(2017, 6, 15)), (25, datetime(2017, 9, 1))]


def test_changes_are_applied_once(spoilt):
    changes.apply_changes()
    spoilt.execute("UPDATE retail.households SET income = 'corrected' WHERE household_id = 1")
    spoilt.commit()
    assert changes.apply_changes() == {"households": 0, "products": 0}


def test_a_reset_brings_the_files_back(spoilt):
    changes.apply_changes()
    spoilt.commit()
    postgres.load(reset=True)
    assert _moved(spoilt) == []


def test_a_row_that_is_lost_comes_back_by_a_load(spoilt):
    spoilt.execute("DELETE FROM retail.products WHERE product_id = 25671")
    spoilt.commit()
    assert postgres.load()["products"] == 1


def test_a_change_moves_updated_at_unless_it_says_when(loaded):
    one = "SELECT updated_at FROM retail.stores ORDER BY store_id LIMIT 1"
    loaded.execute("UPDATE retail.stores SET store_name = store_name")
    assert loaded.execute(one).fetchone() == (datetime(2017, 1, 1),)
    loaded.execute("UPDATE retail.stores SET store_name = 'Corner ' || store_id")
    changed, now = loaded.execute(f"SELECT ({one}), now() AT TIME ZONE 'UTC'").fetchone()
    assert changed == now


def test_a_coupon_of_no_campaign_is_refused(loaded):
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        loaded.execute("INSERT INTO retail.coupons VALUES (1, 1, 999)")


def test_no_postgres_is_told_without_the_password(database, monkeypatch):
    monkeypatch.setenv("HEADWATER_POSTGRES_PORT", "1")
    monkeypatch.setenv("HEADWATER_POSTGRES_PASSWORD", "open-sesame")
    get_settings.cache_clear()
    try:
        with pytest.raises(RetryableError, match="headwater up postgres") as caught:
            postgres.connect()
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert "open-sesame" not in str(caught.value)


def _moved(connection) -> list[tuple]:
    return connection.execute("""
        SELECT count(*), updated_at
        FROM (SELECT updated_at FROM retail.households UNION ALL SELECT updated_at FROM retail.products)
        WHERE updated_at > '2017-01-01' GROUP BY 2 ORDER BY 2
    """).fetchall()
