"""What a GraphQL question may cost, counted before it is validated and run.

Fragments are counted once each, in the order in which they hold one another, so that counting takes as long as the
text is. The rules that follow unfold them, level by level: hence there are bounds of how much that is, and how deep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
)
from strawberry.extensions import SchemaExtension

MOST = 10_000
MOST_SELECTIONS = 2_000
"""As many as there may be tokens: without fragments there are never more."""
MOST_LEVELS = 50
"""Of fields and fragments."""
DEEPEST = 6
"""Levels of fields that hold others; the schema's own are bounded by the engine."""
_LISTS = {"datasets": 50, "metrics": 50, "upstream": 20, "downstream": 20}
"""Fields that hold several, and how many where `first` is not said."""
_ROWS = {"rows": 100, "values": 100}
_FIRST = "first"
_UNKNOWN = 1000
"""What a variable may hold at most."""
_BEYOND = 10**9


@dataclass(frozen=True, slots=True)
class Size:
    """What some selections cost, how many they are with their fragments unfolded, of how many levels."""

    cost: int = 0
    selections: int = 0
    levels: int = 0
    depth: int = 0


class Bounds(SchemaExtension):
    """Refuses, unvalidated, what is too dear or too deep."""

    def on_validate(self) -> Iterator[None]:
        """Judge the document, before the rules do."""
        document = self.execution_context.graphql_document
        if document is not None and not self.execution_context.pre_execution_errors:
            try:
                self.execution_context.pre_execution_errors = judged(document) or None
            except GraphQLError as error:
                self.execution_context.pre_execution_errors = [error]
        yield


def judged(document: DocumentNode) -> list[GraphQLError]:
    """What is beyond a bound. Raises `GraphQLError` for fragments that hold themselves or are not there."""
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    sizes: dict[str, Size] = {}
    for name in _ordered({name: set(_spreads(one.selection_set)) for name, one in fragments.items()}):
        sizes[name] = _size(fragments[name].selection_set, sizes)
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    asked = [_size(one.selection_set, sizes) for one in operations]
    cost = max((one.cost for one in asked), default=0)
    found = []
    if cost > MOST:
        found.append(f"this costs {min(cost, _BEYOND)}, and {MOST} is the most: ask for less")
    if sum(one.selections for one in asked) > MOST_SELECTIONS:
        found.append(f"with its fragments this has more than {MOST_SELECTIONS} selections: ask for less")
    if any(one.depth > DEEPEST or one.levels > MOST_LEVELS for one in asked):
        found.append(f"this exceeds the depth of {DEEPEST} levels, or with its fragments of {MOST_LEVELS}")
    return [GraphQLError(text) for text in found]


def _ordered(held: Mapping[str, set[str]]) -> Iterator[str]:
    """Fragments, each behind those it holds."""
    try:
        order = list(TopologicalSorter(held).static_order())
    except CycleError as error:
        raise GraphQLError(f"fragment {error.args[1][0]} holds itself") from None
    return (name for name in order if name in held)


def _spreads(selections: SelectionSetNode) -> Iterator[str]:
    left = [selections]
    while left:
        for one in left.pop().selections:
            if isinstance(one, FragmentSpreadNode):
                yield one.name.value
            elif isinstance(one, FieldNode | InlineFragmentNode) and one.selection_set:
                left.append(one.selection_set)


def _size(selections: SelectionSetNode | None, fragments: Mapping[str, Size]) -> Size:
    """Nested as deep as the parser lets it: 200 levels."""
    cost = count = levels = depth = 0
    for one in selections.selections if selections else ():
        if isinstance(one, FragmentSpreadNode):
            if one.name.value not in fragments:
                raise GraphQLError(f"there is no fragment {one.name.value}", one)
            size = fragments[one.name.value]
        elif isinstance(one, InlineFragmentNode):
            size = _size(one.selection_set, fragments)
        elif isinstance(one, FieldNode):
            size = _field(one, fragments)
        cost += size.cost
        count += size.selections + 1
        levels = max(levels, size.levels + 1)
        depth = max(depth, size.depth)
    return Size(cost, count, levels, depth)


def _field(field: FieldNode, fragments: Mapping[str, Size]) -> Size:
    name = field.name.value
    inside = _size(field.selection_set, fragments)
    if name.startswith("__"):
        return replace(inside, cost=1, depth=0)
    inside = replace(inside, depth=inside.depth + 1 if field.selection_set else 0)
    if name in _ROWS:
        return replace(inside, cost=10 + _first(field, _ROWS[name]) + inside.cost)
    times = _first(field, _LISTS[name]) if name in _LISTS else 1
    return replace(inside, cost=1 + times * inside.cost)


def _first(field: FieldNode, usual: int) -> int:
    """How many are asked for; what is refused later (less than one, none) is as dear as what a variable may hold."""
    for argument in field.arguments or ():
        if argument.name.value == _FIRST:
            value = argument.value
            said = value.value if isinstance(value, IntValueNode) else ""
            return int(said) if said.isdigit() and len(said) <= len(str(MOST)) and int(said) else _UNKNOWN
    return usual
