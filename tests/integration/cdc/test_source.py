"""What is made in the source, and what is said of one that cannot be captured. No worker is needed."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from tests.cdc import ACCOUNTS, DDL

from headwater.cdc import source
from headwater.cdc.connector import Capture, heartbeat_query
from headwater.contracts.loader import load_file
from headwater.errors import TerminalError
from headwater.settings import Settings

pytestmark = pytest.mark.integration
ACCOUNT = load_file(ACCOUNTS)


@pytest.fixture
def capture(stack: Settings) -> Iterator[Capture]:
    """A database of its own, with the table bank.accounts."""
    name = f"cdc_source_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(stack.postgres_dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with psycopg.connect(stack.postgres_dsn(name), autocommit=True) as connection:
            connection.execute(DDL)
        yield Capture(name, (ACCOUNT,))
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def captured(capture: Capture, **changes: object) -> Capture:
    return Capture(capture.database, (dataclasses.replace(ACCOUNT, **changes),))


def test_what_is_made_is_there_and_is_made_once(stack: Settings, capture: Capture):
    with source.connected(stack, capture.database) as connection:
        source.check(connection, capture)
        steps = source.steps(connection, capture)
        assert len(steps) == 3
        source.perform(connection, steps)
        assert source.steps(connection, capture) == []
        published = connection.execute("SELECT schemaname || '.' || tablename FROM pg_publication_tables ORDER BY 1")
        assert [name for (name,) in published] == [
            "bank.accounts",
            "headwater_cdc.debezium_signal",
            "headwater_cdc.heartbeat",
        ]
        source.drop(connection, capture)
        assert connection.execute("SELECT count(*) FROM pg_publication").fetchone() == (0,)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source_name": "bank.nothing"}, "there is no table bank.nothing → create it, or correct physicalName"),
        (
            {"columns": tuple(dataclasses.replace(c, primary_key=True, source_name="id") for c in ACCOUNT.columns[:1])},
            "bank.accounts has no column id → correct the primary key",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_told_with_the_remedy(stack, capture, changes, said):
    with source.connected(stack, capture.database) as connection, pytest.raises(TerminalError) as told:
        source.check(connection, captured(capture, **changes))
    assert said in str(told.value)


def test_a_table_that_is_not_logged_cannot_be_captured(stack: Settings, capture: Capture):
    with source.connected(stack, capture.database) as connection:
        connection.execute("ALTER TABLE bank.accounts SET UNLOGGED")
        with pytest.raises(TerminalError, match="no ordinary, logged table"):
            source.check(connection, capture)


def test_a_user_who_may_not_replicate_is_told_how(stack: Settings, capture: Capture):
    role = f"clerk_{uuid.uuid4().hex[:8]}"
    with source.connected(stack, capture.database) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        try:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            with pytest.raises(TerminalError, match="may not replicate.*REPLICATION"):
                source.check(connection, capture)
        finally:
            connection.execute("RESET ROLE")
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_user_without_rights_on_the_table_is_told(stack: Settings, capture: Capture):
    role = f"clerk_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(stack.postgres_dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        with pytest.raises(TerminalError, match="must own the captured tables"):
            prepare_as(stack, capture, role)
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def prepare_as(stack: Settings, capture: Capture, role: str) -> None:
    """Make what is missing with no more rights than this role has."""
    with source.connected(stack, capture.database) as connection, connection.transaction():
        steps = source.steps(connection, capture)
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        source.perform(connection, steps)


def test_a_connector_of_its_own_user_may_do_what_it_must_and_no_more(stack: Settings, capture: Capture):
    role = f"reader_{uuid.uuid4().hex[:8]}"
    capture = dataclasses.replace(capture, reader=role)
    with source.connected(stack, capture.database) as connection:
        with pytest.raises(TerminalError, match=f"no user {role} → as a superuser: CREATE ROLE"):
            source.check(connection, capture)
        connection.execute(sql.SQL("CREATE ROLE {} REPLICATION").format(sql.Identifier(role)))
        try:
            source.check(connection, capture)
            source.perform(connection, source.steps(connection, capture))
            assert source.steps(connection, capture) == []
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            connection.execute("SELECT * FROM bank.accounts")
            connection.execute(heartbeat_query(capture).encode())
            connection.execute("INSERT INTO headwater_cdc.debezium_signal VALUES ('1', 'x', '')")
            connection.execute("SELECT pg_create_logical_replication_slot('mine', 'pgoutput', temporary => true)")
            for refused in ("DELETE FROM bank.accounts", "SELECT * FROM headwater_cdc.captured_table"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(refused)
        finally:
            connection.execute("RESET ROLE")
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
