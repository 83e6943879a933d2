"""The small questions by which one knows that a service serves, or that a port is free."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

from headwater.settings import LOOPBACK


def listens(port: int, host: str = LOOPBACK) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Loopback is asked directly, whatever proxy the environment names."""


def http_body(url: str, timeout: float = 3) -> str | None:
    """The body of a 200 answer, or None for anything else."""
    try:
        with _DIRECT.open(url, timeout=timeout) as answer:
            body: bytes = answer.read()
            return body.decode() if answer.status == 200 else None
    except (OSError, ValueError, urllib.error.HTTPError):
        return None


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now. Connections in TIME_WAIT do not count, just as for the servers."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
