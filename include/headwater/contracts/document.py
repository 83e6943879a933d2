"""A YAML file with the line of every value in it, so that an error can say where.

A path is a tuple of keys and indexes from the top: `("schema", 0, "properties", 3, "physicalType")`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from headwater.errors import ContractError

NodePath = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A parsed file: `data` as plain dicts and lists, and the positions of its parts."""

    path: Path
    data: dict[str, Any]
    _node: Any

    def line(self, at: NodePath) -> int:
        """Line (from 1) of the value at this path; of its nearest parent where the path leads nowhere."""
        node, line = self._node, 1
        for step in at:
            try:
                line = _line_of(node, step)
                node = node[step]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
        return line

    def error(self, at: NodePath, what: str, remedy: str = "") -> ContractError:
        """A `ContractError` that points at this path."""
        return ContractError(what, where=f"{self.path}:{self.line(at)}", remedy=remedy)


def read_document(path: Path) -> Document:
    """Parse a YAML file. Raises `ContractError` where it is missing, not YAML, has a key twice or is no mapping."""
    try:
        node = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ContractError(f"cannot read the contract: {error.strerror}", where=str(path)) from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = (error.problem or "not YAML").splitlines()[0]
        raise ContractError(
            f"not valid YAML: {problem}", where=f"{path}:{line}", remedy="correct the syntax"
        ) from error
    if not isinstance(node, Mapping):
        raise ContractError("the file is no mapping", where=f"{path}:1", remedy="begin with `apiVersion: v3.2.0`")
    return Document(path=path, data=_plain(node), _node=node)


def _line_of(node: Any, step: str | int) -> int:
    position = node.lc.item(step) if isinstance(step, int) else node.lc.key(step)
    return int(position[0]) + 1


def _plain(node: Any) -> Any:
    """The same value without ruamel's own classes."""
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, str):
        return str(node)
    if isinstance(node, Sequence):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, int):
        return int(node)
    return float(node) if isinstance(node, float) else node
