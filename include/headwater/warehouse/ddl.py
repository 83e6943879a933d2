"""The warehouse's tables as they are: create what is missing, refuse what differs from the contract.

Changing a table is `headwater contract apply`; a load never does.
"""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from headwater.contracts.clickhouse import create_table_sql, migrations
from headwater.contracts.model import Dataset, WarehouseTable
from headwater.errors import ContractError, TerminalError

STAGING = "staging"
"""The database in which a load prepares what it will swap in."""


class TableDiffers(TerminalError):
    """The ClickHouse table is not what the contract declares."""


def warehouse_table(dataset: Dataset) -> WarehouseTable:
    """The dataset's gold table in the warehouse. Raises `ContractError` where the contract declares none."""
    if dataset.warehouse is None:
        raise ContractError(f"dataset {dataset.name} has no ClickHouse table", where=str(dataset.path))
    return dataset.warehouse


def ensure_table(client: Client, dataset: Dataset) -> str:
    """Create the dataset's table where it is missing; returns its id. Raises `TableDiffers`."""
    table = warehouse_table(dataset)
    client.command(f"CREATE DATABASE IF NOT EXISTS {table.database}")
    client.command(create_table_sql(dataset, table))
    found = _current(client, table.database, dataset.name)
    if found is None:
        raise TableDiffers("the table vanished while it was made", where=f"{table.database}.{dataset.name}")
    uuid, sorting_key, partition_key = found
    query = "SELECT name, type FROM system.columns WHERE database = {db:String} AND table = {name:String}"
    columns: dict[str, str] = dict(client.query(query, {"db": table.database, "name": dataset.name}).result_rows)  # type: ignore[arg-type]
    planned = migrations(dataset, table, columns, sorting_key, partition_key)
    if planned:
        raise TableDiffers(
            f"the table is not what the contract declares: {'; '.join(m.sql for m in planned)[:500]}",
            where=f"{table.database}.{dataset.name}",
            remedy="`headwater contract plan`, then `headwater contract apply`",
        )
    return uuid


def table_uuid(client: Client, database: str, name: str) -> str:
    """The id of a table that is there; another after an exchange or after it was dropped and made again."""
    found = _current(client, database, name)
    return "" if found is None else found[0]


def create_staging(client: Client, dataset: Dataset) -> str:
    """An empty twin of the dataset's table in `staging`; what a killed load left there is dropped."""
    name = f"{STAGING}.{dataset.name}"
    client.command(f"CREATE DATABASE IF NOT EXISTS {STAGING}")
    client.command(f"DROP TABLE IF EXISTS {name} SYNC")
    table = warehouse_table(dataset)
    definition = create_table_sql(dataset, table).removeprefix(f"CREATE TABLE IF NOT EXISTS {table.database}.")
    client.command(f"CREATE TABLE {STAGING}.{definition}")
    return name


def drop_staging(client: Client, dataset: Dataset) -> None:
    """Remove the twin."""
    client.command(f"DROP TABLE IF EXISTS {STAGING}.{dataset.name} SYNC")


def _current(client: Client, database: str, name: str) -> tuple[str, str, str] | None:
    query = (
        "SELECT toString(uuid), sorting_key, partition_key FROM system.tables "
        "WHERE database = {db:String} AND name = {name:String}"
    )
    rows = client.query(query, {"db": database, "name": name}).result_rows
    return (str(rows[0][0]), str(rows[0][1]), str(rows[0][2])) if rows else None
