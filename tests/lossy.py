"""A TCP proxy in front of Postgres that loses the answer of a commit: the server has carried it out, nobody hears."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from headwater.settings import LOOPBACK

READY = b"Z\x00\x00\x00\x05I"
"""What Postgres sends when it has ended a statement outside of a transaction: it is committed."""
UPDATE = b"UPDATE iceberg_tables"


class LossyProxy:
    """Hands everything on until it is armed; then cuts the connection of the next commit to the Iceberg catalog.

    The cut comes after the server has said that it is ready again, and before the client has heard anything of it.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._armed, self._away = threading.Event(), threading.Event()
        self._clients: list[socket.socket] = []
        self._turn = threading.Lock()
        self._open: list[socket.socket] = []
        self.cuts = 0

    def __enter__(self) -> LossyProxy:
        """Listen."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close everything."""
        self._listener.close()
        for connection in self._open:
            _close(connection)

    @property
    def is_away(self) -> bool:
        """Whether nobody reaches the server."""
        return self._away.is_set()

    def arm(self) -> None:
        """Lose the answer of the next commit."""
        self._armed.set()

    @contextmanager
    def away(self) -> Iterator[None]:
        """For the block the clients are cut off, and new ones too; the server does not hear of it."""
        self._away.set()
        for client in self._clients:
            _close(client)
        try:
            yield
        finally:
            self._away.clear()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                if self._away.is_set():
                    _close(client)
                    continue
                self._clients.append(client)
                server = socket.create_connection((LOOPBACK, self._server_port))
                self._open += [client, server]
                link = _Link(self, client, server)
                for pump in (link.to_server, link.to_client):
                    threading.Thread(target=pump, daemon=True).start()

    def take_turn(self) -> bool:
        """Whether this commit is the one whose answer is lost."""
        with self._turn:
            if not self._armed.is_set():
                return False
            self._armed.clear()
            self.cuts += 1
            return True


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: LossyProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._in_transaction = False
        self._updated = False
        self._lost = False

    def to_server(self) -> None:
        """From the client on: where a commit goes past, its answer may be the one to be lost."""
        with suppress(OSError):
            while data := self._client.recv(65536):
                self._in_transaction |= b"BEGIN" in data
                self._updated |= UPDATE in data
                if self._updated and (b"COMMIT" in data or not self._in_transaction):
                    self._lost = self._proxy.take_turn()
                    self._updated = False
                self._server.sendall(data)
        if not self._proxy.is_away:
            _close(self._server)

    def to_client(self) -> None:
        """From the server back, unless the answer is to be lost: then nothing more, and the end."""
        with suppress(OSError):
            while data := self._server.recv(65536):
                if self._lost:
                    if data.endswith(READY):
                        break
                    continue
                self._client.sendall(data)
        _close(self._client)
        _close(self._server)


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
