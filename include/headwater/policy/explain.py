"""What somebody sees of a dataset, and why: the same policy that compiled the views, in words."""

from __future__ import annotations

import re
from typing import Any

from headwater.contracts.model import Dataset
from headwater.errors import TerminalError
from headwater.policy.decision import Decider
from headwater.policy.model import Caller, Mask, Policy


def explain(policy: Policy, decider: Decider, caller: Caller, dataset: Dataset) -> dict[str, Any]:
    """The facts, for JSON: role, where to read, columns with mask and reason, rows, limits, purposes, decisions.

    Raises `TerminalError` for a dataset that has no table in ClickHouse.
    """
    if dataset.warehouse is None and dataset.live is None:
        raise TerminalError(
            f"dataset {dataset.name} has no ClickHouse table",
            where=str(dataset.path),
            remedy="nobody reads it through the policy; gold and live tables are",
        )
    role = caller.role
    view = role.views.get(dataset.name)
    decisions = {
        str(surface): list(decider.decide(caller, surface, "query").reasons) for surface in role.surfaces if view
    }
    facts: dict[str, Any] = {
        "identity": caller.name,
        "groups": list(caller.groups),
        "role": role.name,
        "dataset": dataset.name,
        "policy": policy.version,
        "seen": view is not None,
        "why": f"the contract names the role {role.name}"
        if view
        else f"the contract's roles ({', '.join(dataset.roles) or 'none'}) do not name {role.name}",
    }
    if view is None:
        return facts
    used = [name for name in policy.attributes if re.search(rf"\buser\.{name}\b", view.rows)]
    return {
        **facts,
        "table": f"{role.database}.{dataset.name}",
        "rows": view.rows or None,
        "attributes": {name: list(caller.attributes.get(name, ())) for name in used},
        "columns": {name: str(mask) for name, mask in view.masks.items()},
        "because": {name: _because(dataset, name, role.name) for name in view.masked},
        "limits": {"rows": role.limits.rows, "bytes": role.limits.bytes, "seconds": role.limits.seconds},
        "purposes": list(role.purposes),
        "surfaces": {name: f"denied: {', '.join(why)}" if why else "allowed" for name, why in decisions.items()},
    }


def _because(dataset: Dataset, name: str, role: str) -> str:
    column = next((column for column in dataset.columns if column.name == name), None)
    classified = column.classification if column else "internal"
    if classified in ("confidential", "restricted"):
        return f"it is {classified}"
    return f"the policy masks it for {role}"


def lines(facts: dict[str, Any]) -> list[str]:
    """The same for a person."""
    who = f"{facts['identity']} is in {', '.join(facts['groups']) or 'no group'} and so has the role {facts['role']}"
    head = [f"{who} (policy {facts['policy']})"]
    if not facts["seen"]:
        return [*head, f"{facts['dataset']} is not seen: {facts['why']}"]
    rows = facts["rows"] or "all"
    if facts["attributes"]:
        told = (f"{name} = {values or 'none, so no row'}" for name, values in facts["attributes"].items())
        rows += "; " + ", ".join(told)
    masked = [f"  {name}: {facts['columns'][name]}, because {why}" for name, why in facts["because"].items()]
    plain = [name for name, mask in facts["columns"].items() if mask == Mask.PLAIN]
    limits = facts["limits"]
    return [
        *head,
        f"{facts['dataset']} is seen as {facts['table']}: {facts['why']}",
        f"rows: {rows}",
        f"plain: {', '.join(plain) or 'nothing'}",
        *(["masked:", *masked] if masked else ["masked: nothing"]),
        f"an answer has at most {limits['rows']:,} rows, {limits['bytes']:,} bytes and takes {limits['seconds']} s",
        f"purposes: {', '.join(facts['purposes'])}",
        *(f"{surface}: {said}" for surface, said in facts["surfaces"].items()),
    ]
