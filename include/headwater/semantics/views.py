"""Metrics as views for BI: `metric_<name>` in a role's database, by month and by one dimension at a time.

Rows are (period, dimension, member, value): the figure of the whole in each month, and of each member of each
dimension. So a chart needs no sum over rows, which for ratios and different households would be wrong. A view reads
the role's own views as whoever asks it, so there is nothing new to prove of what it shows.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from headwater.contracts.metrics import parsed
from headwater.contracts.model import Contracts
from headwater.contracts.types import Decimal, Primitive
from headwater.policy.model import Policy, Role, Surface
from headwater.policy.views import SecuredView, string
from headwater.semantics.catalogue import Offer, offers
from headwater.semantics.compiling import compile_question
from headwater.semantics.question import PERIOD, Grain, Question
from headwater.serving.queries import METRIC_PREFIX, in_role

WHOLE = "all"


def metric_views(policy: Policy, contracts: Contracts) -> Iterator[SecuredView]:
    """The view of every metric that a role which asks ClickHouse itself may ask."""
    for _, role in sorted(policy.roles.items()):
        if Surface.CLICKHOUSE in role.surfaces:
            for _, one in offers(contracts, role).items():
                yield metric_view(role, one, contracts)


def metric_view(role: Role, offered: Offer, contracts: Contracts) -> SecuredView:
    """One metric for one role."""
    metric = offered.metric
    grain = Grain.MONTH if metric.time else None
    parts = [_part(role, metric.name, grain, dimension, contracts) for dimension in ("", *offered.dimensions)]
    described = string(f"{metric.label}, {metric.unit}: {metric.description}")
    columns = [f"`{PERIOD}` Date COMMENT 'First day of the month'"] if grain else []
    columns += [
        f"`dimension` String COMMENT {string(f'Choose one: {WHOLE} or ' + ', '.join(offered.dimensions))}",
        "`member` Nullable(String) COMMENT 'Value of the dimension'",
        f"`{metric.name}` {_type(offered, contracts)} COMMENT {described}",
    ]
    body = "(\n    " + ",\n    ".join(columns) + "\n)\nAS\n" + "\nUNION ALL\n".join(parts)
    return SecuredView(role.name, role.database, METRIC_PREFIX + metric.name, body, invoker=True)


def _type(offered: Offer, contracts: Contracts) -> str:
    """The figure's type: what ClickHouse gives for a count, a sum of whole numbers, of decimals, of floats."""
    metric = offered.metric
    if metric.ratio is not None:
        return f"Nullable(Decimal(38, {metric.decimals}))"
    tree = parsed(metric.expression)
    if not tree.find(exp.Sum, exp.Min, exp.Max):
        return "UInt64"
    dataset = contracts.get(metric.dataset)
    kinds = [dataset.column(column.name).type for column in tree.find_all(exp.Column)]
    scales = [kind.scale for kind in kinds if isinstance(kind, Decimal)]
    if any(kind in (Primitive.FLOAT, Primitive.DOUBLE) for kind in kinds):
        return "Nullable(Float64)"
    return f"Nullable(Decimal(38, {max(scales)}))" if scales else "Nullable(Int64)"


def _part(role: Role, metric: str, grain: Grain | None, dimension: str, contracts: Contracts) -> str:
    question = Question((metric,), (dimension,) if dimension else (), grain=grain)
    compiled = compile_question(contracts, question, role)
    period = f"{PERIOD}, " if grain else ""
    figure = compiled.columns[-1]
    member = f"toString({compiled.columns[-2]})" if dimension else "''"
    text = compiled.sql.partition("\nORDER BY ")[0].partition("\nLIMIT ")[0]
    own = in_role(text, role.database, [f"gold.{name}" for name in compiled.datasets])
    name = dimension or WHOLE
    inner = "\n".join(f"    {line}" for line in own.splitlines())
    return f"SELECT {period}'{name}' AS dimension, {member} AS member, {figure} FROM (\n{inner}\n)"  # noqa: S608
