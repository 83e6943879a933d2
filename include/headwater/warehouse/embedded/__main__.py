"""`python -m headwater.warehouse.embedded`: serve ClickHouse's HTTP interface from chDB until SIGTERM.

Host, port, data path, users and limits come from the settings; the log goes to standard output. On SIGTERM no new
request is taken, running ones get `clickhouse_stop_seconds` to end, then they are cancelled. Exit code 0 after a clean
stop, 1 with the remedy when it cannot start.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from pydantic import SecretStr

from headwater.audit.writing import Auditor
from headwater.errors import ConfigurationError, HeadwaterError
from headwater.identity.authenticating import Authenticator
from headwater.policy.loader import load_policy
from headwater.policy.model import DATABASE_PREFIX
from headwater.settings import Settings, get_settings
from headwater.warehouse.embedded.access import User, Users
from headwater.warehouse.embedded.app import Endpoint
from headwater.warehouse.embedded.engine import Engine
from headwater.warehouse.embedded.limits import Limits
from headwater.warehouse.embedded.members import Members

log = logging.getLogger("headwater.warehouse.embedded")


def main() -> int:
    """Serve until told to stop."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        serve(get_settings())
    except HeadwaterError as error:
        log.error("%s", error)
        return 1
    return 0


def serve(settings: Settings) -> None:
    """Start the engine and the server; returns after a graceful stop. Raises `ConfigurationError` for a taken port."""
    listener = _listen(settings.bind_host, settings.clickhouse_port)
    databases = [name.strip() for name in settings.clickhouse_reader_databases.split(",") if name.strip()]
    data = settings.home / "clickhouse"
    engine = Engine(data, databases, _role_databases(data))
    users = Users(
        [
            _user(settings.clickhouse_user, settings.clickhouse_password, readonly=False),
            _user(settings.clickhouse_reader_user, settings.clickhouse_reader_password, readonly=True),
        ]
    )
    limits = Limits(
        reader_rows=settings.clickhouse_reader_max_rows,
        reader_bytes=settings.clickhouse_reader_max_bytes,
        reader_seconds=settings.clickhouse_reader_max_seconds,
        query_memory=settings.clickhouse_query_memory_bytes,
        concurrent_queries=settings.clickhouse_max_concurrent_queries,
    )
    config = uvicorn.Config(
        Endpoint(engine, users, limits, Members(engine, settings, Authenticator(settings), Auditor(settings))),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=settings.clickhouse_stop_seconds,
        backlog=1024,
    )
    log.info("ClickHouse %s (chDB) on http://%s:%d", engine.version, settings.bind_host, settings.clickhouse_port)
    Server(config).run(sockets=[listener])


class Server(uvicorn.Server):
    """uvicorn's server, which would raise the signal again after a clean stop and so exit with an error."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT begin the graceful stop."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _role_databases(data: Path) -> list[str]:
    """Databases of the policy's roles: of the files, and of what was applied. The engine learns of them at its start.

    A policy that cannot be read keeps nobody from loading; it is said, and its roles wait.
    """
    found = {path.stem for path in (data / "metadata").glob(f"{DATABASE_PREFIX}*.sql")}
    try:
        found |= {role.database for role in load_policy().roles.values()}
    except HeadwaterError as error:
        log.error("the policy's files cannot be read: %s", error)
    return sorted(found)


def _user(name: str, password: SecretStr, *, readonly: bool) -> User:
    if not password.get_secret_value():
        raise ConfigurationError(
            f"the user {name} has no password", where="HEADWATER_CLICKHOUSE_*PASSWORD", remedy="set one, in .env or so"
        )
    return User(name, password.get_secret_value(), readonly=readonly)


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket, taken before the engine touches any file."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen: {error.strerror}",
            where=f"{host}:{port}",
            remedy="stop what uses this port, or set HEADWATER_CLICKHOUSE_PORT or HEADWATER_PORT_BASE",
        ) from error
    return listener


if __name__ == "__main__":
    sys.exit(main())
