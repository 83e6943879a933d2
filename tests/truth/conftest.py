"""Which data the platform under test was given."""

from __future__ import annotations

import os

import pytest
from tests.truth.expected import Truth
from tests.truth.source import Part, demo_changes


@pytest.fixture(scope="session")
def truth() -> Truth:
    """What gold must hold: all of the demo's data, or the part that HEADWATER_TRUTH_TRANSACTIONS says.

    It is a DuckDB condition over the columns of transactions.parquet, e.g. `file_row_number < 50000`.
    """
    transactions = os.environ.get("HEADWATER_TRUTH_TRANSACTIONS", "true")
    return Truth(Part(transactions=transactions, changes=demo_changes()))
