"""Quotas that several processes share, secrets that are kept, and commands that are on record."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from headwater.audit import commands as audit_commands
from headwater.audit.reading import Sought, search
from headwater.audit.verifying import verify
from headwater.errors import ConfigurationError
from headwater.identity import commands
from headwater.identity.kept_secrets import KeptSecrets, mask_key, new_key
from headwater.identity.quotas import Quotas, QuotaUsedUp
from headwater.policy.model import Limits

pytestmark = pytest.mark.integration


def limits(requests: int = 0, rows: int = 0) -> Limits:
    return Limits(1, 1, 1, 1, requests_per_minute=requests, rows_per_minute=rows)


def test_together_processes_allow_no_more_than_there_is(served):
    """Two pools stand for two processes; the minute may end meanwhile, which makes it twice at most."""
    quotas = [Quotas(served.settings), Quotas(served.settings)]
    waits: list[int] = []

    def ask(number: int) -> bool:
        try:
            quotas[number % 2].take("quota.shared", limits(requests=100))
        except QuotaUsedUp as error:
            waits.append(error.retry_after)
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        allowed = sum(pool.map(ask, range(400)))
    for one in quotas:
        one.close()
    assert set(waits) <= set(range(1, 61))
    assert allowed in range(95, 101) or allowed in range(190, 201), allowed


def test_rows_are_counted_across_processes(served):
    first, second = Quotas(served.settings), Quotas(served.settings)
    few = limits(requests=10_000, rows=1000)
    first.take("quota.rows", few)
    first.spend("quota.rows", few, 1000)
    with pytest.raises(QuotaUsedUp, match="rows"):
        second.take("quota.rows", few)
    with pytest.raises(QuotaUsedUp, match="rows"):
        first.take("quota.rows", few)
    second.take("quota.others", few)
    first.close()
    second.close()


def test_secrets_are_encrypted_and_outlive_a_rotation(served):
    old, new = new_key(), new_key()
    before = served.settings.model_copy(update={"secret_keys": SecretStr(old)})
    both = served.settings.model_copy(update={"secret_keys": SecretStr(f"{new},{old}")})
    after = served.settings.model_copy(update={"secret_keys": SecretStr(new)})
    with KeptSecrets(served.settings) as kept:
        for one in kept.all():
            kept.remove(one.name)
    with KeptSecrets(before) as kept:
        kept.put("of.the.provider", "the client's secret")
        with kept._database.connection() as connection:
            ((stored,),) = connection.execute("SELECT encrypted FROM kept_secrets").fetchall()
        assert b"client" not in bytes(stored)
    with KeptSecrets(after) as kept, pytest.raises(ConfigurationError, match="no key opens"):
        kept.get("of.the.provider")
    with KeptSecrets(both) as kept:
        assert [one.by for one in kept.all()] == ["older"]
        assert kept.rotate() == 1
        assert [one.by for one in kept.all()] == ["newest"]
    with KeptSecrets(after) as kept:
        assert kept.get("of.the.provider") == "the client's secret"
        kept.remove("of.the.provider")


def test_the_key_of_the_masks_is_made_once(served):
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: mask_key(served.settings), range(8)))) == 1


def test_changes_by_command_are_on_record_and_the_trail_is_sound(served):
    def run(app, *arguments: str, given: str | None = None) -> str:
        done = CliRunner().invoke(app, list(arguments), input=given)
        assert done.exception is None, (done.exception, done.output)
        return done.stdout

    run(commands.app, "add", "by.command", "--group", "analysts", "--json", given="a password of this test\n")
    key = json.loads(run(commands.app, "key", "by.command", "--scope", "api:*", "--json"))
    run(commands.app, "revoke", key["key_id"], "--json")
    assert CliRunner().invoke(commands.app, ["revoke", "000000000000"]).exception is not None
    run(commands.app, "disable", "by.command", "--json")
    found = list(search(served.settings, Sought(surface="cli"), limit=6))
    told = [(one["tool"], one["target"], one["outcome"]) for one in reversed(found)]
    assert told == [
        ("identity.add", "by.command", "allowed"),
        ("identity.key", "by.command", "allowed"),
        ("identity.revoke", key["key_id"], "allowed"),
        ("identity.revoke", "000000000000", "allowed"),
        ("identity.revoke", "000000000000", "failed"),
        ("identity.disable", "by.command", "allowed"),
    ]
    assert "a password of this test" not in json.dumps(found)
    assert key["key"] not in json.dumps(found)
    shown = json.loads(run(audit_commands.app, "search", "--tool", "identity.disable", "--json"))
    assert [one["target"] for one in shown] == ["by.command"]
    assert verify(served.settings).sound
