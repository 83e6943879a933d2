"""A dashboard as it is declared, judged against the contracts and what its role may see."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from headwater.contracts.model import Contracts
from headwater.errors import ConfigurationError, TerminalError
from headwater.policy.model import Mask, Policy

HERE = Path(__file__).parent
ROWS = 1000
"""Groups of a chart that says no limit."""


class Kind(StrEnum):
    """How a chart looks."""

    NUMBER = "number"
    LINE = "line"
    BAR = "bar"
    PIE = "pie"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. `time` is the mart's date; `by` what it is put into; `measures` are aggregates by their labels."""

    name: str
    title: str
    kind: Kind
    dataset: str
    measures: dict[str, str]
    time: str = ""
    by: tuple[str, ...] = ()
    limit: int = ROWS
    order: str = "measure"
    unit: str = ""

    def sql(self, during: str = "") -> str:
        """The SELECT in ClickHouse's words over the role's database; `during` is a condition on `time`."""
        groups = [self.time] if self.kind is Kind.LINE else list(self.by)
        figures = [f'{expression} AS "{label}"' for label, expression in self.measures.items()]
        lines = ["SELECT " + ", ".join([*groups, *figures]), f"FROM {self.dataset}"]
        if self.time and during:
            lines.append(f"WHERE {during}")
        if groups:
            first = f'"{next(iter(self.measures))}" DESC'
            by_group = self.kind is Kind.LINE or self.order == "by"
            order = [*groups] if by_group else [first, *groups]
            lines += ["GROUP BY " + ", ".join(groups), "ORDER BY " + ", ".join(order), f"LIMIT {self.limit}"]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Charts that one role may see; `begin` and `end` are the days it opens with."""

    name: str
    title: str
    description: str
    role: str
    begin: str
    end: str
    charts: tuple[Chart, ...]


_TEXT = {"type": "string", "minLength": 1}
_CHART = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "title", "kind", "dataset", "measures"],
    "properties": {
        **dict.fromkeys(("name", "title", "dataset", "time", "unit"), _TEXT),
        "kind": {"enum": [str(kind) for kind in Kind]},
        "measures": {"type": "object", "minProperties": 1, "additionalProperties": _TEXT},
        "by": {"type": "array", "items": _TEXT, "minItems": 1},
        "limit": {"type": "integer", "minimum": 1, "maximum": ROWS},
        "order": {"enum": ["by", "measure"]},
    },
}
_SHAPE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "title", "description", "role", "from", "to", "charts"],
    "properties": {
        **dict.fromkeys(("name", "title", "description", "role", "from", "to"), _TEXT),
        "charts": {"type": "array", "items": _CHART, "minItems": 1},
    },
}


def dashboards() -> list[str]:
    """Names of those that are declared."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def load_dashboard(name: str, contracts: Contracts, policy: Policy) -> Dashboard:
    """One of them. Raises `TerminalError` for one that is not there, `ConfigurationError` for one that is wrong."""
    path = HERE / f"{name}.yaml"
    if name not in dashboards():
        raise TerminalError(f"there is no dashboard '{name}'", remedy=f"known are: {', '.join(dashboards())}")
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        jsonschema.validate(given, _SHAPE)
    except jsonschema.ValidationError as error:
        raise ConfigurationError(error.message, where=f"{path.name}: {error.json_path}", remedy="correct it") from None
    charts = tuple(_chart(one) for one in given["charts"])
    for chart in charts:
        if fault := _fault(chart, given["role"], contracts, policy):
            raise ConfigurationError(fault, where=f"{path.name}: {chart.name}", remedy="correct the chart")
    return Dashboard(name, given["title"], given["description"], given["role"], given["from"], given["to"], charts)


def _chart(given: dict[str, Any]) -> Chart:
    return Chart(**{**given, "kind": Kind(given["kind"]), "by": tuple(given.get("by", ()))})


def _fault(chart: Chart, role: str, contracts: Contracts, policy: Policy) -> str:
    view = policy.roles[role].views.get(chart.dataset) if role in policy.roles else None
    if view is None or chart.dataset not in contracts.datasets:
        return f"the role {role} sees no dataset {chart.dataset}"
    for name in (*chart.by, *([chart.time] if chart.time else [])):
        if view.masks.get(name) is not Mask.PLAIN:
            return f"the role {role} does not see {name} of {chart.dataset} as it is"
    if chart.kind is Kind.LINE and not chart.time:
        return "a line needs a time"
    return ""
