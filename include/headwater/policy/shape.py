"""The shape of a policy file, as JSON schema, and its faults with file, line and remedy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema

from headwater.contracts.document import Document, NodePath
from headwater.errors import ContractError
from headwater.policy.model import Mask, Surface

_NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,40}$"}
_TEXT = {"type": "string", "minLength": 3}
# YAML reads a bare null as nothing; it means the mask.
_MASK = {"enum": [*(str(mask) for mask in Mask), None]}
_COUNT = {"type": "integer", "minimum": 1}
_VALUES = {"type": "array", "items": {"type": ["integer", "string"]}, "uniqueItems": True}
_MASKED = ("confidential", "restricted")


def _mapping(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": _NAME, "additionalProperties": values}


def _record(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


_ROLE = _record(
    {
        "description": _TEXT,
        "purposes": {"type": "array", "items": _NAME, "minItems": 1, "uniqueItems": True},
        "surfaces": {"type": "array", "items": {"enum": [str(s) for s in Surface]}, "minItems": 1, "uniqueItems": True},
        "limits": _record(
            {"rows": _COUNT, "bytes": _COUNT, "seconds": _COUNT, "queries_per_hour": _COUNT},
            {"requests_per_minute": _COUNT, "rows_per_minute": _COUNT},
        ),
        "masks": _record(dict.fromkeys(_MASKED, _MASK), {"internal": _MASK, "public": _MASK}),
    },
    {"datasets": _mapping(_record({}, {"rows": _TEXT, "columns": _mapping(_MASK)}))},
)
FILE = _record(
    {},
    {
        "attributes": _mapping(_record({"type": {"enum": ["long", "string"]}, "description": _TEXT})),
        "purposes": _mapping(_TEXT),
        "roles": _mapping(_ROLE),
        "groups": _mapping(_record({"role": _NAME}, {"attributes": _mapping(_VALUES)})),
    },
)
_VALIDATOR = jsonschema.Draft202012Validator(FILE)


def shape_errors(document: Document) -> Iterator[ContractError]:
    """What is not in the shape of a policy file."""
    for error in _VALIDATOR.iter_errors(document.data):
        cause = jsonschema.exceptions.best_match([error]) or error
        at: NodePath = tuple(cause.absolute_path)
        if cause.validator == "additionalProperties" and isinstance(cause.instance, dict):
            known = cause.schema.get("properties", {})
            for key in cause.instance:
                if key not in known:
                    yield document.error((*at, key), f"unknown key: {key}", f"known are: {', '.join(known)}")
        elif "propertyNames" in cause.absolute_schema_path:
            yield document.error((*at, str(cause.instance)), cause.message, "small letters, digits and _")
        elif cause.validator == "required":
            yield document.error(at, cause.message, "write it; docs/how-to/decide-who-sees-what.md has the keys")
        else:
            yield document.error(at, cause.message, "correct the value")
