"""ClickHouse: creating a dataset's tables and bringing them up to the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from headwater.contracts.clickhouse import Migration, create_table_sql, migrations, warehouse_tables
from headwater.contracts.model import Dataset, WarehouseTable
from headwater.errors import RetryableError, TerminalError
from headwater.settings import Settings


def plan_warehouse(settings: Settings, dataset: Dataset) -> list[Migration]:
    """Statements that `apply_warehouse` would run. Raises `RetryableError` where ClickHouse does not answer."""
    if not warehouse_tables(dataset):
        return []
    with _connected(settings) as client:
        return [m for table in warehouse_tables(dataset) for m in _plan(client, dataset, table)]


def apply_warehouse(settings: Settings, dataset: Dataset) -> list[Migration]:
    """Run those statements; gives what was run, empty where nothing. The caller has asked about what destroys."""
    if not warehouse_tables(dataset):
        return []
    with _connected(settings) as client:
        planned = [m for table in warehouse_tables(dataset) for m in _plan(client, dataset, table)]
        for migration in planned:
            client.command(migration.sql)
    return planned


def _plan(client: Client, dataset: Dataset, table: WarehouseTable) -> list[Migration]:
    place = {"database": table.database, "table": dataset.name}
    known = client.query("SELECT count() FROM system.databases WHERE name = {database:String}", parameters=place)
    create = [] if known.result_rows[0][0] else [Migration(f"CREATE DATABASE IF NOT EXISTS {table.database}")]
    found = client.query(
        "SELECT sorting_key, partition_key FROM system.tables "
        "WHERE database = {database:String} AND name = {table:String}",
        parameters=place,
    ).result_rows
    if not found:
        return [*create, Migration(create_table_sql(dataset, table))]
    columns = client.query(
        "SELECT name, type FROM system.columns "
        "WHERE database = {database:String} AND table = {table:String} ORDER BY position",
        parameters=place,
    ).result_rows
    return migrations(dataset, table, {str(column[0]): str(column[1]) for column in columns}, found[0][0], found[0][1])


@contextmanager
def _connected(settings: Settings) -> Iterator[Client]:
    place = f"{settings.clickhouse_host}:{settings.clickhouse_port}"
    try:
        client = clickhouse_connect.get_client(
            host=settings.clickhouse_host,
            port=settings.clickhouse_port,
            username=settings.clickhouse_user,
            password=settings.clickhouse_password.get_secret_value(),
            secure=settings.clickhouse_secure,
            autogenerate_session_id=False,
        )
    except OperationalError as error:
        remedy = "see `headwater status`, then `headwater up clickhouse`"
        raise RetryableError("ClickHouse does not answer", where=place, remedy=remedy) from error
    try:
        yield client
    except OperationalError as error:
        raise RetryableError(f"ClickHouse went away: {error}", where=place) from error
    except ClickHouseError as error:
        raise TerminalError(f"ClickHouse refuses: {error}", where=place, remedy="see the statement it names") from error
    finally:
        client.close()
