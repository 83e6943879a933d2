"""What somebody sees, and why, in facts and in words."""

from __future__ import annotations

import pytest

from headwater.contracts.loader import load_contracts
from headwater.errors import TerminalError
from headwater.policy.decision import Decider, RegoEngine
from headwater.policy.explain import explain, lines
from headwater.policy.loader import load_policy

CONTRACTS = load_contracts()
POLICY = load_policy(contracts=CONTRACTS)
DECIDER = Decider(POLICY, RegoEngine(POLICY.rego))


def told(groups: list[str], dataset: str, **attributes: list[int]) -> tuple[dict, str]:
    facts = explain(POLICY, DECIDER, POLICY.caller("bob", groups, attributes), CONTRACTS.get(dataset))
    return facts, "\n".join(lines(facts))


def test_rows_attributes_masks_and_their_reasons():
    facts, text = told(["store_managers"], "fct_sales", stores=[1, 2])
    assert facts["rows"] == "store_id IN user.stores"
    assert facts["attributes"] == {"stores": [1, 2]}
    assert facts["because"] == {
        "household_key": "the policy masks it for store_manager",
        "household_id": "it is confidential",
    }
    assert facts["surfaces"] == {"clickhouse": "allowed", "mcp": "allowed", "api": "allowed"}
    assert "bob is in store_managers and so has the role store_manager" in text
    assert "role_store_manager.fct_sales" in text


def test_without_values_no_row_is_seen_and_that_is_said():
    assert "stores = none, so no row" in told(["store_managers"], "dim_store")[1]


def test_what_is_not_seen_is_said_with_its_reason():
    facts, text = told(["store_managers"], "mart_marketing_rfm")
    assert (facts["seen"], "columns" in facts) == (False, False)
    assert "do not name store_manager" in text


def test_a_dataset_outside_clickhouse_is_nobodys():
    with pytest.raises(TerminalError, match="no ClickHouse table"):
        told(["analysts"], "households")
