"""JSON merge patches (RFC 7396) on records: what a person corrects, in the contract's types.

A record is seen as JSON: decimals are numbers (or text), timestamps and dates ISO 8601 text (a timestamp without a zone
is UTC), bytes hexadecimal text. A null takes a value away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal as Number
from decimal import InvalidOperation
from pathlib import Path
from typing import Any

from headwater.contracts.model import Dataset
from headwater.contracts.types import Array, DataType, Decimal, Map, Primitive
from headwater.errors import TerminalError

Patch = Mapping[str, Any]
WHOLE = {Primitive.INT: 2**31, Primitive.LONG: 2**63}


class PatchUnfit(TerminalError):
    """The patch is no JSON object, names a column that is not there, or holds a value of another type."""


def read_patch(path: Path, dataset: Dataset) -> Patch:
    """The patch in a file, held against the contract. Raises `PatchUnfit`."""
    where = str(path)
    try:
        patch = json.loads(path.read_text("utf-8"), parse_float=Number, parse_constant=_refuse_constant)
    except (OSError, ValueError) as error:
        raise PatchUnfit(f"no JSON to be read: {error}", where=where) from error
    if not isinstance(patch, dict) or not patch:
        raise PatchUnfit(
            "a patch of records is a JSON object that names columns", where=where, remedy='like {"quantity": 1}'
        )
    known = [column.name for column in dataset.source_columns]
    if odd := [name for name in patch if name not in known]:
        raise PatchUnfit(
            f"{dataset.name} has no column {', '.join(odd)} from its source",
            where=where,
            remedy=f"there are: {', '.join(known)}",
        )
    patched({}, patch, dataset)  # a value of the wrong type fails for every record alike: say so before any is touched
    return patch


def patched(record: Mapping[str, Any], patch: Patch, dataset: Dataset) -> dict[str, Any]:
    """The record (typed values by column) with the patch merged in. Raises `PatchUnfit`."""
    after = dict(record)
    for name, value in patch.items():
        merged = None if value is None else merge_patch(as_json(record.get(name)), value)
        try:
            after[name] = from_json(merged, dataset.column(name).type)
        except (ValueError, TypeError, InvalidOperation) as error:
            raise PatchUnfit(f"column {name} ({dataset.column(name).type}): {error}", where="patch") from error
    return after


def as_text(patch: Patch) -> str:
    """The patch in one line of JSON, decimals as they were written."""
    return json.dumps(patch, ensure_ascii=False, default=str)


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: objects are merged member by member, null removes one, anything else replaces the target."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def as_json(value: Any) -> Any:
    """A typed value as JSON has it; decimals stay exact numbers."""
    match value:
        case dict():
            return {str(key): as_json(item) for key, item in value.items()}
        case list() if value and all(isinstance(item, tuple) for item in value):  # a map, as Arrow has it
            return {str(key): as_json(item) for key, item in value}
        case list():
            return [as_json(item) for item in value]
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return value.hex()
    return value


def from_json(value: Any, kind: DataType) -> Any:
    """The reverse of `as_json`, in the contract's type. Raises `ValueError`, `TypeError` or `InvalidOperation`."""
    if value is None:
        return None
    match kind:
        case Array(element):
            return [from_json(item, element) for item in _of(value, list)]
        case Map(item_type):
            return {key: from_json(item, item_type) for key, item in _of(value, dict).items()}
        case Decimal(precision, scale):
            return _decimal(value, precision, scale)
        case Primitive.INT | Primitive.LONG:
            return _whole(value, WHOLE[kind])
        case Primitive.FLOAT | Primitive.DOUBLE:
            return float(_number(value))
        case Primitive.BOOLEAN:
            return _of(value, bool)
        case Primitive.TIMESTAMP:
            moment = datetime.fromisoformat(_of(value, str))
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        case Primitive.DATE:
            return date.fromisoformat(_of(value, str))
        case Primitive.BINARY:
            return bytes.fromhex(_of(value, str))
    return _of(value, str)


def _decimal(value: Any, precision: int, scale: int) -> Number:
    number = Number(value) if isinstance(value, str) else Number(_number(value))
    exact = number.quantize(Number(1).scaleb(-scale))
    if exact != number or len(exact.as_tuple().digits) > precision:
        raise ValueError(f"{value} is no decimal({precision},{scale})")
    return exact


def _whole(value: Any, limit: int) -> int:
    number = int(_number(value))
    if number != value or not -limit <= number < limit:
        raise ValueError(f"{value} is no whole number of that size")
    return number


def _number(value: Any) -> int | float | Number:
    if isinstance(value, bool) or not isinstance(value, int | float | Number):
        raise TypeError(f"{value!r} is no number")
    return value


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
