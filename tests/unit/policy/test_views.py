"""The compiled SQL, held by golden files; a real server has not run them.

HEADWATER_TEST_REWRITE=1 writes them anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from typer.testing import CliRunner

from headwater.contracts.loader import load_contracts
from headwater.policy.commands import app
from headwater.policy.loader import load_policy
from headwater.policy.masks import KEY_TABLE
from headwater.policy.server import DEFINER, definer_statements, role_statements, user_statements
from headwater.policy.views import BARRIER, secured_views

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).parent / "golden"
CONTRACTS = load_contracts()
POLICY = load_policy(contracts=CONTRACTS)
VIEWS = {(view.role, view.name): view for view in secured_views(POLICY, CONTRACTS)}


def golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("HEADWATER_TEST_REWRITE"):
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("role", "dataset"),
    [("analyst", "dim_household"), ("store_manager", "transactions"), ("marketer", "fct_sales")],
)
def test_a_view(role, dataset):
    golden(f"{role}.{dataset}.sql", VIEWS[role, dataset].statement(DEFINER) + "\n")


def test_what_a_server_needs_besides():
    caller = POLICY.caller("o'hara", ["store_managers"], {"stores": [1, 2]})
    statements = [
        *definer_statements(),
        *(s for role in POLICY.roles.values() for s in role_statements(role)),
        *user_statements(caller),
    ]
    golden("server.sql", ";\n".join(statements) + ";\n")


def test_the_agent_of_the_compose_file_has_its_roles_limits():
    text = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["configs"]["reader"]["content"]
    profile = ElementTree.fromstring(text).find("profiles/agent")
    limits = POLICY.roles["agent"].limits
    named = {"max_result_rows": limits.rows, "max_result_bytes": limits.bytes, "max_execution_time": limits.seconds}
    assert {name: int(profile.findtext(name)) for name in named} == named
    assert ElementTree.fromstring(text).findtext("users/agent/profile") == "agent"


def test_the_sql_for_a_server_begins_with_the_tables_that_the_views_read():
    told = json.loads(CliRunner().invoke(app, ["plan", "--server", "--json"]).stdout)
    first_view = next(i for i, sql in enumerate(told) if sql.startswith("CREATE OR REPLACE VIEW"))
    assert any(sql.startswith(f"CREATE TABLE IF NOT EXISTS {KEY_TABLE} ") for sql in told[:first_view])


def test_one_view_for_each_role_that_a_contract_names():
    named = {(role, d.name) for d in CONTRACTS.datasets.values() if d.warehouse or d.live for role in d.roles}
    assert set(VIEWS) == named


def test_a_predicate_always_has_its_barrier_and_a_repeat_is_collapsed():
    for (role, name), view in VIEWS.items():
        assert (str(BARRIER) in view.body) == bool(POLICY.roles[role].views[name].rows)
        assert (" FINAL" in view.body) == (name == "transactions")


def test_a_role_may_read_its_own_database_and_nothing_else():
    for role in POLICY.roles.values():
        grants = [s for s in role_statements(role) if s.startswith("GRANT")]
        assert grants == [f"GRANT SELECT ON {role.database}.* TO {role.database}"]
