"""What a decision of the policy costs: allow or deny, by the engine that the settings ask for."""

from __future__ import annotations

import statistics
import time

from bench.measure import Measurement
from bench.topics import Context
from headwater.policy.decision import Decider, engine_of
from headwater.policy.loader import load_policy
from headwater.policy.model import Surface
from headwater.settings import get_settings

DECISIONS = 5_000
P99_AT_MOST_MS = 1.0


def measure_policy(context: Context) -> list[Measurement]:
    """One line; a row is a decision, with a scope that allows it."""
    settings, policy = get_settings(), load_policy()
    decider = Decider(policy, engine_of(settings, policy))
    caller = policy.caller("some.analyst", ["analysts"])
    scopes = ("clickhouse:*", "mcp:query", "api:*")
    waits = []
    begun = time.perf_counter()
    for _ in range(DECISIONS):
        at = time.perf_counter()
        decision = decider.decide(caller, Surface.MCP, "query", scopes=scopes)
        waits.append(time.perf_counter() - at)
        if not decision.allowed:
            raise RuntimeError(f"denied: {decision.reasons}")
    seconds = time.perf_counter() - begun
    cuts = statistics.quantiles(waits, n=100)
    notes = {f"p{p}_ms": round(cuts[p - 1] * 1000, 3) for p in (50, 95, 99)}
    engine = "OPA server" if settings.opa_url else "in process"
    passed = notes["p99_ms"] < P99_AT_MOST_MS
    return [Measurement(f"policy decisions, {engine}", DECISIONS, seconds, passed=passed, notes=notes)]
