"""`headwater policy check|test|plan|apply|explain`: who sees what of which dataset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from headwater.console import Json, console, noun, say, table
from headwater.contracts.loader import load_contracts
from headwater.errors import ConfigurationError, TerminalError
from headwater.policy.loader import load_policy
from headwater.policy.model import Policy
from headwater.settings import get_settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

app = noun("Who sees what of which dataset.")


@app.command()
def check(as_json: Json = False) -> None:
    """Judge the policy's files together with the contracts."""
    policy = load_policy()
    views = [(role.name, view) for role in policy.roles.values() for view in role.views.values()]
    facts = {
        "version": policy.version,
        "roles": {role.name: sorted(role.views) for role in policy.roles.values()},
        "groups": {group.name: group.role for group in policy.groups.values()},
    }

    def show() -> None:
        rows = table("role", "dataset", "rows", "masked")
        for role, view in views:
            masked = ", ".join(f"{name} ({mask})" for name, mask in view.masked.items())
            rows.add_row(role, view.table, view.rows, masked)
        console().print(rows)
        typer.echo(f"policy {policy.version} is sound: {len(policy.roles)} roles, {len(views)} views")

    say(as_json, facts, show)


@app.command("test")
def run_tests(as_json: Json = False) -> None:
    """Run the decision's cases, and see that each of its rules is held by one."""
    from headwater.policy.testing import run_cases

    directory = get_settings().policies_dir
    tested = run_cases(load_policy().rego, directory)
    text = f"{tested.cases} cases, {tested.rules} rules: all hold"
    if not tested.passed:
        wrong = [f"case '{name}' said: {said}" for name, said in tested.failed.items()]
        wrong += [f"no case fails without: {rule}" for rule in tested.uncovered]
        text = "\n".join(wrong)
    say(as_json, asdict(tested), text)
    if not tested.passed:
        raise typer.Exit(1)


@app.command()
def plan(
    server: Annotated[bool, typer.Option(help="The whole SQL for a ClickHouse server, asking none.")] = False,
    as_json: Json = False,
) -> None:
    """Say what `apply` would do, and do nothing."""
    from headwater.policy import applying

    policy, contracts = load_policy(), load_contracts()
    if server:
        from headwater.policy.server import DEFINER, definer_statements, role_statements
        from headwater.policy.views import secured_views
        from headwater.semantics.views import metric_views

        after = [sql for _, role in sorted(policy.roles.items()) for sql in role_statements(role)]
        databases = [f"CREATE DATABASE IF NOT EXISTS `{role.database}`" for role in policy.roles.values()]
        both = (*secured_views(policy, contracts), *metric_views(policy, contracts))
        views = [view.statement(DEFINER) for view in both]
        statements = [*applying.CREATE, *definer_statements(), *databases, *views, *after]
        say(as_json, statements, ";\n\n".join(statements) + ";")
        return
    with _writer() as client:
        steps = applying.plan(client, policy, contracts, embedded=applying.is_embedded(client))
    say(as_json, [asdict(step) for step in steps], "\n".join(step.what for step in steps) or "nothing to do")


@app.command()
def apply(as_json: Json = False) -> None:
    """Bring ClickHouse up to the policy; from then on every surface follows it. Repeating it changes nothing."""
    from headwater.audit.by_command import on_record
    from headwater.identity.kept_secrets import mask_key
    from headwater.policy import applying

    policy, contracts = load_policy(), load_contracts()
    with on_record("policy.apply", policy.version, policy_version=policy.version), _writer() as client:
        embedded = applying.is_embedded(client)
        steps = applying.apply(client, policy, contracts, embedded=embedded, mask_key=lambda: mask_key(get_settings()))
    done = f"policy {policy.version} is in force"
    say(as_json, [asdict(step) for step in steps], "\n".join([*(step.what for step in steps), done]))


@app.command()
def explain(
    user: Annotated[str, typer.Argument(help="An identity, as `headwater identity list` shows it.")],
    dataset: Annotated[str, typer.Argument(help="A dataset with a gold or live table.")],
    group: Annotated[list[str] | None, typer.Option(help="As if it were in this group; repeat.")] = None,
    as_json: Json = False,
) -> None:
    """Say what somebody sees of a dataset under the policy in force, and why."""
    from headwater.identity.store import IdentityStore
    from headwater.policy.decision import Decider, engine_of
    from headwater.policy.explain import explain as explained
    from headwater.policy.explain import lines

    settings = get_settings()
    policy = _in_force()
    if user == settings.clickhouse_agent_user and not group:
        group = [settings.clickhouse_agent_group]
    attributes = {}
    if not group:
        store = IdentityStore(settings)
        try:
            identity = store.get(user)
        finally:
            store.close()
        if not identity.usable:
            raise TerminalError(f"'{user}' is disabled or expired, and sees nothing")
        group, attributes = list(identity.groups), dict(identity.attributes)
    caller = policy.caller(user, group, attributes)
    decider = Decider(policy, engine_of(settings, policy))
    facts = explained(policy, decider, caller, load_contracts().get(dataset))
    say(as_json, facts, "\n".join(lines(facts)))


def _in_force() -> Policy:
    from headwater.policy.applying import applied
    from headwater.warehouse.client import explained, reader

    client = reader()
    try:
        with explained("the policy in force"):
            policy = applied(client)
    finally:
        client.close()
    if policy is None:
        raise ConfigurationError("no policy is in force", remedy="`headwater policy apply`")
    return policy


@contextmanager
def _writer() -> Iterator[Client]:
    from headwater.warehouse.client import explained, writer

    client = writer()
    try:
        with explained("the policy's views"):
            yield client
    finally:
        client.close()
