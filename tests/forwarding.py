"""A way to a server that can be cut, without touching the server: others go on using it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def forwarding(port: int, target: int) -> Iterator[None]:
    """Let connections to `port` reach the server at `target`, for the block; afterwards they are cut."""
    open_ones: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", port)) as server:
        accepting = threading.Thread(target=_accept, args=(server, target, open_ones), daemon=True)
        accepting.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for one in open_ones:
                with suppress(OSError):  # its other end has gone already
                    one.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, target: int, open_ones: list[socket.socket]) -> None:
    while True:
        try:
            near, _ = server.accept()
        except OSError:
            return  # the block is over
        far = socket.create_connection(("127.0.0.1", target))
        open_ones += (near, far)
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # cut
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
