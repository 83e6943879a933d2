"""Gold of a running platform, in Iceberg and in ClickHouse, row by row and to the cent, against the source's files.

Run it on the platform that `make demo` left running:
`HEADWATER_TEST_STACK=.headwater uv run pytest tests/truth/test_gold_is_right.py`.
"""

from __future__ import annotations

import os

import pytest
from tests.truth.expected import KEYS, Truth
from tests.truth.readers import READERS

from headwater.settings import Settings

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        "HEADWATER_TEST_STACK" not in os.environ, reason="needs a platform with data: HEADWATER_TEST_STACK=<its home>"
    ),
]


@pytest.mark.parametrize("place", READERS)
@pytest.mark.parametrize("name", KEYS)
def test_a_gold_table_holds_what_the_source_files_say(stack: Settings, truth: Truth, name: str, place: str) -> None:
    assert truth.differences(name, READERS[place](name)) == []
