"""What people do by command, on the audit trail: first that it is done, then, where it fails, that it failed."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from headwater.audit.entries import Entry, Outcome
from headwater.audit.writing import Auditor
from headwater.settings import get_settings

SURFACE = "cli"


def account() -> str:
    """The name of the account that runs this, or its number where it has no name (in a container)."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@contextmanager
def on_record(
    tool: str,
    target: str = "",
    *,
    who: str = "",
    datasets: Sequence[str] = (),
    rows: int | None = None,
    purpose: str = "",
    policy_version: str = "",
) -> Iterator[None]:
    """Keep who does this before the block, and that it failed where the block is left by an error.

    `tool` is noun and verb, `who` the account of this process by default. Raises `AuditUnavailable`; then the block has
    not begun.
    """
    auditor = Auditor(get_settings())
    entry = Entry(
        who or account(),
        SURFACE,
        tool,
        purpose,
        tuple(datasets),
        rows=rows,
        policy_version=policy_version,
        source=os.uname().nodename,
        target=target,
    )
    try:
        auditor.record(entry)
        try:
            yield
        except Exception as error:
            auditor.record(replace(entry, rows=None, outcome=Outcome.FAILED, reason=type(error).__name__))
            raise
    finally:
        auditor.close()


def denied(tool: str, reason: str, *, who: str, datasets: Sequence[str], policy_version: str = "") -> None:
    """Keep that somebody was not let. Raises `AuditUnavailable`."""
    auditor = Auditor(get_settings())
    entry = Entry(
        who,
        SURFACE,
        tool,
        datasets=tuple(datasets),
        policy_version=policy_version,
        source=os.uname().nodename,
        outcome=Outcome.DENIED,
        reason=reason,
    )
    try:
        auditor.record(entry)
    finally:
        auditor.close()
