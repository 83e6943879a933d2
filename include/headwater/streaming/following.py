"""The live follower of a stream as a thread of the streaming application."""

from __future__ import annotations

import threading
from typing import Any

from headwater.contracts.model import Dataset
from headwater.streaming.live import LiveFollower

END_SECONDS = 15.0
"""How long the end of a stream waits for the follower to end its insert; it loses nothing if it is cut off."""


class Following:
    """Runs the follower from `start` to `stop`; it looks after itself. Nothing where there is no live table."""

    def __init__(self, dataset: Dataset, *, wanted: bool) -> None:
        self._dataset = dataset
        self._follower = LiveFollower(dataset) if wanted and dataset.live is not None else None
        self._name = f"live-{dataset.name}"
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._enough = 0

    @property
    def state(self) -> dict[str, Any]:
        """What it tells."""
        return {} if self._follower is None else dict(self._follower.state)

    def start(self, token: int) -> None:
        """Follow for the writer with this token."""
        if self._follower is None:
            return
        running = self._thread is not None and self._thread.is_alive()
        if running and self._stopping.is_set():  # it is still at an insert, and ends after it
            self._follower, running = LiveFollower(self._dataset), False
        self._follower.token = token
        if not running:
            self._stopping = threading.Event()
            self._thread = threading.Thread(
                target=self._follower.follow, args=(self._stopping,), name=self._name, daemon=True
            )
            self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        if self._follower is not None:
            self._follower.wake.set()

    def expect(self) -> None:
        """From now on `caught_up` speaks of what bronze has now: a pass that is under way may have missed it."""
        if self._follower is not None:
            self._enough = self._follower.passes + 2
            self.wake()

    def caught_up(self) -> bool:
        """Whether all is in the live table that was in bronze at `expect`."""
        if self._follower is None or self._thread is None or self._follower.passes >= self._enough:
            return True
        self.wake()
        return False

    def stop(self) -> None:
        """End it, after the insert it is at."""
        self._stopping.set()
        self.wake()
        if self._thread is not None:
            self._thread.join(END_SECONDS)
