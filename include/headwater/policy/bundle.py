"""The policy in force, as ClickHouse keeps it: JSON in `platform.policy`, of which the newest row counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headwater.errors import ConfigurationError
from headwater.policy.model import Attribute, Group, Limits, Mask, Policy, Role, Surface, View

APPLIED = "platform.policy"
NEWEST = f"SELECT policy FROM {APPLIED} ORDER BY applied_at DESC LIMIT 1"  # noqa: S608


def policy_of(text: str) -> Policy:
    """A policy out of its JSON. Raises `ConfigurationError` for one that cannot be read."""
    try:
        given = json.loads(text)
        return Policy(
            version=given["version"],
            attributes={name: Attribute(**one) for name, one in given["attributes"].items()},
            purposes=given["purposes"],
            roles={name: _role(one) for name, one in given["roles"].items()},
            groups={name: _group(one) for name, one in given["groups"].items()},
            rego=given["rego"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            "the policy in force cannot be read", where=APPLIED, remedy="`headwater policy apply`"
        ) from error


def _group(given: Mapping[str, Any]) -> Group:
    attributes = {name: tuple(values) for name, values in given["attributes"].items()}
    return Group(given["name"], given["role"], attributes)


def _role(given: Mapping[str, Any]) -> Role:
    views = {
        name: View(**{**view, "masks": {column: Mask(mask) for column, mask in view["masks"].items()}})
        for name, view in given["views"].items()
    }
    surfaces = tuple(Surface(surface) for surface in given["surfaces"])
    typed = {"views": views, "surfaces": surfaces, "purposes": tuple(given["purposes"])}
    return Role(**{**given, **typed, "limits": Limits(**given["limits"])})
