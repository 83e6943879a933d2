"""The engine's exceptions become ClickHouse's answers."""

from __future__ import annotations

import pytest

from headwater.warehouse.embedded.errors import CODES, EndpointError, from_engine


@pytest.mark.parametrize(
    ("text", "code", "name", "status"),
    [
        ("Code: 62. DB::Exception: Syntax error: x. (SYNTAX_ERROR)", 62, "SYNTAX_ERROR", 400),
        ("Code: 60. DB::Exception: Table d.t does not exist. (UNKNOWN_TABLE)", 60, "UNKNOWN_TABLE", 404),
        ("Streaming query failed: Code: 159. DB::Exception: Timeout. (TIMEOUT_EXCEEDED)", 159, "TIMEOUT_EXCEEDED", 408),
        (
            "Code: 73. DB::Exception: Code: 73. DB::Exception: Unknown format X. (UNKNOWN_FORMAT) (version 26.9.2.1). "
            "(UNKNOWN_FORMAT)",
            73,
            "UNKNOWN_FORMAT",
            404,
        ),
        (
            "Code: 395. DB::Exception: thrown (really). (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)",
            395,
            "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
            500,
        ),
        ("something else", 1002, "UNKNOWN_EXCEPTION", 500),
    ],
)
def test_code_name_and_status(text: str, code: int, name: str, status: int) -> None:
    error = from_engine(RuntimeError(text))
    assert (error.code, error.name, error.status) == (code, name, status)
    if code != 1002:
        body = error.body("26.9.2.1")
        assert body.startswith(f"Code: {code}. DB::Exception: ")
        assert body.count(name) == 1
        assert body.count("DB::Exception") == 1


def test_the_endpoints_own_codes_are_the_engines() -> None:
    chdb = pytest.importorskip("chdb")
    connection = chdb.connect(":memory:")
    names = {
        name: connection.query(f"SELECT errorCodeToName({code})", "TSVRaw").bytes().decode().strip()
        for name, code in CODES.items()
    }
    assert {name: name for name in CODES} == names


def test_an_error_tells_its_message() -> None:
    assert "no such" in str(EndpointError("BAD_ARGUMENTS", "no such"))
