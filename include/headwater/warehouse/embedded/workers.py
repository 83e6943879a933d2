"""The threads: one for each running query, a few for cancelling, so that there is always one for it, two for logins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from headwater.warehouse.embedded.execution import Execution
from headwater.warehouse.embedded.limits import Limits
from headwater.warehouse.embedded.turns import Turns

T = TypeVar("T")


class Workers:
    """Belongs to one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._workers = ThreadPoolExecutor(limits.worker_threads, thread_name_prefix="query")
        self._cancellers = ThreadPoolExecutor(4, thread_name_prefix="cancel")
        self._checkers = ThreadPoolExecutor(2, thread_name_prefix="login")
        self._turns = Turns(limits.short_queries)

    async def run(self, work: Callable[[], T]) -> T:
        """Run in a worker thread; a cancelled caller still waits for the thread, which uses its connection."""
        future = asyncio.get_running_loop().run_in_executor(self._workers, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise

    async def run_in_turn(self, work: Callable[[], T]) -> T:
        """Run when few others do: the first, and mostly the only, step of a query."""
        return await self._turns.take(partial(self.run, work))

    async def run_aside(self, work: Callable[[], T]) -> T:
        """Run where no query's thread is taken."""
        return await asyncio.get_running_loop().run_in_executor(self._cancellers, work)

    async def check(self, work: Callable[[], T]) -> T:
        """Run a login, which is dear on purpose: a flood of wrong ones takes two threads and nobody's queries."""
        return await asyncio.get_running_loop().run_in_executor(self._checkers, work)

    def cancel(self, execution: Execution) -> Future[None]:
        """Begin to cancel a query; done when it has ended."""
        return self._cancellers.submit(execution.cancel)

    def close(self) -> None:
        """Wait for all that runs."""
        self._checkers.shutdown(wait=True)
        self._workers.shutdown(wait=True)
        self._cancellers.shutdown(wait=True)
