"""Allowed only when the engine answers, in time, with no reason against it."""

from __future__ import annotations

import re
import socket
import time

import pytest

from headwater.contracts.loader import load_contracts
from headwater.errors import ConfigurationError
from headwater.policy.decision import UNDECIDED, Decider, OpaEngine, RegoEngine
from headwater.policy.loader import load_policy
from headwater.policy.model import Surface
from headwater.policy.testing import run_cases
from headwater.settings import get_settings

POLICY = load_policy(contracts=load_contracts())
ANALYST = POLICY.caller("ann", ["analysts"])


def test_every_case_holds_and_every_rule_is_held_by_one():
    tested = run_cases(POLICY.rego, get_settings().policies_dir)
    assert tested.passed, tested
    assert tested.rules >= 8


@pytest.mark.parametrize("rule", re.findall(r'^deny contains "(\w+)"', POLICY.rego, re.MULTILINE))
def test_a_rule_without_a_case_is_found(rule):
    """Two rules that give one reason: without either the other still gives it, so no case holds one of them."""
    block = next(b for b in POLICY.rego.split("\n\n") if f'deny contains "{rule}"' in b)
    assert run_cases(f"{POLICY.rego}\n\n{block}", get_settings().policies_dir).uncovered


def test_the_policys_own_purposes_and_surfaces_count():
    decider = Decider(POLICY, RegoEngine(POLICY.rego))
    assert decider.decide(ANALYST, Surface.MCP, "query").allowed
    assert decider.decide(ANALYST, Surface.MCP, "query", "marketing").reasons == ("purpose",)
    assert decider.decide(ANALYST, Surface.MCP, "query", scopes=["api:*"]).reasons == ("scope",)
    assert decider.decide(ANALYST, Surface.MCP, "query", expires=1).reasons == ("expired",)
    agent = POLICY.caller("agent", ["agents"])
    assert decider.decide(agent, Surface.CLICKHOUSE, "query").reasons == ("surface",)


def test_a_decision_takes_less_than_a_millisecond():
    decider = Decider(POLICY, RegoEngine(POLICY.rego))
    times = []
    for _ in range(200):
        begin = time.perf_counter()
        decider.decide(ANALYST, Surface.MCP, "query")
        times.append(time.perf_counter() - begin)
    assert sorted(times)[20] < 0.001  # what it takes when nothing else wants the core


@pytest.mark.parametrize(
    "rego",
    [
        "package headwater.decision\n",
        "package headwater.decision\n\ndeny := false\n",
        "package headwater.decision\n\ndeny := {}\n",
        "package headwater.decision\n\ndeny := 1 / 0\n",
        "package elsewhere\n\ndeny := []\n",
    ],
)
def test_a_decision_that_says_nothing_denies(rego):
    decision = Decider(POLICY, RegoEngine(rego)).decide(ANALYST, Surface.MCP, "query")
    assert not decision.allowed
    assert decision.reasons[0].startswith(UNDECIDED)


def test_a_decision_that_is_no_rego_is_said():
    with pytest.raises(ConfigurationError, match="no Rego"):
        RegoEngine("package headwater.decision\n\ndeny contains")


def test_fault_27_no_server_denies():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        engine = OpaEngine(f"http://127.0.0.1:{taken.getsockname()[1]}")
        decision = Decider(POLICY, engine).decide(ANALYST, Surface.MCP, "query")
    assert decision.reasons == (f"{UNDECIDED}: ConnectError",)


def test_fault_27_a_server_that_does_not_answer_denies_soon():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        engine = OpaEngine(f"http://127.0.0.1:{mute.getsockname()[1]}")
        begin = time.monotonic()
        decision = Decider(POLICY, engine).decide(ANALYST, Surface.MCP, "query")
    assert decision.reasons == (f"{UNDECIDED}: ReadTimeout",)
    assert time.monotonic() - begin < 5
