"""The parser alone, against the corpora: every hostile statement is refused, every analytical one passes."""

from __future__ import annotations

import pytest
from tests.corpora import injections, statements

from headwater.contracts.loader import load_contracts
from headwater.serving.queries import QueryRefused, judge

HOSTILE = statements("hostile_sql", url="http://127.0.0.1:9", port="9", role="role_analyst")
ANALYTICAL = statements("analytical_sql")
DATASETS = frozenset(load_contracts().datasets)


def test_the_corpora_are_as_large_as_they_are_said_to_be():
    assert len({s.sql for s in HOSTILE}) >= 150
    assert len({s.sql for s in ANALYTICAL}) >= 100
    assert len(set(injections())) >= 40


@pytest.mark.parametrize("statement", HOSTILE, ids=lambda s: s.sql[:60])
def test_the_parser_refuses(statement):
    with pytest.raises(QueryRefused):
        judge(statement.sql, DATASETS)


@pytest.mark.parametrize("statement", ANALYTICAL, ids=lambda s: s.sql[:60])
def test_the_parser_lets_pass(statement):
    judge(statement.sql, DATASETS)


@pytest.mark.parametrize("text", injections(), ids=lambda t: t[:30])
def test_an_order_to_an_agent_is_no_statement(text):
    with pytest.raises(QueryRefused):
        judge(text, DATASETS)
