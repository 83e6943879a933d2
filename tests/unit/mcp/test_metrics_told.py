"""Of metrics a caller is told those that its role may ask, whichever tool is asked."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from headwater.contracts.loader import load_contracts
from headwater.lineage.graph import Lineage
from headwater.mcp.data import Data
from headwater.mcp.lineage import LineageTools
from headwater.policy.loader import load_policy
from headwater.semantics.catalogue import metrics_of, offers
from headwater.settings import Settings

CONTRACTS = load_contracts()
ROLES = load_policy(contracts=CONTRACTS).roles
LINEAGE = Lineage(CONTRACTS, Settings().gold_models_dir)


class AsRole:
    """What the tools take from a sidecar, for one role and without a warehouse."""

    contracts = CONTRACTS
    lineage = LINEAGE
    shown = SimpleNamespace(outcomes=lambda name: [])

    def __init__(self, role):
        self.role = role

    @contextmanager
    def asked(self, tool):
        yield SimpleNamespace(caller=SimpleNamespace(role=self.role))

    def dataset(self, asking, name):
        return CONTRACTS.get(name), f"gold.{name}", self.role.views[name]

    def named(self, role, dataset):
        return dataset in role.views

    def evidence(self, asking, tables, sql=""):
        return None


@pytest.fixture(params=["store_manager", "marketer", "analyst"])
def role(request):
    return ROLES[request.param]


def test_there_are_metrics_that_a_role_is_not_offered():
    assert set(metrics_of(CONTRACTS)) - set(offers(CONTRACTS, ROLES["store_manager"]))


def test_an_impact_names_the_metrics_that_the_role_may_ask(role):
    told = LineageTools(AsRole(role)).get_impact("fct_sales").metrics
    assert "revenue" in told
    assert set(told) <= set(offers(CONTRACTS, role))


def test_a_dataset_is_described_with_the_metrics_that_the_role_may_ask(role):
    told = Data(AsRole(role)).describe_dataset("fct_sales").metrics
    assert "revenue" in told
    assert set(told) <= set(offers(CONTRACTS, role))


def test_a_search_does_not_find_a_dataset_by_a_metric_that_the_role_may_not_ask():
    label = metrics_of(CONTRACTS)["buying_households"].label
    found = {
        name: [one for one in Data(AsRole(ROLES[name])).search_datasets(label).found if "metrics" in one.found_in]
        for name in ("analyst", "store_manager")
    }
    assert "gold.fct_sales" in [one.table for one in found["analyst"]]
    assert "gold.fct_sales" not in [one.table for one in found["store_manager"]]
