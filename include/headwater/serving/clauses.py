"""What a statement may be made of, by the names of sqlglot's nodes; functions are judged by `allowed`."""

from __future__ import annotations

_NODES = """
Select From Where Group Having Order Ordered Limit Offset Join Table TableAlias Subquery With CTE Union Except
Intersect SetOperation Distinct Alias Aliases Column Identifier Star Literal Null Boolean Paren Tuple Array Lambda
Placeholder Parameter Add Sub Mul Div IntDiv Mod Neg EQ NEQ GT GTE LT LTE NullSafeEQ NullSafeNEQ And Or Not Is In
Between Like ILike RegexpLike Case If Cast TryCast DataType DataTypeParam Interval IntervalSpan Var Window WindowSpec
Filter Bracket Slice Dot DPipe Exists All Any Lateral Unnest PreWhere Final LimitOptions Fetch Rollup Cube
GroupingSets WithFill Kwarg PropertyEQ CombinedAggFunc CombinedParameterizedAgg ParameterizedAgg AnonymousAggFunc
NamedWindow ArrayJoin Qualify BitwiseAnd BitwiseOr BitwiseXor Xor Collate AtTimeZone JSONPath Pseudocolumn Sample
Interpolate Escape WithinGroup Anonymous HexString
"""
ALLOWED_CLAUSES = frozenset(_NODES.split())
