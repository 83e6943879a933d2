"""Where a page ends, as text that the next request brings back.

It holds the values of the order's columns in the last row, how many rows with just these were given already, a
digest of the question, and the state of the table. Nothing in it is trusted: values are bound like any other, and
a changed one asks for another place in one's own rows.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from headwater.api.problems import Problem

LONGEST = 4096
MOST_SKIPPED = 1_000_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row's values as text (None for null), rows to skip, and the table's state when the page was read."""

    after: tuple[str | None, ...]
    skip: int
    mark: str


def digest(question: Sequence[Any]) -> str:
    """Twelve hex digits that another question changes."""
    return hashlib.sha256(json.dumps(question, default=str).encode()).hexdigest()[:12]


def written(cursor: Cursor, question: Sequence[Any]) -> str:
    """The text, safe in a URL. Raises `Problem` (422) where the next request could not bring it back."""
    told = {"a": list(cursor.after), "s": cursor.skip, "m": cursor.mark, "d": digest(question)}
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    encoded = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    if len(encoded) > LONGEST:
        raise _refused("values of the order are too long for a cursor: sort by others, or ask for CSV or Arrow")
    return encoded


def read(text: str, question: Sequence[Any]) -> Cursor:
    """The reverse. Raises `Problem` (422) for one that is none, or is of another question."""
    try:
        told = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
        after, skip, mark, of = told["a"], told["s"], told["m"], told["d"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _refused("this is no cursor of this API") from None
    sound = isinstance(after, list) and all(value is None or isinstance(value, str) for value in after)
    if not sound or type(skip) is not int or not 0 <= skip <= MOST_SKIPPED or not isinstance(mark, str):
        raise _refused("this is no cursor of this API")
    if of != digest(question):
        raise _refused("this cursor belongs to another question: same dataset, columns, filters and order")
    return Cursor(tuple(after), skip, mark)


def _refused(detail: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "cursor", detail)
