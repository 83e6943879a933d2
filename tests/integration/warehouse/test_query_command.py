"""`headwater query`, as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.integration.warehouse.conftest import EndpointProcess, free_port

pytestmark = pytest.mark.integration


def headwater(endpoint: EndpointProcess, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headwater.cli", "query", *arguments],
        env={**endpoint.environment(), "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_json_csv_and_table(endpoint: EndpointProcess) -> None:
    sql = "SELECT toInt32(1) AS a, '[b]é' AS b, NULL AS c, toDate('2017-01-01') AS d, toDecimal64(1.5, 2) AS e"
    assert json.loads(headwater(endpoint, sql, "--format", "json").stdout) == [
        {"a": 1, "b": "[b]é", "c": None, "d": "2017-01-01", "e": "1.50"}
    ]
    assert headwater(endpoint, sql, "--format", "csv").stdout == "a,b,c,d,e\n1,[b]é,,2017-01-01,1.50\n"
    assert "[b]é" in headwater(endpoint, sql).stdout


def test_rows_are_bounded_with_a_notice(endpoint: EndpointProcess) -> None:
    done = headwater(endpoint, "SELECT number FROM numbers(900000)", "--format", "csv", "--limit", "3")
    assert done.stdout == "number\n0\n1\n2\n"
    assert "first 3 rows" in done.stderr
    exact = headwater(endpoint, "SELECT number FROM numbers(3)", "--format", "csv", "--limit", "3")
    assert exact.stdout == "number\n0\n1\n2\n"
    assert exact.stderr == ""


def test_an_answer_without_rows_has_its_columns(endpoint: EndpointProcess) -> None:
    assert headwater(endpoint, "SELECT 1 AS a, 2 AS b WHERE 0", "--format", "csv").stdout == "a,b\n"


def test_errors_are_said_with_a_remedy(endpoint: EndpointProcess) -> None:
    refused = headwater(endpoint, "DROP TABLE gold.nope")
    assert (refused.returncode, "(READONLY)" in refused.stderr) == (1, True)
    assert "Traceback" not in refused.stderr
    nobody = headwater(endpoint, "SELECT 1", HEADWATER_CLICKHOUSE_PORT=str(free_port()))
    assert nobody.returncode == 1
    assert "headwater up" in nobody.stderr
    wrong = headwater(endpoint, "SELECT 1", HEADWATER_CLICKHOUSE_READER_PASSWORD="wrong")
    assert "HEADWATER_CLICKHOUSE_READER_PASSWORD" in wrong.stderr
