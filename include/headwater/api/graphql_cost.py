"""What a GraphQL question may cost, counted before it is run."""

from __future__ import annotations

from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
)

MOST = 10_000
_LISTS = {"datasets": 50, "metrics": 50, "upstream": 20, "downstream": 20}
"""Fields that hold several, and how many where `first` is not said."""
_ROWS = {"rows": 100, "values": 100}
_FIRST = "first"
_UNKNOWN = 1000
"""What a variable may hold at most."""


class Costs(ValidationRule):
    """Refuses an operation that costs more than `MOST`."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._fragments = {
            node.name.value: node for node in context.document.definitions if isinstance(node, FragmentDefinitionNode)
        }

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> None:
        """Judge one operation."""
        cost = self._of(node.selection_set, frozenset())
        if cost > MOST:
            self.report_error(GraphQLError(f"this costs {cost}, and {MOST} is the most: ask for less", node))

    def _of(self, selections: SelectionSetNode | None, seen: frozenset[str]) -> int:
        cost = 0
        for one in selections.selections if selections else ():
            if isinstance(one, FieldNode):
                cost += self._field(one, seen)
            elif isinstance(one, InlineFragmentNode):
                cost += self._of(one.selection_set, seen)
            elif isinstance(one, FragmentSpreadNode) and one.name.value not in seen:
                fragment = self._fragments.get(one.name.value)
                cost += self._of(fragment.selection_set, seen | {one.name.value}) if fragment else 0
            if cost > MOST * 1000:
                break
        return cost

    def _field(self, field: FieldNode, seen: frozenset[str]) -> int:
        name = field.name.value
        if name.startswith("__"):
            return 1
        inside = self._of(field.selection_set, seen)
        if name in _ROWS:
            return 10 + self._first(field, _ROWS[name]) + inside
        return 1 + (self._first(field, _LISTS[name]) * inside if name in _LISTS else inside)

    @staticmethod
    def _first(field: FieldNode, usual: int) -> int:
        for argument in field.arguments or ():
            if argument.name.value == _FIRST:
                return int(argument.value.value) if isinstance(argument.value, IntValueNode) else _UNKNOWN
        return usual
