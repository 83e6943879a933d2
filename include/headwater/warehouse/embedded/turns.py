"""Turns: only a few short queries run at a time, so that a hundred clients wait in line and not for the scheduler.

A query that has not ended within `SHORT_SECONDS` is a long one and gives its turn away, so it holds nobody up: any
number of long queries run beside the short ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

SHORT_SECONDS = 0.05
T = TypeVar("T")


class Turns:
    """First come, first served. Belongs to one event loop."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)

    async def take(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` when it is its turn."""
        await self._free.acquire()
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._free.release()

        timer = asyncio.get_running_loop().call_later(SHORT_SECONDS, release)
        try:
            return await work()
        finally:
            timer.cancel()
            release()
