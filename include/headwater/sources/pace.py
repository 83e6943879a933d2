"""How fast a replay goes: as fast as it can, so many records a second, or so many times as fast as it happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

MICROSECONDS = 1_000_000

Due = Callable[[float], int]
"""How many rows may be out, so many seconds after the start."""


class Pace(Protocol):
    """Plans a replay of rows whose event times (microseconds, ascending) are given."""

    def plan(self, times: npt.NDArray[Any]) -> Due:
        """The rows that are due, as a function of the seconds since the start."""


@dataclass(frozen=True, slots=True)
class FullSpeed:
    """Everything is due at once."""

    def plan(self, times: npt.NDArray[Any]) -> Due:
        """All rows, always."""
        return lambda _: len(times)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many records a second."""

    records_per_second: float

    def plan(self, times: npt.NDArray[Any]) -> Due:
        """Rows by the clock, whatever their event times."""
        return lambda elapsed: int(elapsed * self.records_per_second)


@dataclass(frozen=True, slots=True)
class Speed:
    """So many times as fast as it happened: 3600 plays an hour in a second."""

    factor: float

    def plan(self, times: npt.NDArray[Any]) -> Due:
        """Rows whose event time has come, when the first row's time is the start."""
        return lambda elapsed: int(
            np.searchsorted(times, times[:1].sum() + elapsed * self.factor * MICROSECONDS, side="right")
        )
