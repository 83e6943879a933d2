"""Whether the audit trail is as it was written, and the first entry that is not.

The chain tells of an entry that was edited, deleted, put in or put elsewhere. Whoever rebuilds the chain from there on,
or cuts its end off, is told by the anchors: signed checkpoints outside the database that say what the hash of an entry
was. What was written after the last checkpoint (a few seconds' worth) is held by the chain alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from headwater.audit.anchoring import Anchor, AnchorBroken, Checkpoint
from headwater.audit.chain import GENESIS, TABLE
from headwater.audit.reading import connected
from headwater.settings import Settings

FETCHED_ROWS = 20_000
_ROWS = "SELECT sequence, previous, hash, entry FROM audit_entries ORDER BY sequence"
Row = tuple[int, bytes, bytes, str]


class Fault(StrEnum):
    """What is wrong with an entry, or with the anchors."""

    EDITED = "edited"  # its text is not the one that was hashed
    MISSING = "missing"  # numbers are left out before it: they were deleted
    UNLINKED = "unlinked"  # it does not follow the entry before it: one of them was put there
    REBUILT = "rebuilt"  # the chain holds, and a checkpoint says that it was another
    CUT = "cut"  # the end that a checkpoint has seen is gone
    ANCHORS = "anchors"  # the checkpoints themselves are not as they were signed, or there is none


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it. `sequence` is the first bad entry (of those gone: the first), None where all is well.

    `anchored` is the last entry that a checkpoint holds; `entries` those that were looked at.
    """

    entries: int
    checkpoints: int
    anchored: int
    fault: Fault | None = None
    sequence: int | None = None
    detail: str = ""

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return self.fault is None


def verify(settings: Settings, public: Ed25519PublicKey | None = None) -> Verdict:
    """Look at every entry and every checkpoint. Raises `DatabaseUnavailable`."""
    anchor = Anchor(settings)
    try:
        checkpoints = list(anchor.checkpoints(public))
    except AnchorBroken as error:
        return Verdict(0, 0, 0, Fault.ANCHORS, None, str(error))
    with connected(settings) as connection:
        there = connection.execute("SELECT to_regclass(%s)", (TABLE,)).fetchone() != (None,)
        return judge(_rows(connection) if there else (), checkpoints)


def judge(rows: Iterable[Row], checkpoints: Sequence[Checkpoint]) -> Verdict:
    """The verdict on these entries, in the order of their numbers."""
    # Two hashes of one entry: the end was cut, and the chain has grown over it again. No entry is both.
    wanted: dict[int, set[bytes]] = {}
    for point in checkpoints:
        wanted.setdefault(point.sequence, set()).add(bytes.fromhex(point.hash))
    last, digest, held = 0, GENESIS, 0
    found: tuple[Fault | None, int | None, str] | None = None
    for sequence, previous, kept, text in rows:
        # Inlined from `chain.link`: this is a million times a call.
        right = hashlib.sha256(previous + sequence.to_bytes(8, "big") + text.encode()).digest()
        if sequence != last + 1 or previous != digest or kept != right:
            found = _broken(sequence, last, previous == digest, kept == right)
            break
        last, digest = sequence, kept
        if sequence in wanted:
            if wanted[sequence] != {kept}:
                at = f"one of the entries {held + 1} to {sequence}: a checkpoint says that {sequence} was another"
                found = (Fault.REBUILT, held + 1, at)
                break
            held = sequence
    fault, first, detail = found or _end(last, checkpoints)
    return Verdict(last, len(checkpoints), held, fault, first, detail)


def _broken(sequence: int, last: int, follows: bool, whole: bool) -> tuple[Fault, int, str]:
    if sequence != last + 1:
        gone = f"{last + 1}" if sequence == last + 2 else f"{last + 1} to {sequence - 1}"
        return Fault.MISSING, last + 1, f"entries {gone} are not there"
    if follows and not whole:
        return Fault.EDITED, sequence, f"the text of entry {sequence} is not the one that was hashed"
    return Fault.UNLINKED, sequence, f"entry {sequence} does not follow entry {last}"


def _end(last: int, checkpoints: Sequence[Checkpoint]) -> tuple[Fault | None, int | None, str]:
    furthest = max((point.sequence for point in checkpoints), default=0)
    if furthest > last:
        return Fault.CUT, last + 1, f"a checkpoint has seen {furthest} entries, and {last} are there"
    if last and not checkpoints:
        return Fault.ANCHORS, None, "there are entries and no checkpoints: nothing outside the database holds them"
    return None, None, ""


def _rows(connection: psycopg.Connection) -> Iterator[Row]:
    with connection.cursor(name="audit", binary=True) as cursor:
        cursor.itersize = FETCHED_ROWS
        cursor.execute(_ROWS)
        yield from cursor
