"""The policy in force: read anew in time, and nobody let in while it cannot be read."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from headwater.errors import ConfigurationError, TerminalError
from headwater.policy import in_force
from headwater.policy.in_force import HOLDS_SECONDS, REFRESH_SECONDS, InForce, NoPolicy
from headwater.policy.loader import load_policy
from headwater.settings import get_settings


class Kept:
    """Where the policy is kept: its text, and how often it was read."""

    def __init__(self) -> None:
        self.policy = json.loads(json.dumps(asdict(load_policy())))
        self.text = json.dumps(self.policy)
        self.read = 0
        self.fails = False

    def __call__(self) -> str:
        self.read += 1
        if self.fails:
            raise TerminalError("it does not answer")
        return self.text


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(in_force.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def current(kept, clock):
    return InForce(get_settings(), kept)


def test_it_is_read_once_for_many_who_ask(kept, current):
    assert len({id(current.decider()) for _ in range(100)}) == 1
    assert kept.read == 1


def test_another_policy_holds_in_time_and_the_same_is_not_built_again(kept, current, clock):
    first = current.decider()
    clock[0] += REFRESH_SECONDS
    assert current.decider() is first
    kept.text = json.dumps(kept.policy | {"version": "another"})
    clock[0] += REFRESH_SECONDS
    assert current.decider().policy.version == "another"


def test_without_one_nobody_is_let_in(kept, current, clock):
    current.decider()
    kept.text = ""
    clock[0] += HOLDS_SECONDS
    with pytest.raises(NoPolicy):
        current.decider()


@pytest.mark.parametrize("broken", ["{", "{}", "rego"])
def test_a_broken_one_lets_nobody_in_until_it_is_mended(kept, current, clock, broken):
    current.decider()
    good = kept.text
    kept.text = json.dumps(kept.policy | {"rego": "package headwater.decision\n\ndeny contains if {"})
    kept.text = kept.text if broken == "rego" else broken
    clock[0] += HOLDS_SECONDS
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            current.decider()
    kept.text = good
    assert current.decider().policy.version == kept.policy["version"]


def test_where_it_cannot_be_read_nobody_is_let_in(kept, current, clock):
    current.decider()
    kept.fails = True
    clock[0] += HOLDS_SECONDS
    with pytest.raises(TerminalError, match="does not answer"):
        current.decider()
