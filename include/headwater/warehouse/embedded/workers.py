"""The threads: one for each running query, a few for cancelling, so that there is always one for it, and for logins two
by password and two by key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.execution import Execution
from headwater.warehouse.embedded.limits import Limits
from headwater.warehouse.embedded.turns import Turns

T = TypeVar("T")

MOST_LOGINS = 32
"""Of one kind, waiting and running: at 50 ms each and two at a time, nobody waits a second."""


class _Logins:
    """Two threads, and a queue with an end. Belongs to one event loop."""

    def __init__(self, kind: str) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix=f"login-{kind}")
        self._inside = 0

    async def run(self, work: Callable[[], T]) -> T:
        if self._inside >= MOST_LOGINS:
            raise EndpointError("TOO_MANY_SIMULTANEOUS_QUERIES", f"Too many logins at a time. Maximum: {MOST_LOGINS}.")
        self._inside += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._left)
        # One who hangs up leaves his work in the queue, and so is counted until it is done.
        return await asyncio.shield(future)

    def _left(self, future: asyncio.Future[T]) -> None:
        self._inside -= 1
        if not future.cancelled():
            future.exception()

    def close(self) -> None:
        self._threads.shutdown(wait=True)


class Workers:
    """Belongs to one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._workers = ThreadPoolExecutor(limits.worker_threads, thread_name_prefix="query")
        self._cancellers = ThreadPoolExecutor(4, thread_name_prefix="cancel")
        self._passwords = _Logins("password")
        self._keys = _Logins("key")
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
        """Run a login by password, dear on purpose: a flood of wrong ones takes two threads and nobody's queries.

        Raises TOO_MANY_SIMULTANEOUS_QUERIES at once where too many wait.
        """
        return await self._passwords.run(work)

    async def check_key(self, work: Callable[[], T]) -> T:
        """Run a login by API key, which does not wait behind passwords; raises as `check`."""
        return await self._keys.run(work)

    def cancel(self, execution: Execution) -> Future[None]:
        """Begin to cancel a query; done when it has ended."""
        return self._cancellers.submit(execution.cancel)

    def close(self) -> None:
        """Wait for all that runs."""
        self._passwords.close()
        self._keys.close()
        self._workers.shutdown(wait=True)
        self._cancellers.shutdown(wait=True)
