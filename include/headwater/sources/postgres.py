"""The operational database of the demo: schema `retail` in the source database, loaded from the package's files.

Loading is idempotent: a row that is there (by its key) stays as it is, so a load after changes undoes none of them.
Reloading everything from the files is `load(reset=True)`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
from psycopg import sql

from headwater.errors import RetryableError
from headwater.settings import get_settings
from headwater.sources import completejourney

SCHEMA = "retail"
LOADED_AT = datetime(2017, 1, 1)  # UTC, without a zone, as the column

# updated_at moves with every change, unless the change itself says when it happened.
_FUNCTION = """
CREATE SCHEMA IF NOT EXISTS retail;
CREATE OR REPLACE FUNCTION retail.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at AND NEW IS DISTINCT FROM OLD THEN
    NEW.updated_at := now() AT TIME ZONE 'UTC';
  END IF;
  RETURN NEW;
END $$;
"""
_UPDATED_AT = "updated_at timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')"


@dataclass(frozen=True, slots=True)
class SourceTable:
    """One table: its columns as DDL (without `updated_at`), and its rows out of the files."""

    name: str
    ddl: str
    rows: Callable[[], pa.Table]

    @property
    def statements(self) -> str:
        """DDL that does nothing where the table is there."""
        return f"""
            CREATE TABLE IF NOT EXISTS {SCHEMA}.{self.name} ({self.ddl}, {_UPDATED_AT});
            CREATE INDEX IF NOT EXISTS {self.name}_updated_at ON {SCHEMA}.{self.name} (updated_at);
            CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON {SCHEMA}.{self.name}
              FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.touch();
        """


def _households() -> pa.Table:
    """Every household that bought something, with demographics where they are known (801 of 2,469)."""
    sold = completejourney.read("transactions", ["household_id"]).group_by("household_id").aggregate([])
    return sold.join(completejourney.read("demographics"), "household_id").sort_by("household_id")


def _stores() -> pa.Table:
    """Every store that sold or promoted something."""
    files = ("transactions", "promotions")
    ids = [pc.unique(completejourney.read(name, ["store_id"])["store_id"]) for name in files]
    store_ids = pc.unique(pa.chunked_array(ids))
    store_ids = store_ids.take(pc.sort_indices(store_ids))
    names = pc.binary_join_element_wise("Store", store_ids.cast(pa.string()), " ")
    return pa.table({"store_id": store_ids, "store_name": names})


def _campaigns() -> pa.Table:
    table = completejourney.read("campaign_descriptions")
    for name in ("start_date", "end_date"):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.date32()))
    return table


def _coupons() -> pa.Table:
    """The file's distinct rows: 111,332 of 116,204."""
    table = completejourney.read("coupons")
    return table.group_by(table.column_names).aggregate([])


TABLES = (
    SourceTable(
        "households",
        """household_id bigint PRIMARY KEY, age text, income text, home_ownership text, marital_status text,
           household_size text, household_comp text, kids_count text""",
        _households,
    ),
    SourceTable(
        "products",
        """product_id bigint PRIMARY KEY, manufacturer_id bigint, department text, brand text, product_category text,
           product_type text, package_size text""",
        lambda: completejourney.read("products"),
    ),
    SourceTable("stores", "store_id bigint PRIMARY KEY, store_name text NOT NULL", _stores),
    SourceTable(
        "campaigns",
        """campaign_id bigint PRIMARY KEY, campaign_type text NOT NULL, start_date date NOT NULL,
           end_date date NOT NULL, CHECK (start_date <= end_date)""",
        _campaigns,
    ),
    SourceTable(
        "campaign_households",
        """campaign_id bigint REFERENCES retail.campaigns, household_id bigint REFERENCES retail.households,
           PRIMARY KEY (campaign_id, household_id)""",
        lambda: completejourney.read("campaigns"),
    ),
    SourceTable(
        "coupons",
        # Six products with coupons are missing from the product list, so product_id has no foreign key.
        """coupon_upc bigint, product_id bigint, campaign_id bigint REFERENCES retail.campaigns,
           PRIMARY KEY (coupon_upc, product_id, campaign_id)""",
        _coupons,
    ),
)
"""In the order of their foreign keys."""


def connect() -> psycopg.Connection:
    """A connection to the source database. Raises `RetryableError` where it does not answer."""
    settings = get_settings()
    try:
        return psycopg.connect(settings.postgres_dsn(settings.postgres_source_database), connect_timeout=10)
    except psycopg.OperationalError as error:
        raise RetryableError(
            f"Postgres does not answer: {error}".strip(),
            where=f"{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_source_database}",
            remedy="see `headwater status`, then `headwater up postgres`",
        ) from error


def load(*, reset: bool = False, progress: Callable[[str, int], None] | None = None) -> dict[str, int]:
    """Make the tables and add the rows that are missing; returns the rows added per table.

    One transaction: other readers see either nothing of it or all. `reset` empties the tables first.
    """
    added: dict[str, int] = {}
    with connect() as connection:
        connection.execute(_FUNCTION)
        for table in TABLES:
            connection.execute(table.statements)
        if reset:
            names = sql.SQL(", ").join(sql.Identifier(SCHEMA, table.name) for table in TABLES)
            connection.execute(sql.SQL("TRUNCATE {}").format(names))
        for table in TABLES:
            added[table.name] = _add_missing(connection, table)
            if progress:
                progress(table.name, added[table.name])
    return added


def _add_missing(connection: psycopg.Connection, table: SourceTable) -> int:
    """COPY into a temporary table, then insert what is not there."""
    rows = table.rows()
    rows = rows.append_column("updated_at", pa.repeat(pa.scalar(LOADED_AT, pa.timestamp("us")), rows.num_rows))
    names = {
        "arrived": sql.Identifier(f"arrived_{table.name}"),
        "table": sql.Identifier(SCHEMA, table.name),
        "columns": sql.SQL(", ").join(map(sql.Identifier, rows.column_names)),
    }
    connection.execute(sql.SQL("CREATE TEMP TABLE {arrived} (LIKE {table}) ON COMMIT DROP").format(**names))
    # Arrow quotes every string and writes a null as nothing, which is how COPY tells "" from null.
    text = io.BytesIO()
    csv.write_csv(rows, text, csv.WriteOptions(include_header=False, quoting_style="needed"))
    with connection.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY {arrived} ({columns}) FROM STDIN (FORMAT csv)").format(**names)) as copy:
            copy.write(text.getbuffer())
        statement = "INSERT INTO {table} ({columns}) SELECT {columns} FROM {arrived} ON CONFLICT DO NOTHING"
        cursor.execute(sql.SQL(statement).format(**names))
        return cursor.rowcount
