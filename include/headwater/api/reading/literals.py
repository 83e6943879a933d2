"""Values that came with a request, as ClickHouse's query parameters: judged by the type of their column, never quoted.

A parameter's text goes beside the statement and is read as its type by the server, so no value can become SQL.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from uuid import UUID

from clickhouse_connect.driver.binding import format_bind_value

from headwater.api.problems import Problem

_INTEGER = re.compile(r"-?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"Decimal\((\d+), (\d+)\)")
_FIRST, _LAST = date(1900, 1, 1), date(2299, 12, 31)
"""ClickHouse's calendar."""


def unusable(detail: str) -> Problem:
    """A request that is well formed, and asks for what is not there."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unusable", detail)


def parameter(text: str, kind: str) -> str:
    """The value as ClickHouse reads a parameter of this type. Raises `Problem` (422)."""
    try:
        return escaped(_plain(text, kind))
    except (ValueError, InvalidOperation, OverflowError):
        raise unusable(f"a value is no {kind}") from None


def escaped(value: object) -> str:
    """A parameter's text, as the drivers write it. Raises `ValueError` for what is no text."""
    text: str = format_bind_value(value)
    text.encode()  # lone surrogates
    return text


def _plain(text: str, kind: str) -> str:
    if kind == "String":
        return text
    if match := re.fullmatch(r"(U?)Int(\d+)", kind):
        return _integer(text, unsigned=bool(match[1]), bits=int(match[2]))
    if kind == "Bool":
        return {"true": "true", "false": "false"}[text] if text in ("true", "false") else _no()
    if kind == "UUID":
        return str(UUID(text))
    if kind == "Date32":
        return _in_calendar(date.fromisoformat(text)).isoformat()
    if kind.startswith("DateTime64"):
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        _in_calendar(moment.date())
        return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
    if match := _DECIMAL.fullmatch(kind):
        return _decimal(text, int(match[1]), int(match[2]))
    if kind.startswith("Float"):
        return repr(float(text))
    return _no()


def _integer(text: str, *, unsigned: bool, bits: int) -> str:
    if not _INTEGER.fullmatch(text):
        return _no()
    number = int(text)
    least, most = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return str(number) if least <= number <= most else _no()


def _decimal(text: str, precision: int, scale: int) -> str:
    if len(text) > 80:
        return _no()
    number = Decimal(text)
    if not number.is_finite() or number.adjusted() > precision or abs(number) >= Decimal(10) ** (precision - scale):
        return _no()
    return f"{number:f}" if -number.as_tuple().exponent <= scale else _no()  # type: ignore[operator]


def _in_calendar(day: date) -> date:
    return day if _FIRST <= day <= _LAST else _never()


def _no() -> str:
    raise ValueError


def _never() -> date:
    raise ValueError
