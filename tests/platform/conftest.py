"""The whole platform on two weeks of the real data, once for all tests of this folder.

HEADWATER_TEST_PLATFORM=<home> takes one that runs already and holds all of the data, as `make demo` leaves it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date

import pytest
from tests.conftest import environment, temporary_home
from tests.truth.expected import Truth
from tests.truth.source import Part, demo_changes

from headwater.embedded import stack as embedded
from headwater.settings import Settings, get_settings

UNTIL = date(2017, 1, 15)
WEEKS = 3


@pytest.fixture(scope="session")
def platform() -> Iterator[Settings]:
    """The settings of a platform that `headwater demo --to 2017-01-15` has filled; the demo itself has succeeded."""
    running = os.environ.get("HEADWATER_TEST_PLATFORM")
    if running:
        with environment(HEADWATER_HOME=running):
            yield get_settings()
        return
    with temporary_home():
        try:
            subprocess.run([sys.executable, "-m", "headwater.cli", "demo", "--to", f"{UNTIL}"], check=True)
            get_settings.cache_clear()
            yield get_settings()
        finally:
            embedded.down(print, wipe=True)


@pytest.fixture(scope="session")
def truth() -> Truth:
    """What gold must hold for these two weeks (or all the data), by DuckDB from the source's files."""
    if "HEADWATER_TEST_PLATFORM" in os.environ:
        return Truth(Part(changes=demo_changes()))
    return Truth(
        Part(
            transactions=f"transaction_timestamp < DATE '{UNTIL}'",
            redemptions=f"redemption_date < DATE '{UNTIL}'",
            promotions=f"week <= {WEEKS}",
            changes=demo_changes(),
        )
    )
