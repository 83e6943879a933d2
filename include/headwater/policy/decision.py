"""Allow or deny: may this caller use this tool on this surface, for this purpose, now?

decision.rego decides: in this process (regopy, compiled once; 0.13 ms a decision) or on an OPA server
(HEADWATER_OPA_URL). Denied unless the engine answers, in time, with an empty list of reasons.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import regopy

from headwater.errors import ConfigurationError
from headwater.policy.model import Caller, Policy, Surface
from headwater.settings import Settings

QUERY = "data.headwater.decision.deny"
OPA_PATH = "/v1/data/headwater/decision/deny"
OPA_SECONDS = 0.25
UNDECIDED = "the policy engine does not decide"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, by which version of the policy; `reasons` is empty where it is allowed."""

    reasons: tuple[str, ...]
    version: str

    @property
    def allowed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


class Engine(Protocol):
    """Evaluates `deny` for an input."""

    def reasons(self, question: Mapping[str, Any]) -> object:
        """The value of `deny`. Whatever is no list, or is raised, denies."""


class RegoEngine:
    """The decision in this process. Raises `ConfigurationError` for a text that is no Rego."""

    def __init__(self, rego: str) -> None:
        self._lock = threading.Lock()
        try:
            self._interpreter = regopy.Interpreter()
            self._interpreter.add_module("decision", rego)
            self._bundle = self._interpreter.build(QUERY)
        except regopy.RegoError as error:
            first = str(error).split("errormsg", 1)[-1].splitlines()[0].strip(" )")
            raise ConfigurationError(
                f"the decision is no Rego: {first}", where="decision.rego", remedy="`headwater policy test`"
            ) from error

    def reasons(self, question: Mapping[str, Any]) -> object:
        """The value of `deny`."""
        with self._lock:
            self._interpreter.set_input(dict(question))
            output = self._interpreter.query_bundle(self._bundle)
            return output.results[0].expressions[0] if output.ok() and output.results else None


class OpaEngine:
    """The decision on an OPA server that has decision.rego loaded."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=OPA_SECONDS)

    def reasons(self, question: Mapping[str, Any]) -> object:
        """The value of `deny`; raises httpx's errors."""
        answer = self._client.post(OPA_PATH, json={"input": question})
        answer.raise_for_status()
        return answer.json().get("result")


class Decider:
    """Decides for one version of the policy."""

    def __init__(self, policy: Policy, engine: Engine) -> None:
        self.policy = policy
        self._engine = engine

    def decide(
        self,
        caller: Caller,
        surface: Surface,
        tool: str,
        purpose: str = "",
        *,
        scopes: Sequence[str] = ("*",),
        expires: float = 0,
    ) -> Decision:
        """Whether it is allowed; without a `purpose` the first one of the role counts. Raises nothing."""
        role = caller.role
        question = {
            "caller": {"name": caller.name, "role": role.name, "groups": list(caller.groups)},
            "role": {"purposes": list(role.purposes), "surfaces": [str(surface) for surface in role.surfaces]},
            "surface": str(surface),
            "tool": tool,
            "purpose": purpose or role.purposes[0],
            "scopes": list(scopes),
            "now": int(time.time()),
            "expires": int(expires),
        }
        return Decision(ask(self._engine, question), self.policy.version)


def ask(engine: Engine, question: Mapping[str, Any]) -> tuple[str, ...]:
    """The reasons against; one of them is `UNDECIDED` for whatever goes wrong."""
    try:
        found = engine.reasons(question)
    except Exception as error:  # noqa: BLE001 - whatever it is, nobody has allowed anything
        return (f"{UNDECIDED}: {type(error).__name__}",)
    if not isinstance(found, list) or not all(isinstance(reason, str) for reason in found):
        return (UNDECIDED,)
    return tuple(sorted(found))


def engine_of(settings: Settings, policy: Policy) -> Engine:
    """The engine that the settings ask for."""
    return OpaEngine(settings.opa_url) if settings.opa_url else RegoEngine(policy.rego)
