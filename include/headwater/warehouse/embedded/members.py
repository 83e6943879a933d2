"""Those whom the policy lets read: who they are, and the role whose database they get.

The policy in force is the newest of `platform.policy`, so that what `headwater policy apply` has written holds here
within a second. Whoever is not known, has no role, or whom the decision denies, is refused; so is everybody while the
policy or the identities cannot be read.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import time

from headwater.errors import HeadwaterError
from headwater.identity.key_form import FORM
from headwater.identity.keys import IdentityKeys
from headwater.identity.store import Identity, IdentityStore
from headwater.policy.bundle import NEWEST, policy_of
from headwater.policy.decision import Decider, engine_of
from headwater.policy.model import Caller, Surface
from headwater.policy.server import attributes_json
from headwater.settings import Settings
from headwater.warehouse.embedded.access import WRITER_ROLE, Caps, User, wrong_credentials
from headwater.warehouse.embedded.engine import Engine
from headwater.warehouse.embedded.errors import EndpointError

log = logging.getLogger(__name__)

HOLDS_SECONDS = 1.0
"""How long a login and a policy that were read are believed."""
REMEMBERED = 1000


class Members:
    """Logins by identity. Thread-safe."""

    def __init__(self, engine: Engine, settings: Settings, identities: IdentityStore) -> None:
        self._engine = engine
        self._settings = settings
        self._identities = identities
        self._keys = IdentityKeys(settings, identities)
        self._salt = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._known: dict[tuple[str, bytes], tuple[float, User]] = {}
        self._text = ""
        self._decider: Decider | None = None
        self._read_at = 0.0

    def remembered(self, name: str, password: str) -> User | None:
        """The user of a login within the last second."""
        found = self._known.get(self._key(name, password))
        return found[1] if found is not None and found[0] > time.monotonic() else None

    def is_agent(self, name: str) -> bool:
        """Whether it is the service user of the sidecar, whom neither Postgres nor argon2 is asked about."""
        return name == self._settings.clickhouse_agent_user

    def authenticate(self, name: str, password: str) -> User:
        """The user. Raises AUTHENTICATION_FAILED, or ACCESS_DENIED for one who is known and may not."""
        try:
            found = self._identity(name, password)
        except HeadwaterError as error:
            log.warning("%s: not known, for the identities cannot be read: %s", name, error)
            raise wrong_credentials(name) from error
        if found is None:
            raise wrong_credentials(name)
        try:
            user = self._admitted(*found)
        except EndpointError as error:
            raise error if error.name == "ACCESS_DENIED" else _refused(name, error) from error
        except HeadwaterError as error:
            raise _refused(name, error) from error
        with self._lock:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[self._key(name, password)] = (time.monotonic() + HOLDS_SECONDS, user)
        return user

    def _identity(self, name: str, password: str) -> tuple[Identity, tuple[str, ...]] | None:
        """Who it is, and the scopes it comes with: all by password, by a key those of the key."""
        settings = self._settings
        if name != settings.clickhouse_agent_user:
            if FORM.fullmatch(password):
                by_key = self._keys.verify(password)
                return (by_key[0], by_key[1].scopes) if by_key is not None and by_key[0].name == name else None
            identity = self._identities.verify(name, password)
            return None if identity is None else (identity, ("*",))
        expected = settings.clickhouse_agent_password.get_secret_value()
        if not expected or not hmac.compare_digest(expected.encode(), password.encode()):
            return None
        return Identity(name, "service", (settings.clickhouse_agent_group,), {}), ("*",)

    def _admitted(self, identity: Identity, scopes: tuple[str, ...]) -> User:
        decider = self._current()
        if decider is None:
            raise EndpointError("ACCESS_DENIED", f"{identity.name}: no policy is in force.")
        caller = decider.policy.caller(identity.name, identity.groups, identity.attributes)
        # The agent's own surface is the sidecar, which asks the decision itself for every tool.
        surface = Surface.MCP if identity.name == self._settings.clickhouse_agent_user else Surface.CLICKHOUSE
        decision = decider.decide(caller, surface, "query", scopes=scopes, expires=identity.expires)
        if not decision.allowed:
            raise _refused(identity.name, ", ".join(decision.reasons))
        return self._user(caller)

    def _user(self, caller: Caller) -> User:
        role = caller.role
        if role.database not in self._engine.role_databases:
            log.warning("%s: the role %s is newer than this process: restart it", caller.name, role.name)
            raise EndpointError("ACCESS_DENIED", f"{caller.name}: the role {role.name} waits for a restart.")
        caps = Caps(role.limits.rows, role.limits.bytes, role.limits.seconds)
        return User(caller.name, "", True, role.database, attributes_json(caller), caps)

    def _current(self) -> Decider | None:
        """The decision of the policy in force; None where there is none."""
        with self._lock:
            if time.monotonic() - self._read_at < HOLDS_SECONDS:
                return self._decider
            text = self._read()
            if text != self._text or self._decider is None:
                policy = policy_of(text) if text else None
                self._decider = Decider(policy, engine_of(self._settings, policy)) if policy else None
                self._text = text
            self._read_at = time.monotonic()
            return self._decider

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


def _refused(name: str, why: object) -> EndpointError:
    """Why is for the log: it may name roles and groups that are not the asker's business."""
    log.warning("%s: refused: %s", name, why)
    return EndpointError("ACCESS_DENIED", f"{name}: the policy does not let you read here.")
