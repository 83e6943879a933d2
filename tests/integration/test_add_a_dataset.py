"""docs/how-to/add-a-dataset.md, followed to the letter: its files are written, its commands run, its answer compared.

In a copy of the project (contracts, jobs, DAGs), so that the checkout stays as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyiceberg.expressions import EqualTo
from tests.conftest import environment

from headwater.contracts.registry import RegistryClient
from headwater.embedded import stack as embedded
from headwater.lake.catalog import get_catalog
from headwater.settings import LOOPBACK, Settings, get_settings
from headwater.streaming import supervision
from headwater.warehouse.client import writer

# Fifteen commands, six of which need Spark.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "how-to" / "add-a-dataset.md"
BLOCK = re.compile(r"(?:Write `(?P<path>[^`]+)`[^\n]*\n\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.S)


@dataclass(frozen=True)
class Step:
    """One code block of the page: a file to write (with `path`), commands, Python, or the expected answer."""

    kind: str
    text: str
    path: str | None


def steps() -> list[Step]:
    """The page's code blocks, in order."""
    return [Step(m["kind"], m["text"], m["path"]) for m in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def project(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of what the page works on, as the current project."""
    copy = tmp_path_factory.mktemp("project")
    for part in ("schemas", "spark_jobs", "dags", "tests/datasets"):
        shutil.copytree(CHECKOUT / part, copy / part)
    embedded.up(("spark",), print)
    remote = f"sc://{LOOPBACK}:{stack.spark_connect_port}"
    with environment(HEADWATER_PROJECT_DIR=str(copy), HEADWATER_HOME=str(stack.home), HEADWATER_SPARK_REMOTE=remote):
        yield copy
        with writer() as client:
            client.command("DROP TABLE IF EXISTS gold.mart_operations_footfall")


def follow(project: Path, step: Step) -> str:
    """Do what a step says; gives what its last command printed."""
    if step.path:
        target = project / step.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(step.text, encoding="utf-8")
        return ""
    output = ""
    commands = [[sys.executable, "-c", step.text]] if step.kind == "python" else shell_lines(step.text)
    for command in commands:
        done = subprocess.run(
            command, cwd=project, env=_environment(), capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        output = done.stdout
    return output


def shell_lines(text: str) -> list[list[str]]:
    """Each line as a shell would run it."""
    return [["bash", "-c", line] for line in text.splitlines() if line.strip()]


def _environment() -> dict[str, str]:
    """`headwater` and `python` are this interpreter's."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_following_the_page_gives_what_it_says(project: Path) -> None:
    answer, expected = "", ""
    for step in steps():
        if step.kind == "csv":
            expected = step.text
            break
        answer = follow(project, step)
    assert expected
    assert answer == expected
    table = get_catalog().load_table("silver.footfall_refused")
    refused = table.scan(row_filter=EqualTo("visitors", -1)).to_arrow().to_pylist()
    assert [row["_rule"] for row in refused] == [["visitors_minimum"]]
    assert get_catalog().load_table("bronze.footfall").scan().to_arrow().num_rows == 6


def test_running_it_again_changes_nothing(project: Path) -> None:
    tables = ("bronze.footfall", "silver.footfall", "gold.mart_operations_footfall")
    before = {name: get_catalog().load_table(name).current_snapshot() for name in tables}
    assert all(before.values()), "the page was not followed before"
    jobs = next(step for step in steps() if "ingest_batch.py" in step.text)
    follow(project, jobs)
    assert {name: get_catalog().load_table(name).current_snapshot() for name in tables} == before


def test_a_stream_is_declared_in_the_same_way(project: Path) -> None:
    found = steps()
    begin = next(n for n, step in enumerate(found) if step.path and step.path.endswith("door_events.yaml"))
    try:
        for step in found[begin:]:
            follow(project, step)
        await_read("bronze.door_events", {"event_id": "1-a7", "store_id": 1, "direction": "in", "_error": None})
    finally:
        supervision.stop()
    assert (project / "schemas" / "avro" / "door_events" / "v1.avsc").exists()
    with RegistryClient(get_settings()) as registry:
        assert registry.versions("loyalty.door_events-value") == [1]


def await_read(table: str, expected: dict[str, object]) -> None:
    """Until the table has this one row."""
    deadline = time.monotonic() + 120
    while not (rows := get_catalog().load_table(table).scan(selected_fields=tuple(expected)).to_arrow().to_pylist()):
        assert time.monotonic() < deadline, supervision.statuses()
        time.sleep(0.5)
    assert rows == [expected]


def test_the_checkout_stays_as_it_is(project: Path) -> None:
    assert not (CHECKOUT / "schemas" / "contracts" / "loyalty" / "footfall.yaml").exists()
    assert "footfall" not in (CHECKOUT / "dags" / "graph.py").read_text(encoding="utf-8")
