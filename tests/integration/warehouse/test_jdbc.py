"""The official JDBC driver, from Spark and by itself; it speaks ClickHouse's own compressed blocks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.warehouse.conftest import WRITER, EndpointProcess

from headwater.embedded import downloads
from headwater.embedded.java import find_java
from headwater.settings import get_settings

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def driver() -> Path:
    settings = get_settings()
    (entry,) = [one for one in downloads.locked() if "clickhouse-jdbc" in one.path]
    if entry in downloads.missing(settings, ["spark"]):
        java = find_java(settings)
        assert java is not None, "the stack's `headwater up` brings Java"
        downloads.ensure(settings, ["spark"], java.executable)
    return settings.downloads_dir / entry.path


def test_spark_writes_reads_and_hears_of_errors(endpoint: EndpointProcess, driver: Path) -> None:
    endpoint.ask(
        "CREATE OR REPLACE TABLE live.jdbc (id Int32, name String, amount Float64) ENGINE = MergeTree ORDER BY id"
    )
    script = Path(__file__).with_name("jdbc_from_spark.py")
    url = f"jdbc:clickhouse:http://127.0.0.1:{endpoint.port}/live"
    done = subprocess.run(
        [sys.executable, str(script), str(driver), url, *WRITER],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["sum"] == {"sum(id)": sum(range(20_000)), "count(1)": 20_000}
    assert found["name"] == "it's \\ 7"
    assert found["types"] == {"id": "int", "name": "string", "amount": "double"}
    plain = found["plain"]
    assert (plain["prepared"], plain["table"], plain["error_code"]) == (10, "jdbc", 60)
    assert plain["version"] == endpoint.ask("SELECT version()").text.strip()
