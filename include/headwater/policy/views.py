"""The compilation: one secured view per dataset and role, in a database per role.

A view runs as its definer, who may read the tables; the role may read nothing but its own database. Rows are
deduplicated (FINAL), then judged by the predicate, then masked.

Where there is a predicate the rows pass a LIMIT that limits nothing. ClickHouse moves conditions of the outer query
down to the table and may evaluate them first, so that `WHERE toInt32(note) = 1` failed with the text of a row which
the predicate would have kept back; nothing moves through a LIMIT.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from headwater.contracts.clickhouse import table_columns, warehouse_tables
from headwater.contracts.model import Contracts, Dataset
from headwater.policy.masks import KEY, KEY_TABLE, TABLE, masked
from headwater.policy.model import Mask, Policy, Role, View
from headwater.policy.predicate import clickhouse_sql, parse

BARRIER = 18446744073709551615
MARK = "policy:"
"""Begins a view's comment, which ends with the digest of its text: so a plan sees what has changed."""


@dataclass(frozen=True, slots=True)
class SecuredView:
    """The view `<database>.<name>`; `digest` names its text. An `invoker`'s reads what whoever asks may read."""

    role: str
    database: str
    name: str
    body: str
    invoker: bool = False

    @property
    def digest(self) -> str:
        """Sixteen hex digits."""
        return hashlib.sha256(self.body.encode()).hexdigest()[:16]

    def statement(self, definer: str) -> str:
        """The DDL; repeating it brings the view up to date."""
        columns, select = self.body.split("\nAS\n", 1)
        security = "SQL SECURITY INVOKER" if self.invoker else f"DEFINER = `{definer}` SQL SECURITY DEFINER"
        return (
            f"CREATE OR REPLACE VIEW `{self.database}`.`{self.name}`\n{columns}\n"
            f"{security}\nAS\n{select}\nCOMMENT '{MARK} {self.digest}'"
        )


def secured_views(policy: Policy, contracts: Contracts) -> Iterator[SecuredView]:
    """Every view of every role."""
    for _, role in sorted(policy.roles.items()):
        for name, view in sorted(role.views.items()):
            yield secured_view(policy, role, view, contracts.get(name))


def secured_view(policy: Policy, role: Role, view: View, dataset: Dataset) -> SecuredView:
    """The view of one dataset for one role."""
    table = warehouse_tables(dataset)[0]
    columns = {column.name: column for column in table_columns(dataset, table)}
    definitions, expressions = [], []
    for name, column in columns.items():
        mask = view.masks[name]
        expression, kind = masked(column, mask, key=name in table.order_by)
        comment = string(column.description + (f" ({mask})" if mask is not Mask.PLAIN else ""))
        definitions.append(f"`{name}` {kind}" + (f" COMMENT {comment}" if comment != "''" else ""))
        expressions.append(f"{expression} AS `{name}`")
    source = view.table + (" FINAL" if "Replacing" in table.engine else "")
    if view.rows:
        predicate = clickhouse_sql(parse(view.rows, columns, policy.attributes), policy.attributes)
        source = f"(SELECT * FROM {source} WHERE {predicate} LIMIT {BARRIER}) AS {TABLE}"  # noqa: S608 (judged)
    else:
        source = f"{view.table} AS {TABLE}" + source.removeprefix(view.table)
    if Mask.HASH in view.masks.values():
        # One row whatever is in it: a second key must not double the rows, and without any there are none.
        source += f"\nCROSS JOIN (SELECT assumeNotNull(min(key)) AS key FROM {KEY_TABLE} HAVING count() > 0) AS {KEY}"  # noqa: S608
    body = (
        "(\n    " + ",\n    ".join(definitions) + "\n)\nAS\n"
        "SELECT\n    " + ",\n    ".join(expressions) + f"\nFROM {source}"
    )
    return SecuredView(role.name, role.database, dataset.name, body)


def string(text: str) -> str:
    """A literal of ClickHouse."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
