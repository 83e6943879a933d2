"""`headwater policy test`: the cases of tests/decision.yaml, and whether each rule of the decision is held by one.

Coverage is by mutation: a rule is left out, and a case must fail. Rules are what stands between blank lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.contracts.document import read_document
from headwater.errors import ConfigurationError
from headwater.policy.decision import Engine, RegoEngine, ask

CASES = Path("tests") / "decision.yaml"
_NO_RULE = re.compile(r"(?:#[^\n]*\n)*\s*(?:package|import)\b")


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of it: cases, those that failed (with what was said instead), rules, those no case holds."""

    cases: int
    failed: Mapping[str, str]
    rules: int
    uncovered: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all is well."""
        return not self.failed and not self.uncovered


def run_cases(rego: str, directory: Path) -> Tested:
    """Run the cases on the decision in process. Raises `ConfigurationError` where it, or the cases, cannot be read."""
    document = read_document(directory / CASES)
    asked, cases = document.data.get("asked"), document.data.get("cases")
    if not isinstance(asked, dict) or not isinstance(cases, list) or not cases:
        raise ConfigurationError("it has no `asked` or no `cases`", where=str(document.path), remedy="write both")
    blocks = [block for block in re.split(r"\n\s*\n", rego) if block.strip()]
    rules = [block for block in blocks if not _NO_RULE.match(block)]
    uncovered = []
    for rule in rules:
        without = "\n\n".join(block for block in blocks if block is not rule)
        if not _failed(_engine_without(without), asked, cases):
            uncovered.append(next(line for line in rule.splitlines() if not line.startswith("#")))
    return Tested(len(cases), _failed(RegoEngine(rego), asked, cases), len(rules), tuple(uncovered))


def _engine_without(rego: str) -> Engine:
    try:
        return RegoEngine(rego)
    except ConfigurationError:
        return _Broken()


class _Broken:
    """A decision that is no Rego without the rule: every case that allows something fails."""

    def reasons(self, question: Mapping[str, Any]) -> object:
        return None


def _failed(engine: Engine, asked: Mapping[str, Any], cases: list[dict[str, Any]]) -> dict[str, str]:
    failed = {}
    for case in cases:
        said = ask(engine, {**asked, **case.get("change", {})})
        if said != tuple(sorted(case["deny"])):
            failed[str(case["name"])] = ", ".join(said) or "allowed"
    return failed
