"""A YAML file with the line of every value in it, so that an error can say where.

A path is a tuple of keys and indexes from the top: `("schema", 0, "properties", 3, "physicalType")`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headwater.errors import ContractError

NodePath = tuple[str | int, ...]

# libyaml reads a contract in a twentieth of the time that a parser in Python takes; every job reads all contracts.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class Document:
    """A parsed file: `data` as plain dicts and lists, and the lines (from 1) of its parts by their paths."""

    path: Path
    data: dict[str, Any]
    lines: Mapping[NodePath, int]

    def line(self, at: NodePath) -> int:
        """Line (from 1) of the value at this path; of its nearest parent where the path leads nowhere."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)

    def error(self, at: NodePath, what: str, remedy: str = "") -> ContractError:
        """A `ContractError` that points at this path."""
        return ContractError(what, where=f"{self.path}:{self.line(at)}", remedy=remedy)


def read_document(path: Path) -> Document:
    """Parse a YAML file. Raises `ContractError` where it is missing, not YAML, has a key twice or is no mapping."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=LOADER)
    except OSError as error:
        raise ContractError(f"cannot read the contract: {error.strerror}", where=str(path)) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = (error.problem or "not YAML").splitlines()[0]
        where = f"{path}:{line}"
        raise ContractError(f"not valid YAML: {problem}", where=where, remedy="correct the syntax") from error
    if not isinstance(node, yaml.MappingNode):
        raise ContractError("the file is no mapping", where=f"{path}:1", remedy="begin with `apiVersion: v3.2.0`")
    lines: dict[NodePath, int] = {}
    return Document(path=path, data=_value(path, node, (), lines), lines=lines)


def _value(path: Path, node: yaml.Node, at: NodePath, lines: dict[NodePath, int]) -> Any:
    """The node as a plain value; notes the line of every part."""
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            place = (*at, str(key.value))
            if key.value in found:
                raise _twice(path, key)
            lines[place] = key.start_mark.line + 1
            found[str(key.value)] = _value(path, value, place, lines)
        return found
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            lines[*at, i] = item.start_mark.line + 1
        return [_value(path, item, (*at, i), lines) for i, item in enumerate(node.value)]
    return _scalar(node)


def _twice(path: Path, key: yaml.Node) -> ContractError:
    where = f"{path}:{key.start_mark.line + 1}"
    return ContractError(f"not valid YAML: key '{key.value}' is there twice", where=where, remedy="keep one")


def _scalar(node: Any) -> Any:
    """A scalar by YAML 1.2: `no`, `on` and 2000-01-01 are text, as the standard's JSON schema wants them."""
    text: str = node.value
    if node.style:  # quoted, or a block
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
