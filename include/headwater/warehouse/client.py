"""Clients of the warehouse: `writer()` for DDL and loads, `reader()` for everything that only asks.

Both are plain clickhouse-connect clients from the settings, for the embedded endpoint and a real server alike. One is
not for several threads at once; take one each. Times are bounded and nothing is tried twice behind the caller's back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError
from pydantic import SecretStr
from urllib3.poolmanager import PoolManager

from headwater.errors import ConfigurationError, RetryableError, TerminalError
from headwater.settings import get_settings

CONNECT_SECONDS = 5
ANSWER_SECONDS = 300

AUTHENTICATION_FAILED = "516"
QUERY_REMEDY = "mend the statement; the name in brackets is ClickHouse's own error"


class WarehouseUnavailableError(RetryableError):
    """The warehouse does not answer."""


class WarehouseQueryError(TerminalError):
    """The warehouse answered a statement with an error."""


def writer() -> Client:
    """A client that may write. Raises `WarehouseUnavailableError`, `ConfigurationError`."""
    settings = get_settings()
    return _connect(settings.clickhouse_user, settings.clickhouse_password, "CLICKHOUSE_PASSWORD")


def reader() -> Client:
    """A client that only reads, within the server's limits. Raises as `writer` does."""
    settings = get_settings()
    return _connect(settings.clickhouse_reader_user, settings.clickhouse_reader_password, "CLICKHOUSE_READER_PASSWORD")


def agent() -> Client:
    """A client of the MCP sidecar's user, which reads its role's views. Raises as `writer` does."""
    settings = get_settings()
    return _connect(settings.clickhouse_agent_user, settings.clickhouse_agent_password, "CLICKHOUSE_AGENT_PASSWORD")


def member(name: str, password: SecretStr, pool: PoolManager | None = None) -> Client:
    """A client of somebody whom the policy lets read; several may share a `pool` of connections. Raises as `writer`."""
    return _connect(name, password, "SURFACE_KEY", pool)


def _connect(user: str, password: SecretStr, variable: str, pool: PoolManager | None = None) -> Client:
    settings = get_settings()
    where = f"{settings.clickhouse_host}:{settings.clickhouse_port}"
    try:
        return clickhouse_connect.get_client(
            host=settings.clickhouse_host,
            port=settings.clickhouse_port,
            interface="https" if settings.clickhouse_secure else "http",
            username=user,
            password=password.get_secret_value(),
            connect_timeout=CONNECT_SECONDS,
            send_receive_timeout=ANSWER_SECONDS,
            # A dead host must fail at once, and a statement must not run twice unasked.
            query_retries=0,
            # Without a session, one client's queries do not lock each other out.
            autogenerate_session_id=False,
            pool_mgr=pool,
        )
    except OperationalError as error:
        raise WarehouseUnavailableError(
            "the warehouse does not answer", where=where, remedy="`headwater status`, then `headwater up`"
        ) from error
    except DatabaseError as error:
        if AUTHENTICATION_FAILED in str(error):
            raise ConfigurationError(
                f"the warehouse refuses the user {user}", where=where, remedy=f"set HEADWATER_{variable}"
            ) from error
        raise WarehouseQueryError(_first_line(error), where=where) from error


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn clickhouse-connect's errors into the platform's; `where` names the table or the question."""
    try:
        yield
    except OperationalError as error:
        raise WarehouseUnavailableError(
            _first_line(error), where=where, remedy="`headwater status`, then `headwater up`"
        ) from error
    except ClickHouseError as error:
        raise WarehouseQueryError(_first_line(error), where=where, remedy=QUERY_REMEDY) from error


def _first_line(error: Exception) -> str:
    """The server's own words, without what clickhouse-connect puts around them."""
    text = re.sub(r"^.*?server response: (?:Code: \d+\. DB::Exception: )?", "", str(error).strip(), flags=re.S)
    text = re.sub(r"\s*\(version [^)]*\)+.*$", "", text, flags=re.S)
    return text.splitlines()[0] if text else type(error).__name__
