"""The one way to an answer, for every surface: authenticate → decide → work as the caller's role → record → answer.

    with gate.ask(gate.authenticated(authorization, api_key), "query", purpose=purpose, source=address) as asking:
        rows = run(asking.client, …)                     # ClickHouse, logged in as the caller: its role's views
        asking.answered(datasets=[…], rows=len(rows), sql=sql)   # on record; only now may the rows go out

`ask` raises `Denied`, `QuotaUsedUp` or `AuditUnavailable`; a denial is on record before it is told, and so is a failure
when the block is left by an error. What leaves no record leaves no answer either.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.httputil import get_pool_manager
from pydantic import SecretStr

from headwater.audit.entries import Entry, Outcome, fingerprint
from headwater.audit.writing import Auditor, AuditUnavailable
from headwater.errors import ConfigurationError, HeadwaterError, TerminalError
from headwater.identity.authenticating import Authenticated, Authenticator, NotAuthenticated
from headwater.identity.quotas import Quotas
from headwater.identity.store import Identity
from headwater.identity.vouching import vouch
from headwater.policy.applying import applied_text, is_embedded
from headwater.policy.in_force import InForce
from headwater.policy.model import Caller, Surface
from headwater.serving.evidence import Applied
from headwater.settings import Settings
from headwater.warehouse.client import explained, member, reader

CLIENTS = 500
CLIENT_SECONDS = 600.0
"""A login is renewed before what vouches for it ends."""
CONNECTIONS = 64


class Denied(TerminalError):
    """The policy does not let this caller do this: 403. `reasons` are the decision's words; none names data."""

    def __init__(self, reasons: Sequence[str], version: str) -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"denied by policy {version or '(none)'}: {', '.join(reasons)}")


@dataclass
class Asking:
    """One request that was allowed, until its block ends. `purpose` is the one it was decided for."""

    caller: Caller
    known: Authenticated
    policy_version: str
    surface: Surface
    tool: str
    purpose: str
    source: str
    _gate: Gate = field(repr=False)
    _recorded: bool = False
    _reading: tuple[Sequence[str], str] = ((), "")

    @property
    def client(self) -> Client:
        """ClickHouse, as the caller: shared by requests of the same one, so without sessions."""
        return self._gate.client(self.known.identity)

    @property
    def headers(self) -> dict[str, str]:
        """The login of a raw HTTP request to ClickHouse as the caller, good for some minutes."""
        return {
            "X-ClickHouse-User": self.known.identity.name,
            "X-ClickHouse-Key": self._gate.password(self.known.identity),
        }

    def applied(self, tables: Sequence[str]) -> Applied:
        """What the policy did to an answer from these tables (`gold.<dataset>`, `live.<dataset>`)."""
        views = {view.table: view for view in self.caller.role.views.values() if view.table in tables}
        return Applied(
            version=self.policy_version,
            role=self.caller.role.name,
            rows={table: view.rows for table, view in views.items() if view.rows},
            masked={table: {k: str(v) for k, v in view.masked.items()} for table, view in views.items() if view.masked},
        )

    def reads(self, datasets: Sequence[str], sql: str) -> None:
        """Say what is about to be read, so that it is on record where that fails."""
        self._reading = datasets, sql

    def answered(self, *, datasets: Sequence[str] = (), rows: int | None = 0, sql: str = "") -> int:
        """Put an answer on record, before it is handed out; returns the entry's number. Raises `AuditUnavailable`.

        `datasets` with or without their database. A stream is recorded twice: before its first row with `rows=None`,
        and at its end with their number.
        """
        self._gate.spend(self, rows or 0)
        number = self._gate.auditor.record(self._entry(datasets, rows, sql))
        self._recorded = True
        return number

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None and not self._recorded:
            self.answered()
        elif kind is not None and not isinstance(error, AuditUnavailable):
            datasets, sql = self._reading
            entry = self._entry(datasets, None, sql)
            self._gate.auditor.record(replace(entry, outcome=Outcome.FAILED, reason=kind.__name__))

    def _entry(self, datasets: Sequence[str], rows: int | None, sql: str) -> Entry:
        # Some are known by their contract alone: a stream, whose ledger or quarantine was asked for.
        names = sorted({name.rpartition(".")[2] for name in datasets})
        views = [self.caller.role.views[name] for name in names if name in self.caller.role.views]
        filters = sorted({f"{view.dataset}: {view.rows}" for view in views if view.rows})
        return Entry(
            who=self.caller.name,
            surface=str(self.surface),
            tool=self.tool,
            purpose=self.purpose,
            datasets=tuple(names),
            rows_filter="; ".join(filters),
            rows=rows,
            policy_version=self.policy_version,
            source=self.source,
            statement=fingerprint(sql) if sql else "",
        )


class Gate:
    """One per process and surface; thread-safe."""

    def __init__(self, settings: Settings, surface: Surface, keeper: Callable[[], Client] = reader) -> None:
        self.settings = settings
        self.surface = surface
        self.authenticator = Authenticator(settings)
        self.auditor = Auditor(settings)
        self._quotas = Quotas(settings)
        self._keeper = keeper
        self._keeping: Client | None = None
        self._embedded = True
        self._in_force = InForce(settings, self._policy_text)
        self._lock = threading.Lock()
        self._pool = get_pool_manager(maxsize=CONNECTIONS, num_pools=4)
        self._clients: OrderedDict[tuple[object, ...], tuple[float, str, Client | None]] = OrderedDict()

    def authenticated(self, authorization: str | None, api_key: str | None = None, source: str = "") -> Authenticated:
        """Whose request it is. Raises `NotAuthenticated` (on record), `DatabaseUnavailable`."""
        try:
            return self.authenticator.authenticate(authorization, api_key)
        except NotAuthenticated:
            self.auditor.refused(str(self.surface), source)
            raise

    def service(self) -> Authenticated:
        """The settings' agent: who asks over stdio, where the one who started the process is the one who asks."""
        settings = self.settings
        identity = Identity(settings.clickhouse_agent_user, "service", (settings.clickhouse_agent_group,), {})
        return Authenticated(identity, ("*",), "service")

    def ask(self, known: Authenticated, tool: str, *, purpose: str = "", source: str = "") -> Asking:
        """Whether this may be asked; counts one request. Raises `Denied`, `QuotaUsedUp`, `AuditUnavailable`."""
        caller: Caller | None = None
        asked, version = purpose, ""
        reasons: tuple[str, ...]
        try:
            decider = self._in_force.decider()
            version = decider.policy.version
            identity = known.identity
            caller = decider.policy.caller(identity.name, identity.groups, identity.attributes)
            asked = purpose or caller.role.purposes[0]
            decision = decider.decide(caller, self.surface, tool, asked, scopes=known.scopes, expires=known.expires)
            reasons = decision.reasons
        except HeadwaterError as error:
            reasons = (_reason(error),)
        told = asked if caller is not None and asked in caller.role.purposes else "?"
        if caller is None or reasons:
            self._deny(known, tool, told, source, reasons, version)
            raise Denied(reasons, version)
        asking = Asking(caller, known, version, self.surface, tool, told, source, self)
        try:
            self._quotas.take(caller.name, caller.role.limits)
        except HeadwaterError as error:
            self._deny(known, tool, told, source, (type(error).__name__,), version)
            raise
        return asking

    def caller(self, known: Authenticated) -> Caller:
        """As whom somebody would ask, without asking. Raises `NoRole`, `NoPolicy`."""
        identity = known.identity
        return self._in_force.decider().policy.caller(identity.name, identity.groups, identity.attributes)

    def spend(self, asking: Asking, rows: int) -> None:
        """Count rows that are handed out."""
        self._quotas.spend(asking.caller.name, asking.caller.role.limits, rows)

    def client(self, identity: Identity) -> Client:
        """ClickHouse, logged in as this identity. Raises `WarehouseUnavailableError`, `ConfigurationError`."""
        _, password, client = self._login(identity)
        if client is None:
            client = member(identity.name, SecretStr(password), self._pool)
            with self._lock:
                held = self._clients.get(_mark(identity))
                if held is not None and held[1:] == (password, None):
                    self._clients[_mark(identity)] = (held[0], password, client)
        return client

    def password(self, identity: Identity) -> str:
        """What logs in at ClickHouse as this identity for some minutes."""
        return self._login(identity)[1]

    def close(self) -> None:
        """Write what waits to be recorded, and let go of all connections."""
        self.auditor.close()
        self.authenticator.close()
        self._quotas.close()
        self._pool.clear()

    def _login(self, identity: Identity) -> tuple[float, str, Client | None]:
        mark = _mark(identity)
        with self._lock:
            held = self._clients.get(mark)
            if held is None or held[0] < time.monotonic():
                held = (time.monotonic() + CLIENT_SECONDS, self._secret(identity), None)
                self._clients[mark] = held
            self._clients.move_to_end(mark)
            while len(self._clients) > CLIENTS:
                self._clients.popitem(last=False)
            return held

    def _secret(self, identity: Identity) -> str:
        """What logs in: at the embedded endpoint what this surface signs; a server knows the agent alone."""
        if self._embedded:
            return vouch(self.settings, identity, self.surface)
        if identity.name == self.settings.clickhouse_agent_user:
            return self.settings.clickhouse_agent_password.get_secret_value()
        raise ConfigurationError(
            f"a ClickHouse server does not take the word of a surface for {identity.name}",
            where=f"{self.settings.clickhouse_host}:{self.settings.clickhouse_port}",
            remedy="ask it as one of its own users, or through the sidecar over stdio, as the agent",
        )

    def _policy_text(self) -> str:
        if self._keeping is None:
            self._keeping = self._keeper()
            with explained("the warehouse"):
                self._embedded = is_embedded(self._keeping)
        with explained("the policy in force"):
            return applied_text(self._keeping)

    def _deny(
        self, known: Authenticated, tool: str, purpose: str, source: str, reasons: Sequence[str], version: str
    ) -> None:
        self.auditor.record(
            Entry(
                who=known.identity.name,
                surface=str(self.surface),
                tool=tool,
                purpose=purpose,
                policy_version=version,
                source=source,
                outcome=Outcome.DENIED,
                reason=", ".join(reasons),
            )
        )


def _mark(identity: Identity) -> tuple[object, ...]:
    attributes = tuple(sorted((name, tuple(values)) for name, values in identity.attributes.items()))
    return identity.name, identity.groups, attributes


def _reason(error: HeadwaterError) -> str:
    return {"NoRole": "no role", "NoPolicy": "no policy"}.get(type(error).__name__, "the policy cannot be read")
