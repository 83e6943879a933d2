"""A question to ClickHouse over its HTTP interface, as whoever asks: one POST, and JSON back as it is to be told.

ClickHouse writes the JSON itself (decimals as text, so that money keeps its cents; times in ISO 8601), which costs a
tenth of reading its native format into Python and writing that out again. One pool of connections for all askers:
the login goes with each request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3

from headwater.errors import RetryableError, TerminalError
from headwater.settings import Settings

CONNECTIONS = 64
SECONDS = 120.0
_SETTINGS = {
    "default_format": "JSONCompact",
    "wait_end_of_query": "1",  # the summary with what was read comes in the headers
    "output_format_json_quote_decimals": "1",
    "output_format_decimal_trailing_zeros": "1",
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_quote_denormals": "1",
    "date_time_output_format": "iso",
}
_MARKER = b"__exception__"
TOO_MUCH = {
    158: "too many rows would have to be read",
    159: "it takes longer than the role may ask",
    160: "it would take longer than the role may ask",
    241: "it needs more memory than a query may have",
    307: "too many bytes would have to be read",
    396: "the answer is larger than the role may have",
}
"""ClickHouse's codes for a query that goes beyond a bound."""
BUSY = (202, 203)


class QueryFailed(TerminalError):
    """ClickHouse refused the query, in its own words; `code` is its number of the error, 0 where it gave none."""

    code = 0


class QueryTooLarge(TerminalError):
    """The query goes beyond a bound of rows, bytes, time or memory."""


class WarehouseBusy(RetryableError):
    """The warehouse does not answer, or has too many queries at a time."""


@dataclass(frozen=True, slots=True)
class Result:
    """Rows as JSON has them, in the order of `columns`; what was read is 0 where the asker is not told."""

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    read_rows: int
    read_bytes: int


class Warehouse:
    """Asks ClickHouse; thread-safe, one per process."""

    def __init__(self, settings: Settings) -> None:
        scheme = "https" if settings.clickhouse_secure else "http"
        self._url = f"{scheme}://{settings.clickhouse_host}:{settings.clickhouse_port}/"
        self._pool = urllib3.PoolManager(
            num_pools=2,
            maxsize=CONNECTIONS,
            block=False,
            retries=False,
            timeout=urllib3.Timeout(connect=5.0, read=SECONDS),
        )

    def ask(
        self,
        login: Mapping[str, str],
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Result:
        """The rows of one statement. Raises `QueryFailed`, `QueryTooLarge`, `WarehouseBusy`."""
        given = {f"param_{name}": written(value) for name, value in (parameters or {}).items()}
        body, summary = self._post(login, sql, {**_SETTINGS, **(settings or {}), **given})
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise _failure(500, body, 0) from error
        return Result(
            [column["name"] for column in answer["meta"]],
            [column["type"] for column in answer["meta"]],
            answer["data"],
            int(summary.get("read_rows", 0)),
            int(summary.get("read_bytes", 0)),
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _post(self, login: Mapping[str, str], sql: str, settings: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        url = self._url + "?" + urlencode(settings)
        try:
            answer = self._pool.request("POST", url, body=sql.encode(), headers=dict(login), preload_content=False)
            body = _read(answer)
        except urllib3.exceptions.HTTPError as error:
            raise WarehouseBusy(
                f"the warehouse does not answer ({type(error).__name__})", remedy="`headwater status`, or try again"
            ) from error
        if answer.status != 200 or _MARKER in body[-2000:]:
            raise _failure(answer.status, body, int(answer.headers.get("x-clickhouse-exception-code", 0)))
        summary = json.loads(answer.headers.get("x-clickhouse-summary", "{}"))
        return body, summary


def written(value: Any) -> str:
    """A value as the HTTP interface takes a parameter: text as it is, with what its format of parameters escapes."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_element(one) for one in value) + "]"
    text = str(value)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def _element(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return written(value)


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    """The body; of one that ends in an error, as far as it came: the connection is cut after the error's text."""
    pieces: list[bytes] = []
    try:
        pieces.extend(answer.stream(65_536))
    except urllib3.exceptions.ProtocolError:
        if _MARKER not in b"".join(pieces[-2:]):
            raise
    finally:
        answer.release_conn()
    return b"".join(pieces)


def _failure(status: int, body: bytes, code: int) -> TerminalError | RetryableError:
    text = body[-4000:].decode(errors="replace")
    match = re.search(r"Code: (\d+)\. DB::Exception: (.*?)(?: \(version|\s*\Z|\n)", text, re.S)
    code = code or (int(match[1]) if match else 0)
    said = (match[2] if match else text.strip().partition("\n")[0])[:500]
    if code in TOO_MUCH:
        return QueryTooLarge(
            f"{TOO_MUCH[code]}: {said}",
            remedy="aggregate, filter by the partition's date, name fewer columns, or page with max_rows and next_page",
        )
    if code in BUSY or status in (429, 503):
        return WarehouseBusy("the warehouse has too many queries at a time", remedy="try again in a second")
    failed = QueryFailed(f"ClickHouse refused the query: {said}", remedy="describe_dataset shows columns and types")
    failed.code = code
    return failed
