"""A value that many ask for and that is read anew: those who come while one reads share the next reading."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """Thread-safe; `read` is called by one thread at a time, and raises to the caller whose turn it was."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._turn = threading.Condition()
        self._begun = 0
        self._held: tuple[int, float, T] | None = None  # the reading's number, when it began, what it gave
        self._reading = False

    def recent(self, seconds: float) -> T:
        """The value as it was at most so many seconds ago."""
        held = self._held
        if held is not None and time.monotonic() - held[1] < seconds:
            return held[2]
        return self.newer()

    def newer(self) -> T:
        """The value as it is after this call began, so after whatever the caller did before."""
        with self._turn:
            wanted = self._begun + 1  # one that is under way may have read already
            while self._reading or (self._held is not None and self._held[0] >= wanted):
                if self._held is not None and self._held[0] >= wanted:
                    return self._held[2]
                self._turn.wait()
            self._reading = True
            self._begun += 1
            mine, at = self._begun, time.monotonic()
        try:
            value = self._read()
            with self._turn:
                self._held = (mine, at, value)
            return value
        finally:
            with self._turn:
                self._reading = False
                self._turn.notify_all()
