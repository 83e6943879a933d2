"""An endpoint with real rows in every table, the project's policy in force, and one identity for each role."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import clickhouse_connect
import pytest
from tests.conftest import environment
from tests.integration.policy.api_process import ApiProcess, running

from headwater.contracts.clickhouse import create_table_sql, table_columns, warehouse_tables
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Column, Contracts, Dataset
from headwater.contracts.types import Primitive
from headwater.embedded import stack as embedded
from headwater.identity.store import IdentityStore
from headwater.policy import applying
from headwater.policy.loader import load_policy
from headwater.policy.model import Policy
from headwater.settings import Settings, get_settings
from headwater.warehouse import state
from headwater.warehouse.client import writer

ROWS = 40
PASSWORD = "a password of this test"
STORES = [1, 4]
GROUPS = {
    "analyst": "analysts",
    "marketer": "marketing",
    "privacy_officer": "privacy",
    "store_manager": "store_managers",
}
"""The group that gives each role; the agent is a user of the settings."""


@dataclass
class Served:
    """What runs, and what is in it: `rows` are those a reader without policy sees, by dataset."""

    settings: Settings
    policy: Policy
    contracts: Contracts
    key: str = ""
    rows: dict[str, tuple[list[str], list[tuple]]] = field(default_factory=dict)
    connected: dict[str, clickhouse_connect.driver.client.Client] = field(default_factory=dict)

    def login(self, role: str) -> tuple[str, str]:
        if role == "agent":
            return self.settings.clickhouse_agent_user, self.settings.clickhouse_agent_password.get_secret_value()
        return f"some.{role}", PASSWORD

    def client(self, user: str, password: str) -> clickhouse_connect.driver.client.Client:
        return clickhouse_connect.get_client(
            host="127.0.0.1",
            port=self.settings.clickhouse_port,
            username=user,
            password=password,
            autogenerate_session_id=False,
            query_retries=0,
        )

    def as_role(self, role: str) -> clickhouse_connect.driver.client.Client:
        """One client per role for all tests: connecting costs more than a query."""
        if role not in self.connected:
            self.connected[role] = self.client(*self.login(role))
        return self.connected[role]


@pytest.fixture(scope="package")
def served(package_home: Settings) -> Iterator[Served]:
    made = serve()
    yield made
    for client in made.connected.values():
        client.close()


def serve() -> Served:
    """Start Postgres and the endpoint in this home, fill every table, apply the policy, and add the identities."""
    embedded.up(("postgres", "clickhouse"), print)
    settings, contracts = get_settings(), load_contracts()
    made = Served(settings, load_policy(contracts=contracts), contracts)
    with writer() as client:
        for database in ("gold", "live"):
            client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
        for dataset in contracts.datasets.values():
            if warehouse_tables(dataset):
                made.rows[dataset.name] = fill(client, dataset)
        state.ensure_state(client)
        applying.apply(client, made.policy, contracts, embedded=True)
        made.key = str(client.command("SELECT key FROM headwater_keys.mask_key"))
    store = IdentityStore(settings)
    for role, group in GROUPS.items():
        attributes = {"stores": STORES} if role == "store_manager" else {}
        store.add(f"some.{role}", "person", [group], attributes, PASSWORD)
    store.add("some.nobody", "person", [], {}, PASSWORD)
    store.add("some.agent", "person", ["agents"], {}, PASSWORD)
    store.close()
    return made


@pytest.fixture(scope="package")
def package_home() -> Iterator[Settings]:
    from tests.conftest import temporary_home

    with temporary_home() as settings, environment():
        try:
            yield settings
        finally:
            embedded.down(print, wipe=True)


def fill(client, dataset: Dataset) -> tuple[list[str], list[tuple]]:
    """Rows of every type, nulls among them; where the table collapses repeats, each key twice, the second counts."""
    table = warehouse_tables(dataset)[0]
    columns = table_columns(dataset, table)
    names = [column.name for column in columns]
    client.command(create_table_sql(dataset, table))
    first = [tuple(value(c, i, 0, c.name in table.order_by) for c in columns) for i in range(ROWS)]
    if "Replacing" not in table.engine:
        client.insert(f"{table.database}.{dataset.name}", first, column_names=names)
        return names, first
    second = [tuple(value(c, i, 1, c.name in table.order_by) for c in columns) for i in range(ROWS)]
    for batch in (first, second):
        client.insert(f"{table.database}.{dataset.name}", batch, column_names=names)
    assert client.command(f"SELECT count() FROM {table.database}.{dataset.name}") in (ROWS, 2 * ROWS)
    return names, second


def value(column: Column, i: int, turn: int, key: bool) -> object:
    """A value that depends on the row, and on the turn where it is no key."""
    if not column.required and not key and i % 5 == 3:
        return None
    if column.name in ("store_id", "store_key"):
        return i % 7 if column.name == "store_id" and not column.unique else i
    moved = i if key else i + turn
    match column.type:
        case Primitive.INT:
            return moved * 3 % 60
        case Primitive.LONG:
            return moved * 137 + 90 if "household" in column.name else moved * 31
        case Primitive.DATE:
            return dt.date(2016, 3, 1) + dt.timedelta(days=29 * moved)
        case Primitive.TIMESTAMP:
            late = 3600 * turn if column.name == "_ingested_at" else 0
            begin = dt.datetime.now(dt.UTC) if late or column.name == "_ingested_at" else dt.datetime(2016, 3, 1)
            begin = begin.replace(microsecond=0, tzinfo=None)
            return begin + dt.timedelta(seconds=late or 86_400 * 29 * moved * (column.name != "_ingested_at"))
        case Primitive.BOOLEAN:
            return moved % 2 == 0
        case Primitive.STRING:
            return f"{column.name} {moved}" if i % 3 else f"é{moved}"
        case _:
            return Decimal(moved * 25) / 100


@pytest.fixture(scope="package")
def api(served: Served) -> Iterator[ApiProcess]:
    """The API as a process of its own, and a key for each role."""
    with running(served) as process:
        yield process
