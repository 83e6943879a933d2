"""The queries of the policy's members on the audit trail, before their rows go out.

Those of the platform's own users are not recorded, and those that a surface vouches for are recorded by the surface.
"""

from __future__ import annotations

import asyncio
import re

from headwater.audit.entries import Entry, Outcome, fingerprint
from headwater.audit.writing import WAIT_SECONDS, Auditor, AuditUnavailable
from headwater.policy.model import Role, Surface
from headwater.warehouse.embedded.access import Member
from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.request import QueryRequest
from headwater.warehouse.embedded.statements import tokens

TOOL = "query"
LONG = 20_000
"""A statement of so many characters is looked through in a thread, so that it holds up nobody else's."""
_WORD = re.compile(r"\w+")
METRIC = "metric_"
"""What the names of the metrics' views begin with (`headwater.semantics.views`, which is long to import)."""
_INDIRECT = {"identifier", "merge"}
_READS = {"from", "join", "in", "table", "describe", "desc"}
_REFUSALS = ("ACCESS_DENIED", "READONLY", "SETTING_CONSTRAINT_VIOLATION", "INTO_OUTFILE_NOT_ALLOWED")


class Recording:
    """Writes down what members asked; without an `auditor`, nothing."""

    def __init__(self, auditor: Auditor | None) -> None:
        self._auditor = auditor

    async def answered(self, request: QueryRequest, sql: str, rows: int | None) -> None:
        """An answer that is about to go out; `rows` is None while it is not known. Raises ACCESS_DENIED."""
        await self._keep(request, sql, rows, Outcome.ALLOWED, "")

    async def failed(self, request: QueryRequest, sql: str, reason: str) -> None:
        """What came of it instead of an answer. Raises ACCESS_DENIED."""
        outcome = Outcome.DENIED if reason in _REFUSALS else Outcome.FAILED
        await self._keep(request, sql, None, outcome, reason)

    async def _keep(self, request: QueryRequest, sql: str, rows: int | None, outcome: Outcome, reason: str) -> None:
        member = request.user.member
        if member is None or self._auditor is None:
            return
        facts = (request, member, sql, rows, outcome, reason)
        entry = _entry(*facts) if len(sql) < LONG else await asyncio.to_thread(_entry, *facts)
        try:
            await asyncio.wait_for(asyncio.wrap_future(self._auditor.submit(entry)), WAIT_SECONDS)
        except (AuditUnavailable, TimeoutError) as error:
            raise Unrecorded(request.user.name) from error


def _entry(request: QueryRequest, member: Member, sql: str, rows: int | None, outcome: Outcome, reason: str) -> Entry:
    role = member.caller.role
    named = sorted(datasets_of(sql, role))
    filters = [f"{name}: {role.views[name].rows}" for name in named if role.views[name].rows]
    return Entry(
        who=request.user.name,
        surface=str(Surface.CLICKHOUSE),
        tool=TOOL,
        purpose=role.purposes[0],
        datasets=tuple(named),
        rows_filter="; ".join(filters),
        rows=rows,
        policy_version=member.policy_version,
        source=request.source,
        outcome=outcome,
        statement=fingerprint(sql),
        reason=reason,
    )


def datasets_of(sql: str, role: Role) -> set[str]:
    """The role's datasets that a statement may read: rather one too many, since they are found by their names alone.

    All of the role's, where it reads something else than they: a metric's view, which reads several, or a name that is
    not written out (a parameter, an escape, a pattern).
    """
    words = set(_WORD.findall(sql))
    named = words & set(role.views)
    indirect = any(word.startswith(METRIC) or word.lower() in _INDIRECT for word in words)
    escaped = "\\" in sql and any(token.kind == "quoted" and "\\" in token.text for token in tokens(sql))
    elsewhere = not named and not _READS.isdisjoint(word.lower() for word in words)
    return set(role.views) if indirect or escaped or elsewhere else named


class Unrecorded(EndpointError):
    """What everybody is told while the audit trail cannot be written."""

    def __init__(self, name: str) -> None:
        super().__init__("ACCESS_DENIED", f"{name}: The audit trail cannot be written, so nothing is answered.")
