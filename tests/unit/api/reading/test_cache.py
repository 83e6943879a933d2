"""An answer is found again by all it depends on, and by nothing less."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from headwater.api.reading.answers import Asked, Standpoint
from headwater.api.reading.cache import InProcess, key_of
from headwater.api.reading.standing import State
from headwater.contracts.loader import load_contracts
from headwater.policy.loader import load_policy

POLICY = load_policy(contracts=load_contracts())
MANAGER = POLICY.caller("one", ["store_managers"], {"stores": [1, 2]})
TABLES = ("gold.fct_sales",)


def key(
    caller=MANAGER, policy=("v1", "12:00"), tables=TABLES, mark="7/a", sql="SELECT 1", parameters=None, form=()
) -> str:
    return key_of(caller, policy, tables, mark, sql, parameters or {}, form)


def test_the_key_holds_all_that_an_answer_depends_on():
    others = [
        key(POLICY.caller("one", ["store_managers"], {"stores": [1]})),
        key(POLICY.caller("one", ["analysts"])),
        key(policy=("v2", "12:00")),
        key(policy=("v1", "12:01")),
        key(mark="8/a"),
        key(mark="7/b"),
        key(tables=("gold.dim_store",)),
        key(sql="SELECT 2"),
        key(parameters={"p": "1"}),
        key(form=(10, 1, ())),
        key(form=(10, 2, ())),
        key(replace(MANAGER, attributes={**MANAGER.attributes, "region": ("north",)})),
    ]
    assert len({key(), *others}) == len(others) + 1


def test_those_who_see_the_same_share_an_answer():
    assert key() == key(replace(MANAGER, name="two"))
    assert key(POLICY.caller("a", ["analysts"])) == key(POLICY.caller("b", ["analysts"]))


@pytest.mark.parametrize(
    "rows", ['store_id IN "user"."stores"', "store_id IN user . stores", "store_id IN user.stores"]
)
@pytest.mark.parametrize("tables", [TABLES, ()])
def test_however_a_predicate_reads_attributes_they_are_in_the_key(rows, tables):
    view = replace(MANAGER.role.views["fct_sales"], rows=rows)
    role = replace(MANAGER.role, views={"fct_sales": view})
    keys = {key(replace(MANAGER, role=role, attributes={"stores": stores}), tables=tables) for stores in [(1,), (2,)]}
    assert len(keys) == 2


def test_the_same_rows_with_other_columns_shown_are_another_answer():
    """Columns of the order stand behind those asked for: `store_id` by its key reads what both together do."""
    asking = SimpleNamespace(caller=MANAGER, policy_version="v1")
    at = Standpoint(asking, State("12:00", {}, {"gold.dim_store": "7/a"}), load_contracts())
    one = Asked("SELECT a, b", {}, ("gold.dim_store",), "SELECT a", 10, 1, (1,))
    others = [replace(one, shown=2), replace(one, keys=(0,)), replace(one, limit=11)]
    assert len({at.key(asked) for asked in [one, *others]}) == 4
    assert len({at.etag(asked, "application/json") for asked in [one, *others]}) == 4


def test_what_may_change_by_itself_is_not_kept():
    def lasting(sql: str, *tables: str) -> bool:
        return Asked(sql, {}, tables, sql, 10).lasting

    assert lasting("SELECT sum(sales_value) FROM gold.fct_sales", "gold.fct_sales")
    assert not lasting("SELECT now() FROM gold.fct_sales", "gold.fct_sales")
    assert not lasting("SELECT NOW64(3), 1 FROM gold.fct_sales", "gold.fct_sales")
    assert not lasting("SELECT today() - 1 FROM gold.fct_sales", "gold.fct_sales")
    assert not lasting("SELECT rand() FROM gold.fct_sales", "gold.fct_sales")
    assert not lasting("SELECT currentUser() FROM gold.fct_sales", "gold.fct_sales")
    assert not lasting("SELECT user() FROM gold.fct_sales", "gold.fct_sales")
    assert not lasting("SELECT CURRENT_DATE FROM gold.fct_sales", "gold.fct_sales")
    assert not lasting("SELECT generateUUIDv4() FROM gold.fct_sales", "gold.fct_sales")
    assert not lasting("SELECT count() FROM live.transactions", "live.transactions")
    assert not lasting("SELECT 1")


def test_memory_is_bounded_and_the_least_used_goes_first():
    cache = InProcess(100, 60)
    for name in "abc":
        cache.put(name, name.encode() * 30)
    assert cache.get("a") == b"a" * 30
    cache.put("d", b"d" * 30)
    assert cache.get("b") is None
    assert cache.get("a") == b"a" * 30
    cache.put("a", b"x" * 40)
    assert cache.size <= 100
    cache.put("long", b"x" * 101)
    assert cache.get("long") is None


def test_an_answer_ends_by_time():
    cache = InProcess(100, 0)
    cache.put("a", b"a")
    assert cache.get("a") is None
    assert cache.size == 0
