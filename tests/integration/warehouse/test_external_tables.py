"""Tables that a client sends along with its query: what it may say of them, and what it must not reach by them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tests.integration.warehouse.conftest import READER, EndpointProcess, refused

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "types", ["Array(Nullable(String))", "DateTime64(3, 'UTC')", "Enum8('a' = 1)", "Decimal(9, 2)"]
)
def test_external_tables_of_every_kind_of_type(endpoint: EndpointProcess, types: str) -> None:
    answer = httpx.post(
        endpoint.url,
        params={"query": "SELECT toTypeName(x) FROM e", "e_structure": f"`x` {types}, y UInt8"},
        files={"e": b""},
        auth=READER,
    )
    assert (answer.status_code, answer.text) == (200, ""), answer.text


def test_a_form_that_is_none_is_told(endpoint: EndpointProcess) -> None:
    head = {"content-type": "multipart/form-data; boundary=x"}
    answer = httpx.post(endpoint.url, content=b"--y\r\nnonsense", headers=head, auth=READER)
    assert answer.status_code == 400
    assert "x-clickhouse-exception-code" in answer.headers


STRUCTURES = [
    "s String) ENGINE = Memory AS SELECT s FROM hidden.wages --",
    "s String) ENGINE = Memory AS (SELECT s FROM hidden.wages",
    "s String) AS SELECT s FROM hidden.wages /*",
    "s String); DROP TABLE gold.sales SYNC; CREATE TEMPORARY TABLE other (s String",
    "a String, s String DEFAULT file('{path}')",
    "a String, s String MATERIALIZED file('{path}')",
    "a String, s Enum8(file('{path}'))",
    "s String -- comment",
    "s AS file('{path}')",
    "s String, INDEX i s TYPE minmax",
]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_structure_of_an_external_table_is_names_and_types(
    endpoint: EndpointProcess, tables: None, secret_file: Path, structure: str
) -> None:
    for field in ({"e_structure": structure}, {"e_types": structure.partition(" ")[2]}):
        described = {name: text.replace("{path}", str(secret_file)) for name, text in field.items()}
        answer = httpx.post(
            endpoint.url,
            params={"query": "SELECT * FROM e", "e_format": "JSONEachRow"},
            data=described,
            files={"e": b'{"a": "1"}\n'},
            auth=READER,
        )
        assert refused(answer), answer.text
        assert endpoint.ask("SELECT count() FROM gold.sales").text == "2\n"
