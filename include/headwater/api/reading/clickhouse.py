"""Questions to ClickHouse as the caller, whose answers are passed on as they come: JSON lines, CSV, Arrow.

One pool of connections for all callers; each request carries the caller's own login, so the server reads its role's
database, within its caps. Nothing is tried twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from headwater.api.problems import Problem
from headwater.settings import Settings
from headwater.warehouse.client import ANSWER_SECONDS, CONNECT_SECONDS, WarehouseUnavailableError

CONNECTIONS = 64
PIECE = 1 << 16
JSON_LINES = "JSONCompactEachRowWithNamesAndTypes"
_SETTINGS = {
    "output_format_json_quote_decimals": "1",
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_quote_denormals": "1",
    "date_time_output_format": "iso",
}
"""Money keeps its cents, times are ISO 8601."""

_BUSY = {202: "too many questions at once"}
_BEYOND = {158, 159, 160, 241, 307, 396}
_CALLER = {192, 193, 194, 497, 516}
_INSIDE = {210, 279, 999, 1001}


class Answer:
    """The bytes of one answer; read `whole` or `pieces`, then it is closed."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def whole(self) -> bytes:
        """All of it."""
        try:
            return bytes(self._response.data)
        except HTTPError as error:
            raise _away(error) from error
        finally:
            self._response.release_conn()

    def pieces(self) -> Iterator[bytes]:
        """Piece by piece. One that ends early raises, so that the caller sees a broken stream and no short one."""
        try:
            yield from self._response.stream(PIECE)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of it; ClickHouse cancels a query whose asker is gone."""
        self._response.close()


class ClickHouse:
    """The server of the settings."""

    def __init__(self, settings: Settings) -> None:
        scheme = "https" if settings.clickhouse_secure else "http"
        self._url = f"{scheme}://{settings.clickhouse_host}:{settings.clickhouse_port}/"
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS)
        self._pool = urllib3.PoolManager(maxsize=CONNECTIONS, retries=False, timeout=timeout)

    def ask(
        self, login: Mapping[str, str], sql: str, parameters: Mapping[str, str] | None = None, form: str = ""
    ) -> Answer:
        """The answer to one SELECT, logged in by these headers: in this format as it comes, or else as JSON lines.

        JSON is held back by the server until it is whole, so that what fails does so before the first byte.
        Raises `Problem` where the server refuses it, `WarehouseUnavailableError` where it does not answer.
        """
        given = {f"param_{name}": value for name, value in (parameters or {}).items()}
        whole = {} if form else {"wait_end_of_query": "1"}
        query = urlencode({"default_format": form or JSON_LINES, **_SETTINGS, **whole, **given})
        try:
            response = self._pool.request(
                "POST", f"{self._url}?{query}", body=sql.encode(), headers=dict(login), preload_content=False
            )
            if response.status == HTTPStatus.OK:
                return Answer(response)
            text = response.data.decode("utf-8", "replace")
            response.release_conn()
        except HTTPError as error:
            raise _away(error) from error
        raise refusal(int(response.headers.get("X-ClickHouse-Exception-Code", 0)), text)

    def close(self) -> None:
        """Close what is idle."""
        self._pool.clear()


def refusal(code: int, text: str) -> Exception:
    """ClickHouse's error as what the sender is told."""
    said = _first_line(text)
    if code in _BUSY:
        return Problem(HTTPStatus.TOO_MANY_REQUESTS, "busy", _BUSY[code], retry_after=1)
    if code in _CALLER:
        return Problem(HTTPStatus.FORBIDDEN, "denied", "the warehouse does not let you read this")
    if code in _BEYOND:
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "beyond-limits", f"ask for less, or a page at a time: {said}")
    if code in _INSIDE or not code:
        return WarehouseUnavailableError(said, where="ClickHouse", remedy="`headwater status`, then `headwater up`")
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "query-refused", said)


def _first_line(text: str) -> str:
    text = re.sub(r"^Code: \d+\. DB::Exception: ", "", text.strip())
    text = re.sub(r"\s*\(version [^)]*\)+.*$", "", text, flags=re.S)
    return text.splitlines()[0][:2000] if text else "no reason was given"


def _away(error: Any) -> WarehouseUnavailableError:
    return WarehouseUnavailableError(
        f"the warehouse does not answer: {type(error).__name__}",
        where="ClickHouse",
        remedy="`headwater status`, then `headwater up`",
    )
