"""A policy file that is wrong is refused with file, line and remedy; the project's own is sound."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from headwater.contracts.loader import load_contracts
from headwater.errors import ContractError
from headwater.policy.bundle import policy_of
from headwater.policy.loader import load_policy
from headwater.policy.model import Mask, NoRole
from headwater.settings import get_settings

OWN = get_settings().policies_dir
CONTRACTS = load_contracts()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(OWN, tmp_path / "policies")
    return tmp_path / "policies"


def changed(folder: Path, old: str, new: str) -> Path:
    path = folder / "loyalty.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


FAULTS = [
    ("purposes: [reporting]", "purposes: [curiosity]", "there is no purpose 'curiosity'"),
    ("surfaces: [mcp]", "surfaces: [fax]", "'fax' is not one of"),
    ("rows: 1000000,", "rows: 0,", "0 is less than the minimum"),
    ("queries_per_hour: 5000", "queries_an_hour: 5000", "unknown key: queries_an_hour"),
    ("masks: {confidential: hash, restricted: null}", "masks: {confidential: hash}", "'restricted' is a required"),
    ("fct_sales: {columns: {household_key: hash}}", "fct_sales: {columns: {household: hash}}", "no column 'household'"),
    ("fct_sales: {columns: {household_key: hash}}", "households: {}", "analyst may not read 'households'"),
    ("fct_sales: {columns: {household_key: hash}}", "fct_sales: {}", "stands for 'household_key', which is masked"),
    (
        "fct_sales: {columns: {household_key: hash}}",
        "fct_sales: {columns: {household_key: year_only}}",
        "year_only does",
    ),
    ("fct_sales: {columns: {household_key: hash}}", "fct_sales: {columns: {household_key: blur}}", "'blur' is not one"),
    (
        "columns: {household_key: hash, household_id: last_four, valid_from",
        "columns: {household_id: last_four, valid_from",
        "stands for 'household_id', which is masked for marketer",
    ),
    ("rows: store_id IN user.stores", "rows: store_id IN user.shops", "there is no attribute 'shops'"),
    ("rows: store_id IN user.stores", "rows: NOT store_id IN user.stores", "stands under NOT"),
    ("rows: store_id IN user.stores", "rows: (store_id IN user.stores) = FALSE", "stands under EQ"),
    ("rows: store_id IN user.stores", "rows: store_id = user.stores", "user.stores is a list"),
    ("rows: store_id IN user.stores", "rows: household_key IN user.stores", "is string, the attribute long"),
    ("rows: store_id IN user.stores", "rows: shop IN user.stores", "there is no column 'shop'"),
    ("rows: store_id IN user.stores", "rows: store_id IN (SELECT 1)", "may not stand in a predicate"),
    ("rows: store_id IN user.stores", "rows: sleep(1) = 0", "may not stand in a predicate"),
    ("rows: store_id IN user.stores", "rows: 1 = 1", "names no column"),
    ("rows: store_id IN user.stores", "rows: store_id = 1; DROP TABLE x", "may not stand in a predicate"),
    ("rows: store_id IN user.stores", "rows: store_id = = 1", "no SQL"),
    ("agents: {role: agent}", "agents: {role: robot}", "there is no role 'robot'"),
    ("stores: [367, 406]", "stores: [north]", "'north' is no long"),
    ("stores: [367, 406]", "shops: [1]", "there is no attribute 'shops'"),
    ("  agent:", "  Agent:", "does not match"),
]


@pytest.mark.parametrize(("old", "new", "says"), FAULTS, ids=[new[:40] for _, new, _ in FAULTS])
def test_a_fault_is_named_with_its_line_and_a_remedy(folder, old, new, says):
    path = changed(folder, old, new)
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if new.splitlines()[0].strip() in text)
    with pytest.raises(ContractError) as caught:
        load_policy(folder, CONTRACTS)
    errors = getattr(caught.value, "errors", [caught.value])
    found = [error for error in errors if says in error.what]
    assert found, caught.value
    assert found[0].remedy
    at = int(re.search(r":(\d+)$", found[0].where)[1])
    assert abs(at - line) <= 16 if "stands for" in says or "required" in says else at == line, (at, line)


def test_a_role_that_no_policy_declares_is_found_in_its_contract(folder):
    path = changed(folder, "  marketing: {role: marketer}\n", "")
    text = path.read_text()
    begin, end = text.index("  marketer:"), text.index("  privacy_officer:")
    path.write_text(text[:begin] + text[end:])
    with pytest.raises(ContractError, match="no policy declares the role 'marketer'") as caught:
        load_policy(folder, CONTRACTS)
    assert "dim_campaign.yaml:" in str(caught.value)


def test_a_name_is_declared_once_over_all_files(folder):
    (folder / "other.yaml").write_text("purposes: {reporting: again}\n")
    with pytest.raises(ContractError, match="reporting is also in"):
        load_policy(folder, CONTRACTS)


def test_without_the_decision_there_is_no_policy(folder):
    (folder / "decision.rego").unlink()
    with pytest.raises(ContractError, match="there is no decision"):
        load_policy(folder, CONTRACTS)


def test_another_rule_is_another_version_and_the_bundle_is_the_policy(folder):
    import json
    from dataclasses import asdict

    before = load_policy(folder, CONTRACTS)
    assert before.version == load_policy(folder, CONTRACTS).version
    assert policy_of(json.dumps(asdict(before))) == before
    changed(folder, "household_id: last_four", "household_id: hash")
    assert load_policy(folder, CONTRACTS).version != before.version


def test_what_is_confidential_is_plain_for_nobody_unless_the_file_says_so():
    policy = load_policy(contracts=CONTRACTS)
    declared = yaml.safe_load((OWN / "loyalty.yaml").read_text())["roles"]
    for role in policy.roles.values():
        for view in role.views.values():
            for column in CONTRACTS.get(view.dataset).columns:
                chosen = ((declared[role.name].get("datasets") or {}).get(view.dataset) or {}).get("columns", {})
                if column.classification in ("confidential", "restricted") and view.masks[column.name] is Mask.PLAIN:
                    said = chosen.get(column.name, declared[role.name]["masks"][column.classification])
                    assert said == "plain", (role.name, view.dataset, column.name)


def test_groups_give_one_role_and_their_attributes_which_ones_own_go_before():
    policy = load_policy(contracts=CONTRACTS)
    assert policy.caller("a", ["stores_north"]).attributes == {"stores": [367, 406]}
    assert policy.caller("a", ["stores_north"], {"stores": [5]}).attributes == {"stores": [5]}
    assert policy.caller("a", ["store_managers", "unheard_of"]).attributes == {}
    for groups in ([], ["unheard_of"], ["analysts", "store_managers"]):
        with pytest.raises(NoRole):
            policy.caller("a", groups)
