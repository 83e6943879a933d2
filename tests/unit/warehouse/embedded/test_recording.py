"""Which datasets a member's statement is recorded with; tests/faults/serving/test_fault_26 asks an endpoint."""

from __future__ import annotations

import pytest

from headwater.policy.loader import load_policy
from headwater.policy.model import Role
from headwater.serving.queries import METRIC_PREFIX
from headwater.warehouse.embedded.recording import METRIC, datasets_of


@pytest.fixture(scope="module")
def role() -> Role:
    return load_policy().roles["store_manager"]


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT count() FROM fct_sales", {"fct_sales"}),
        ("SELECT 1 FROM role_store_manager.fct_sales JOIN `dim_store` USING store_key", {"fct_sales", "dim_store"}),
        ("SELECT '\\n' FROM fct_sales", {"fct_sales"}),
        ("SELECT 1", set()),
        ("SELECT version(), currentUser()", set()),
    ],
)
def test_a_dataset_that_is_named_is_recorded(role, sql, named):
    assert datasets_of(sql, role) == named


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM metric_revenue",
        "SELECT * FROM dim_store, metric_revenue",
        "SELECT * FROM {t:Identifier}",
        "SELECT * FROM dim_store, {t : Identifier}",
        r"SELECT * FROM `fct\x5fsales`",
        r'SELECT * FROM dim_store, "fct\x5fsales"',
        "SELECT * FROM merge('fct'), dim_store",
        "SELECT * FROM something_else",
        "select 1 in something_else",
    ],
)
def test_a_statement_that_may_read_others_is_recorded_with_all_that_the_role_sees(role, sql):
    assert datasets_of(sql, role) == set(role.views)


def test_the_names_of_metrics_views_begin_as_is_looked_for():
    assert METRIC == METRIC_PREFIX
