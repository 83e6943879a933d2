"""Those whom the policy lets read: who they are, and the role whose database they get.

They come with a password, an API key, a token, or vouched for by a surface that has authenticated them. The policy in
force is the newest of `platform.policy`, so that what `headwater policy apply` has written holds here within a second.
Whoever is not known, has no role, or whom the decision denies, is refused; so is everybody while the policy or the
identities cannot be read.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import time
from enum import Enum

from headwater.audit.entries import Entry, Outcome
from headwater.audit.writing import Auditor, AuditUnavailable
from headwater.errors import HeadwaterError
from headwater.identity import key_form, tokens, vouching
from headwater.identity.authenticating import HOLDS_SECONDS, Authenticated, Authenticator
from headwater.identity.store import Identity
from headwater.policy.bundle import NEWEST
from headwater.policy.in_force import InForce
from headwater.policy.model import Caller, Surface
from headwater.policy.server import attributes_json
from headwater.settings import Settings
from headwater.warehouse.embedded.access import WRITER_ROLE, Caps, Member, User, wrong_credentials
from headwater.warehouse.embedded.engine import Engine
from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.recording import TOOL, Unrecorded

log = logging.getLogger(__name__)

REMEMBERED = 1000


class Cost(Enum):
    """What a login takes: nothing but this process; a look-up; argon2, dear on purpose."""

    NONE = 0
    LOOK_UP = 1
    HASH = 2


class Members:
    """Logins by identity. Thread-safe."""

    def __init__(self, engine: Engine, settings: Settings, authenticator: Authenticator, auditor: Auditor) -> None:
        self._engine = engine
        self._settings = settings
        self._authenticator = authenticator
        self.auditor = auditor
        self._in_force = InForce(settings, self._read)
        self._salt = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._known: dict[tuple[str, bytes], tuple[float, User]] = {}

    def remembered(self, name: str, password: str) -> User | None:
        """The user of a login within the last second."""
        found = self._known.get(self._key(name, password))
        return found[1] if found is not None and found[0] > time.monotonic() else None

    def cost(self, name: str, password: str) -> Cost:
        """What this login will take, so that a flood of passwords holds up nobody else."""
        if name == self._settings.clickhouse_agent_user or vouching.FORM.fullmatch(password):
            return Cost.NONE
        by_look_up = key_form.FORM.fullmatch(password) or tokens.FORM.fullmatch(password)
        return Cost.LOOK_UP if by_look_up else Cost.HASH

    def authenticate(self, name: str, password: str, source: str = "") -> User:
        """The user. Raises AUTHENTICATION_FAILED, or ACCESS_DENIED for one who is known and may not."""
        try:
            found, surface = self._identity(name, password)
        except HeadwaterError as error:
            log.warning("%s: not known: %s", name, error)
            self.auditor.refused(str(Surface.CLICKHOUSE), source)
            raise wrong_credentials(name) from error
        try:
            user = self._admitted(found, surface)
        except HeadwaterError as error:
            raise self._refused(found.identity.name, error, source) from error
        with self._lock:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[self._key(name, password)] = (time.monotonic() + HOLDS_SECONDS, user)
        return user

    def close(self) -> None:
        """Write what waits for the audit trail, and let go."""
        self.auditor.close()
        self._authenticator.close()

    def _identity(self, name: str, password: str) -> tuple[Authenticated, Surface | None]:
        """Who it is, and the surface that says so, if one does."""
        settings = self._settings
        if vouching.FORM.fullmatch(password):
            by_surface = vouching.vouched(settings, password)
            if by_surface is None or by_surface.identity.name != name:
                raise wrong_credentials(name)
            return Authenticated(by_surface.identity, ("*",), "service", by_surface.expires), by_surface.surface
        if name != settings.clickhouse_agent_user:
            return self._authenticator.by_secret(name or None, password), None
        expected = settings.clickhouse_agent_password.get_secret_value()
        if not expected or not hmac.compare_digest(expected.encode(), password.encode()):
            raise wrong_credentials(name)
        return Authenticated(Identity(name, "service", (settings.clickhouse_agent_group,), {}), ("*",), "service"), None

    def _admitted(self, found: Authenticated, vouched_by: Surface | None) -> User:
        decider = self._in_force.decider()
        identity = found.identity
        caller = decider.policy.caller(identity.name, identity.groups, identity.attributes)
        # The agent's own surface is the sidecar, which asks the decision itself for every tool.
        own = Surface.MCP if identity.name == self._settings.clickhouse_agent_user else Surface.CLICKHOUSE
        surface = vouched_by or own
        decision = decider.decide(caller, surface, TOOL, scopes=found.scopes, expires=found.expires)
        if not decision.allowed:
            raise EndpointError("ACCESS_DENIED", ", ".join(decision.reasons))
        return self._user(caller, None if vouched_by else Member(caller, decision.version))

    def _user(self, caller: Caller, member: Member | None) -> User:
        role = caller.role
        if role.database not in self._engine.role_databases:
            log.warning("%s: the role %s is newer than this process: restart it", caller.name, role.name)
            raise EndpointError("ACCESS_DENIED", "the role waits for a restart")
        caps = Caps(role.limits.rows, role.limits.bytes, role.limits.seconds)
        counts = member is None and not any(view.rows for view in role.views.values())
        return User(caller.name, "", True, role.database, attributes_json(caller), caps, member, counts)

    def _refused(self, name: str, error: HeadwaterError, source: str) -> EndpointError:
        """On record; why is for the log: it may name roles and groups that are not the asker's business."""
        log.warning("%s: refused: %s", name, error)
        denied = isinstance(error, EndpointError) and error.name == "ACCESS_DENIED"
        reason = error.what if denied else type(error).__name__
        entry = Entry(name, str(Surface.CLICKHOUSE), "login", source=source, outcome=Outcome.DENIED, reason=reason)
        try:
            self.auditor.record(entry)
        except AuditUnavailable:
            return Unrecorded(name)
        return EndpointError("ACCESS_DENIED", f"{name}: the policy does not let you read here.")

    def _read(self) -> str:
        connection = self._engine.connect()
        try:
            connection.set_up({}, role=WRITER_ROLE, database=None)
            data, _ = connection.run(NEWEST, "TSVRaw")
        except EndpointError as error:
            if error.name in ("UNKNOWN_TABLE", "UNKNOWN_DATABASE"):
                return ""
            raise
        finally:
            connection.close()
        return data.decode().removesuffix("\n")

    def _key(self, name: str, password: str) -> tuple[str, bytes]:
        return name, hashlib.sha256(self._salt + password.encode()).digest()
