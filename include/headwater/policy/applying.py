"""The policy into ClickHouse, and back out: what would change, and which policy is in force.

`platform.policy` holds every policy that was applied; the newest is in force on every surface. It is written last, so
a policy whose views failed is not in force.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass

from clickhouse_connect.driver.client import Client

from headwater.contracts.model import Contracts
from headwater.errors import TerminalError
from headwater.policy.bundle import APPLIED, NEWEST, policy_of
from headwater.policy.masks import KEY_TABLE, KEYS_DATABASE
from headwater.policy.model import DATABASE_PREFIX, Policy
from headwater.policy.server import DEFINER, definer_statements, role_statements
from headwater.policy.views import MARK, secured_views
from headwater.semantics.views import metric_views

EMBEDDED_DEFINER = "default"
"""chDB's one user."""

CREATE = (
    "CREATE DATABASE IF NOT EXISTS platform",
    f"CREATE TABLE IF NOT EXISTS {APPLIED} (version String, applied_at DateTime64(6, 'UTC') DEFAULT now64(6), "
    "policy String COMMENT 'JSON: roles, groups, attributes, purposes, and the decision in Rego') "
    "ENGINE = MergeTree ORDER BY applied_at",
    f"CREATE DATABASE IF NOT EXISTS {KEYS_DATABASE}",
    f"CREATE TABLE IF NOT EXISTS {KEY_TABLE} (key String) ENGINE = MergeTree ORDER BY tuple()",
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that applying does: what for a person, and the statement."""

    what: str
    sql: str


def is_embedded(client: Client) -> bool:
    """Whether this is the embedded endpoint and no ClickHouse server."""
    return bool(client.command("SELECT count() FROM system.functions WHERE name = 'chdb'"))


def plan(client: Client, policy: Policy, contracts: Contracts, *, embedded: bool) -> list[Step]:
    """What `apply` would do; empty where this policy is in force with all its views."""
    definer = EMBEDDED_DEFINER if embedded else DEFINER
    present = _present(client)
    views = [*secured_views(policy, contracts), *metric_views(policy, contracts)]
    wanted = {(view.database, view.name): view for view in views}
    steps = [Step(f"create {d}", f"CREATE DATABASE IF NOT EXISTS `{d}`") for d in _new_databases(client, policy)]
    for place, view in wanted.items():
        if present.get(place) != f"{MARK} {view.digest}":
            verb = "replace" if place in present else "create"
            steps.append(Step(f"{verb} {view.database}.{view.name}", view.statement(definer)))
    for database, name in sorted(set(present) - set(wanted)):
        steps.append(Step(f"drop {database}.{name}", f"DROP VIEW IF EXISTS `{database}`.`{name}`"))
    current = applied(client)
    if not steps and current is not None and current.version == policy.version:
        return []
    if not embedded:
        before = [Step("the definer of the views", sql) for sql in definer_statements()]
        after = [Step(f"rights of {role.name}", sql) for role in policy.roles.values() for sql in role_statements(role)]
        steps = [*before, *steps, *after]
    return [*steps, Step(f"policy {policy.version} in force", "")]


def apply(
    client: Client,
    policy: Policy,
    contracts: Contracts,
    *,
    embedded: bool,
    mask_key: Callable[[], str] = lambda: secrets.token_hex(32),
) -> list[Step]:
    """Do what `plan` says; returns it. `mask_key` is asked for where ClickHouse has no key of hashes yet."""
    for statement in CREATE:
        client.command(statement)
    if not client.command(f"SELECT count() FROM {KEY_TABLE}"):  # noqa: S608
        client.insert(KEY_TABLE, [[mask_key()]], column_names=["key"])
    steps = plan(client, policy, contracts, embedded=embedded)
    for step in steps:
        if step.sql:
            client.command(step.sql)
    if steps:
        _put_in_force(client, policy)
    return steps


def _put_in_force(client: Client, policy: Policy) -> None:
    """Write the policy as the newest, whatever the clock says. Raises `TerminalError` where another one is in force."""
    newest = (
        f"SELECT toUnixTimestamp64Micro(greatest(now64(6), max(applied_at) + toIntervalMicrosecond(1))) FROM {APPLIED}"  # noqa: S608
    )
    row = [policy.version, int(client.query(newest).result_rows[0][0]), json.dumps(asdict(policy), ensure_ascii=False)]
    client.insert(APPLIED, [row], column_names=["version", "applied_at", "policy"])
    current = applied(client)
    if current is None or current.version != policy.version:
        found = f"policy {current.version}" if current else "no policy"
        raise TerminalError(
            f"policy {policy.version} was written, and {found} is in force",
            where=APPLIED,
            remedy="somebody else applies another one; agree, and run `headwater policy apply` again",
        )


def applied(client: Client) -> Policy | None:
    """The policy in force, or None before the first `apply`."""
    text = applied_text(client)
    return policy_of(text) if text else None


def applied_text(client: Client) -> str:
    """The policy in force as it is kept, or nothing before the first `apply`."""
    if not client.command(f"EXISTS TABLE {APPLIED}"):
        return ""
    rows = client.query(NEWEST).result_rows
    return str(rows[0][0]) if rows else ""


def _present(client: Client) -> dict[tuple[str, str], str]:
    """The views in roles' databases: their comments by place."""
    sql = "SELECT database, name, comment FROM system.tables WHERE startsWith(database, {prefix:String})"
    return {(d, name): comment for d, name, comment in client.query(sql, {"prefix": DATABASE_PREFIX}).result_rows}


def _new_databases(client: Client, policy: Policy) -> list[str]:
    names = {row[0] for row in client.query("SELECT name FROM system.databases").result_rows}
    return [role.database for role in policy.roles.values() if role.database not in names]
