"""Answers in the formats of the engine, streamed or whole, as one document."""

from __future__ import annotations

import json

import httpx
import pytest
from tests.integration.warehouse.conftest import READER, EndpointProcess

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "name",
    [
        "TabSeparatedWithNames",
        "TabSeparatedWithNamesAndTypes",
        "CSVWithNames",
        "JSONCompactEachRowWithNamesAndTypes",
        "RowBinaryWithNamesAndTypes",
    ],
)
def test_a_streamed_format_has_its_header_once(endpoint: EndpointProcess, name: str) -> None:
    sql = 'SELECT number AS `a"\nb`, toString(number) AS s FROM numbers(300000) FORMAT ' + name
    streamed = endpoint.ask(sql, max_block_size="65409").content
    at_once = endpoint.ask(f"SELECT * FROM ({sql.removesuffix(' FORMAT ' + name)}) LIMIT 3 FORMAT {name}").content
    body = at_once.rstrip(b"\n")
    assert streamed[: len(body)] == body
    assert streamed.count(b"String") <= 1
    if not name.startswith("RowBinary"):
        header = 2 if name.endswith("Types") else 1
        lines_in_name = 1 if name.startswith("CSV") else 0
        assert streamed.count(b"\n") == 300_000 + header + lines_in_name


def test_formats_that_cannot_be_streamed_come_whole(endpoint: EndpointProcess) -> None:
    answer = json.loads(endpoint.ask("SELECT number FROM numbers(150000) FORMAT JSON").text)
    assert answer["rows"] == len(answer["data"]) == 150_000
    assert endpoint.ask("SELECT number FROM numbers(100000) FORMAT Parquet").content.count(b"PAR1") == 2


def test_format_by_parameter_by_header_and_by_clause(endpoint: EndpointProcess) -> None:
    answer = endpoint.ask("SELECT 1 AS a", default_format="JSONCompact")
    assert answer.json()["data"] == [[1]]
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-clickhouse-format"] == "JSONCompact"
    assert endpoint.ask("SELECT 'FORMAT CSV' AS a", default_format="CSV").text == '"FORMAT CSV"\n'
    by_header = httpx.post(endpoint.url, content="SELECT 1", headers={"X-ClickHouse-Format": "CSV"}, auth=READER)
    assert by_header.headers["x-clickhouse-format"] == "CSV"
    assert endpoint.ask("SELECT 1 AS a WHERE 0 FORMAT TSVWithNames").text == "a\n"


@pytest.mark.parametrize("name", ["CSV", "TabSeparated", "CSVWithNames"])
def test_totals_follow_the_rows(endpoint: EndpointProcess, name: str) -> None:
    sql = f"SELECT number % 2 AS k, count() FROM numbers(9) GROUP BY k WITH TOTALS ORDER BY k FORMAT {name}"
    assert endpoint.ask(sql, READER).text.replace("\t", ",").splitlines()[-2:] == ["", "0,9"]


def test_extremes_follow_the_rows(endpoint: EndpointProcess) -> None:
    assert endpoint.ask("SELECT number FROM numbers(3) FORMAT TSV", READER, extremes="1").text == "0\n1\n2\n\n0\n2\n"


def test_one_json_array_around_all_rows(endpoint: EndpointProcess) -> None:
    sql = "SELECT number FROM numbers(150000) FORMAT JSONEachRow"
    assert len(endpoint.ask(sql, READER, output_format_json_array_of_rows="1").json()) == 150000
