"""How a surface tells ClickHouse's endpoint for whom it asks: a password that it signs, good for some minutes.

The API and the sidecar have authenticated who asks and have asked the decision. They log in with that name and with
`hv_<who, as JSON>.<HMAC-SHA256>` as the password, so that the engine holds each query to that identity's own role, and
nobody's own key or password goes further than the surface. Only who has the surface key can sign; it is the platform's
own, in secrets.env, like the writer's password.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from dataclasses import dataclass

from headwater.errors import ConfigurationError
from headwater.identity.store import Identity
from headwater.policy.model import Surface
from headwater.settings import Settings

FORM = re.compile(r"hv_([A-Za-z0-9_-]{1,12000})\.([A-Za-z0-9_-]{43})")
GOOD_SECONDS = 900
SHORTEST_KEY = 32


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom a surface asks for."""

    identity: Identity
    surface: Surface
    expires: float


def vouch(settings: Settings, identity: Identity, surface: Surface) -> str:
    """The password. Raises `ConfigurationError` where there is no surface key."""
    facts = {
        "name": identity.name,
        "kind": identity.kind,
        "groups": list(identity.groups),
        "attributes": {name: list(values) for name, values in identity.attributes.items()},
        "surface": str(surface),
        "expires": int(time.time()) + GOOD_SECONDS,
    }
    told = _encoded(json.dumps(facts, separators=(",", ":")).encode())
    key = settings.surface_key.get_secret_value()
    if len(key) < SHORTEST_KEY:
        raise ConfigurationError(
            f"there is no surface key of {SHORTEST_KEY} characters",
            where="HEADWATER_SURFACE_KEY",
            remedy="`headwater up` makes one; set the same for endpoint, API and sidecar",
        )
    return f"hv_{told}.{_signature(key, told)}"


def vouched(settings: Settings, text: str) -> Vouched | None:
    """Who it is about; None where nobody with the key has signed it, or its time is over."""
    key = settings.surface_key.get_secret_value()
    match = FORM.fullmatch(text)
    if match is None or len(key) < SHORTEST_KEY or not hmac.compare_digest(match[2], _signature(key, match[1])):
        return None
    try:
        facts = json.loads(base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    if facts["expires"] <= time.time():
        return None
    attributes = {name: tuple(values) for name, values in facts["attributes"].items()}
    identity = Identity(facts["name"], facts["kind"], tuple(facts["groups"]), attributes, has_password=False)
    return Vouched(identity, Surface(facts["surface"]), facts["expires"])


def _signature(key: str, told: str) -> str:
    return _encoded(hmac.digest(key.encode(), b"headwater surface\n" + told.encode(), hashlib.sha256))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
