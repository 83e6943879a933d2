"""A flood of logins by password: who comes with a key, or is known to the settings, does not wait for it."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from headwater.identity.authenticating import Authenticator
from headwater.settings import get_settings
from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.limits import Limits
from headwater.warehouse.embedded.members import Members
from headwater.warehouse.embedded.workers import MOST_LOGINS, Workers

KEY = f"hw_{'0' * 12}_{'a' * 43}"


def test_too_many_logins_are_refused_at_once_and_others_go_on() -> None:
    async def flood() -> None:
        gate = threading.Event()
        waiting = [asyncio.ensure_future(workers.check(gate.wait)) for _ in range(MOST_LOGINS)]
        try:
            await asyncio.sleep(0)  # each of them begins
            with pytest.raises(EndpointError) as caught:
                await workers.check(gate.wait)
            assert caught.value.name == "TOO_MANY_SIMULTANEOUS_QUERIES"
            assert await workers.check_key(lambda: "key") == "key"
            assert await workers.run_aside(lambda: "agent") == "agent"
        finally:
            gate.set()
        assert all(await asyncio.gather(*waiting))
        assert await workers.check(lambda: "again") == "again"

    workers = Workers(Limits())
    try:
        asyncio.run(flood())
    finally:
        workers.close()


def test_a_wrong_key_is_never_tried_as_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    identities = SimpleNamespace(proven=lambda *_: False, verify=lambda name, password: tried.append(password))
    authenticator = Authenticator(get_settings(), identities)  # type: ignore[arg-type]
    monkeypatch.setattr(authenticator, "_keys", SimpleNamespace(verify=lambda text: None))
    auditor = SimpleNamespace(refused=lambda surface, source: None)
    members = Members(SimpleNamespace(), get_settings(), authenticator, auditor)  # type: ignore[arg-type]
    for password in (KEY, "hw_ is how this password begins"):
        with pytest.raises(EndpointError, match="Authentication failed"):
            members.authenticate("ann", password)
    assert tried == ["hw_ is how this password begins"]
