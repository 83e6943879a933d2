"""The values of one event, as JSON or Avro brings them, in the types of its contract.

Nothing is guessed: a number is no text, an instant needs its zone, money keeps its cents. What does not fit raises
`Unfit`, whose text never repeats the value.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa

from headwater.contracts.types import Array, DataType, Map, Primitive
from headwater.contracts.types import Decimal as DecimalType

_EXACT = Context(prec=80)
_NUMBER = re.compile(r"[+-]?[0-9]{1,60}(\.[0-9]{1,60})?")
_RANGE = {Primitive.INT: 2**31, Primitive.LONG: 2**63}


class Unfit(ValueError):
    """The value is not of the type; says what is asked for."""


def fit(value: Any, kind: DataType) -> Any:
    """The value in Python's type for it: `Decimal`, `datetime` in UTC, `date`, `bytes`, … Raises `Unfit`."""
    match kind:
        case DecimalType():
            return _decimal(value, kind)
        case Array(element):
            if not isinstance(value, list):
                raise Unfit("must be a list")
            return [None if one is None else fit(one, element) for one in value]
        case Map(of):
            if not isinstance(value, dict):
                raise Unfit("must be an object")
            return [(_text(key), None if one is None else fit(one, of)) for key, one in value.items()]
        case _:
            return _PRIMITIVES[kind](value)


def arrow_type(kind: DataType) -> pa.DataType:
    """The type's Arrow type; `timestamp` is microseconds in UTC, `uuid` is text."""
    match kind:
        case DecimalType(precision, scale):
            return pa.decimal128(precision, scale)
        case Array(element):
            return pa.list_(arrow_type(element))
        case Map(of):
            return pa.map_(pa.string(), arrow_type(of))
        case _:
            return _ARROW[kind]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit("must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unfit("must be text that UTF-8 can hold (a lone surrogate is none)") from None
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit("must be true or false")
    return value


def _integer(kind: Primitive) -> Callable[[Any], int]:
    limit = _RANGE[kind]

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Unfit("must be an integer")
        if not -limit <= value < limit:
            raise Unfit(f"must be an integer of {limit.bit_length()} bits")
        return value

    return read


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unfit("must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Unfit("must be a finite number")
    return number


def _float(value: Any) -> float:
    number = _double(value)
    if abs(number) > 3.4028234663852886e38:
        raise Unfit("must be a number of 32 bits")
    return number


def _decimal(value: Any, kind: DecimalType) -> Decimal:
    """Exact: a number (read from JSON's digits, never through a double) or a text of digits."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise Unfit(f"must be a number, {kind}")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise Unfit(f"must be a number, {kind}")
    try:
        number = Decimal(value)
        exact = number.quantize(Decimal(1).scaleb(-kind.scale), context=_EXACT)
    except ArithmeticError:
        raise Unfit(f"must be a number, {kind}") from None
    if exact != number:
        raise Unfit(f"has more than {kind.scale} digits behind the point; must be {kind}")
    if exact.adjusted() >= kind.precision - kind.scale:
        raise Unfit(f"is too large for {kind}")
    return exact


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str) and len(value) == len("2017-03-01"):
            return date.fromisoformat(value)
    except ValueError:
        pass  # said below
    raise Unfit("must be a date such as 2017-03-01")


def _timestamp(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # said below
    raise Unfit("must be an instant with its zone, such as 2017-03-01T10:15:00Z")


def _uuid(value: Any) -> str:
    try:
        return str(value if isinstance(value, uuid.UUID) else uuid.UUID(_text(value)))
    except ValueError:
        raise Unfit("must be a UUID") from None


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error:
        raise Unfit("must be bytes, in JSON as base64") from None


_PRIMITIVES: dict[DataType, Callable[[Any], Any]] = {
    Primitive.STRING: _text,
    Primitive.BOOLEAN: _boolean,
    Primitive.INT: _integer(Primitive.INT),
    Primitive.LONG: _integer(Primitive.LONG),
    Primitive.FLOAT: _float,
    Primitive.DOUBLE: _double,
    Primitive.DATE: _date,
    Primitive.TIMESTAMP: _timestamp,
    Primitive.UUID: _uuid,
    Primitive.BINARY: _bytes,
}
_ARROW: dict[DataType, pa.DataType] = {
    Primitive.STRING: pa.string(),
    Primitive.BOOLEAN: pa.bool_(),
    Primitive.INT: pa.int32(),
    Primitive.LONG: pa.int64(),
    Primitive.FLOAT: pa.float32(),
    Primitive.DOUBLE: pa.float64(),
    Primitive.DATE: pa.date32(),
    Primitive.TIMESTAMP: pa.timestamp("us", "UTC"),
    Primitive.UUID: pa.string(),
    Primitive.BINARY: pa.binary(),
}
