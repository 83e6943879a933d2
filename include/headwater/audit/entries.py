"""One line of the audit trail: who, what, which rows, how many, under which policy, from where, with which outcome.

No personal data beyond who asked and from where: no row, no literal of a statement, no text that an asker made up. A
name that is not of the expected form is kept as `?`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

LONGEST = 200
MOST_DATASETS = 64
LONGEST_FILTER = 2000
UNNAMED = "?"
_NAME = re.compile(r"[A-Za-z0-9_.:@/|+=, -]{0,200}")
_WORD = re.compile(r"[a-z0-9_.:-]{0,64}")
_DATASET = re.compile(r"[a-z0-9_.]{1,128}")
_SOURCE = re.compile(r"[0-9A-Za-z_.:\[\]%-]{0,64}")
_LITERAL = re.compile(
    r"""--[^\n]*|/\*.*?(?:\*/|\Z)|(?P<literal>'(?:[^'\\]|\\.|'')*(?:'|\Z)|\$(\w*)\$.*?(?:\$\2\$|\Z)"""
    r"""|\b0x[0-9a-f]+\b|(?<![\w`"])\d[\w.]*(?:e[+-]?\d+)?)|\s+""",
    re.S | re.I,
)


class Outcome(StrEnum):
    """What came of it."""

    ALLOWED = "allowed"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is recorded.

    `who`: the identity's name. `surface`: clickhouse, mcp, api or cli. `datasets`: what was read or changed.
    `rows_filter`: the predicate of the role's views, as the policy has it. `rows`: those handed out (of events: those
    taken in), None where that is not known (yet). `source`: the address it came from. `statement`: a fingerprint (see
    there). `reason`: why it was denied, or the error's name. `target`: the identity, key or policy that was changed.
    """

    who: str
    surface: str
    tool: str
    purpose: str = ""
    datasets: tuple[str, ...] = ()
    rows_filter: str = ""
    rows: int | None = None
    policy_version: str = ""
    source: str = ""
    outcome: Outcome = Outcome.ALLOWED
    statement: str = ""
    reason: str = ""
    target: str = ""

    def facts(self) -> dict[str, Any]:
        """What is kept of it: every text of the form that it has to have."""
        return {
            "who": _formed(self.who, _NAME),
            "surface": _formed(self.surface, _WORD),
            "tool": _formed(self.tool, _WORD),
            "purpose": _formed(self.purpose, _WORD),
            "datasets": [_formed(name, _DATASET) for name in self.datasets[:MOST_DATASETS]],
            "rows_filter": self.rows_filter[:LONGEST_FILTER],
            "rows": self.rows,
            "policy_version": _formed(self.policy_version, _WORD),
            "source": _formed(self.source, _SOURCE),
            "outcome": str(self.outcome),
            "statement": _formed(self.statement, _WORD),
            "reason": _formed(self.reason, _NAME),
            "target": _formed(self.target, _NAME),
        }


FIELDS = tuple(field.name for field in fields(Entry))


def canonical(entry: Entry, at: str) -> str:
    """The text that is kept and hashed: JSON in ASCII, keys in order. `at`: ISO 8601 in UTC with microseconds."""
    return json.dumps({"at": at, **entry.facts()}, sort_keys=True, separators=(",", ":"))


def fingerprint(sql: str) -> str:
    """32 hex digits that are the same for statements that differ in literals, comments and white space alone."""
    plain = _LITERAL.sub(lambda match: "?" if match["literal"] else " ", sql)
    return hashlib.sha256(" ".join(plain.split()).encode()).hexdigest()[:32]


def _formed(text: str, form: re.Pattern[str]) -> str:
    return text if form.fullmatch(text) else UNNAMED
