"""Schemathesis, a client that reads the description alone, finds nothing that the API does otherwise than it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agents import Agents
from tests.integration.policy.api_process import ApiProcess, running
from tests.integration.policy.conftest import PASSWORD, Served

from headwater.identity.store import IdentityStore

pytestmark = pytest.mark.integration

CONFIG = """
[parameters]
"path.dataset" = "fct_sales"
"path.metric" = "revenue"
# What a schema cannot say (which columns there are, which values a column has) is refused with 422.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "422", "429", "503"]
# Bodies of events and their media types are the ingestion's own; a key of an identity sends none.
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""


@pytest.fixture(scope="module")
def api(agents: Agents) -> Iterator[ApiProcess]:
    """The API on the shared stack, over the tables that its agents ask."""
    store = IdentityStore(agents.settings)
    store.add("some.analyst", "person", ["analysts"], {}, PASSWORD)
    store.close()
    with running(Served(agents.settings, agents.policy, agents.contracts)) as process:
        yield process


@pytest.mark.parametrize(
    "phases",
    [
        pytest.param(["fuzzing", "--max-examples=5"], id="few"),
        pytest.param(["coverage,fuzzing,stateful", "--max-examples=40"], id="all", marks=pytest.mark.thorough),
    ],
)
def test_it_finds_nothing(api: ApiProcess, tmp_path: Path, phases: list[str]) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={config}",
        "run",
        f"{api.url}/openapi.json",
    ]
    command += [
        f"--header=Authorization: Bearer {api.key('analyst')}",
        "--seed=1",
        f"--phases={phases[0]}",
        *phases[1:],
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
