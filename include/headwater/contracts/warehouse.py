"""ClickHouse: creating a dataset's tables and bringing them up to the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from headwater.contracts.clickhouse import Migration, create_table_sql, migrations, warehouse_tables
from headwater.contracts.model import Dataset, WarehouseTable
from headwater.warehouse.client import explained, writer


def plan_warehouse(dataset: Dataset) -> list[Migration]:
    """Statements that `apply_warehouse` would run. Raises `WarehouseUnavailableError`."""
    if not warehouse_tables(dataset):
        return []
    with _connected(dataset) as client:
        return [m for table in warehouse_tables(dataset) for m in _plan(client, dataset, table)]


def apply_warehouse(dataset: Dataset) -> list[Migration]:
    """Run those statements; gives what was run, empty where nothing. The caller has asked about what destroys."""
    if not warehouse_tables(dataset):
        return []
    with _connected(dataset) as client:
        planned = [m for table in warehouse_tables(dataset) for m in _plan(client, dataset, table)]
        for migration in planned:
            client.command(migration.sql)
    return planned


def is_applied(client: Client, dataset: Dataset, table: WarehouseTable) -> bool:
    """Whether the table is what the contract declares. Raises `ContractError` where it can never become so."""
    return not _plan(client, dataset, table)


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
def _connected(dataset: Dataset) -> Iterator[Client]:
    client = writer()
    try:
        with explained(f"the warehouse tables of {dataset.name}"):
            yield client
    finally:
        client.close()
