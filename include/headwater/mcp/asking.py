"""As whom the tools ask: the caller's role under the policy in force, and whether a tool is allowed.

Until callers have identities of their own it is the sidecar's service user, whose role is that of its group. What is
read of ClickHouse is read as that user, and so from its role's database alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from clickhouse_connect.driver.client import Client
from fastmcp.exceptions import ToolError

from headwater.errors import HeadwaterError
from headwater.policy.applying import applied
from headwater.policy.decision import Decider, engine_of
from headwater.policy.model import AttributeValues, Caller, Policy, Surface
from headwater.serving.evidence import Applied
from headwater.settings import Settings
from headwater.warehouse.client import explained

HOLDS_SECONDS = 1.0
"""How long a policy that was read is believed to be in force."""


class Asker:
    """One who asks; `connect` logs in as its ClickHouse user. `keeper` reads which policy is in force."""

    def __init__(
        self,
        settings: Settings,
        keeper: Client,
        connect: Callable[[], Client],
        name: str,
        groups: Sequence[str],
        attributes: AttributeValues | None = None,
    ) -> None:
        self._connect = connect
        self._client: Client | None = None
        self._settings = settings
        self._keeper = keeper
        self._identity = (name, tuple(groups), attributes or {})
        self._lock = threading.Lock()
        self._policy: Policy | None = None
        self._decider: Decider | None = None
        self._read_at = 0.0

    @property
    def client(self) -> Client:
        """The asker's own client; connected at the first use, for before a policy is in force nobody is let in."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def permitted(self, tool: str) -> Caller:
        """Who asks, if this tool is allowed. Raises `ToolError`."""
        try:
            decider = self._current()
            caller = decider.policy.caller(*self._identity)
        except HeadwaterError as error:
            raise ToolError(f"denied: {error}") from error
        decision = decider.decide(caller, Surface.MCP, tool)
        if not decision.allowed:
            raise ToolError(f"denied by policy {decision.version}: {', '.join(decision.reasons)}")
        return caller

    def applied(self, caller: Caller, tables: Sequence[str]) -> Applied:
        """What the policy did to an answer from these tables (`gold.<dataset>`, `live.<dataset>`)."""
        views = {view.table: view for view in caller.role.views.values() if view.table in tables}
        return Applied(
            version=self._policy.version if self._policy else "",
            role=caller.role.name,
            rows={table: view.rows for table, view in views.items() if view.rows},
            masked={table: {k: str(v) for k, v in view.masked.items()} for table, view in views.items() if view.masked},
        )

    def _current(self) -> Decider:
        with self._lock:
            if self._decider is None or time.monotonic() - self._read_at >= HOLDS_SECONDS:
                with explained("the policy in force"):
                    policy = applied(self._keeper)
                if policy is None:
                    self._decider = None
                    raise ToolError("denied: no policy is in force → `headwater policy apply`")
                if self._decider is None or policy != self._policy:
                    self._decider = Decider(policy, engine_of(self._settings, policy))
                self._policy, self._read_at = policy, time.monotonic()
            return self._decider
