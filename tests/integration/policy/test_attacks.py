"""What somebody with a role tries in order to see more: other databases, the hash's key, rows that are kept back."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, replace
from datetime import timedelta

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from tests.integration.policy.conftest import PASSWORD, ROWS, STORES, Served
from typer.testing import CliRunner

from headwater.api.keys import ApiKeys
from headwater.api.tables import api_database
from headwater.identity.commands import app as identity
from headwater.identity.keys import IdentityKeys
from headwater.identity.store import IdentityStore
from headwater.policy import applying
from headwater.warehouse.client import writer

pytestmark = pytest.mark.integration

ELSEWHERE = [
    "SELECT * FROM gold.fct_sales",
    "SELECT * FROM role_analyst.fct_sales",
    "SELECT * FROM headwater_keys.mask_key",
    "SELECT * FROM platform.policy",
    "SELECT * FROM merge(REGEXP('role_ana.*'), 'fct_sales')",
    "SELECT * FROM merge('gold', '.*')",
    "SELECT * FROM loop('gold', 'fct_sales') LIMIT 1",
    "SELECT 1 IN gold.dim_store",
    "SHOW CREATE TABLE gold.fct_sales",
    "DESCRIBE role_analyst.fct_sales",
    "EXPLAIN SELECT * FROM gold.fct_sales",
    "USE gold",
    "INSERT INTO fct_sales SELECT * FROM fct_sales",
    "SET query_cache_tag = '{\"stores\": [0]}'",
    "SELECT * FROM fct_sales SETTINGS query_cache_tag = '{\"stores\": [0]}'",
    "SELECT * FROM (SELECT * FROM fct_sales SETTINGS query_cache_tag = '{\"stores\": [0]}')",
    "SELECT * FROM fct_sales SETTINGS use_query_cache = 1",
    "SELECT * FROM fct_sales SETTINGS enable_analyzer = 0",
    "SELECT * FROM fct_sales SETTINGS additional_table_filters = {}",
    "SELECT * FROM fct_sales SETTINGS max_result_rows = 1000000",
    "SELECT * FROM fct_sales SETTINGS transform_null_in = 1",
    "SELECT 1 SETTINGS query_cache_tag = '{\"stores\": [0]}' UNION ALL SELECT 2 SETTINGS max_threads = 1",
    "SET ROLE headwater_writer",
    "SET ROLE ALL",
    "EXECUTE AS default SELECT 1",
]


@pytest.fixture(scope="module")
def manager(served: Served):
    return served.as_role("store_manager")


@pytest.mark.parametrize("sql", ELSEWHERE)
def test_refused(manager, sql):
    with pytest.raises(DatabaseError, match="ACCESS_DENIED|READONLY|SETTING_CONSTRAINT|CANNOT_EXTRACT_TABLE"):
        manager.command(sql)


def test_errors_of_others_are_not_shown(served):
    """The engine keeps the text of the last error of each kind, with the value that made it, and asks no grant."""
    with writer() as client, pytest.raises(DatabaseError, match="secret7"):
        client.query("SELECT toInt32('secret7')")
    told = "SELECT groupArray(last_error_message) FROM system.errors"
    with writer() as client:
        assert "secret7" in str(client.query(told).result_rows)
    analyst = served.as_role("analyst")
    for sql in (
        told,
        "SELECT * FROM (SELECT groupArray(e.last_error_message) FROM system.errors AS e)",
        "SELECT last_error_message FROM system.errors UNION ALL SELECT '' FROM system.dropped_tables",
        "SELECT * FROM view(SELECT last_error_message FROM system.errors)",
        "SELECT * FROM (SELECT last_error_message FROM system.errors SETTINGS max_threads = 1)",
    ):
        assert "secret7" not in str(analyst.query(sql).result_rows), sql
    hidden = ("errors", "processes", "dropped_tables", "session_query_ids", "user_processes", "asynchronous_loader")
    for table in hidden:
        assert analyst.command(f"SELECT count() FROM system.{table}") == 0, table


def test_what_is_there_and_how_much_of_it_is_not_told(served, manager):
    told = set()
    for table in ("gold.dim_household", "gold.nothing", "nowhere.nothing", "role_analyst.fct_sales", "dim_household"):
        with pytest.raises(DatabaseError) as caught:
            manager.query(f"SELECT * FROM {table}")
        told.add(re.sub(r" \(for url.*", "", str(caught.value)))
    assert len(told) == 1, told
    for sql in (
        "EXPLAIN ESTIMATE SELECT * FROM fct_sales",
        "explain /* all */ estimate SELECT * FROM fct_sales",
        "SELECT * FROM (EXPLAIN ESTIMATE SELECT * FROM fct_sales)",
        "SELECT * FROM viewExplain('EXPLAIN ESTIMATE', '', (SELECT * FROM fct_sales))",
    ):
        with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
            manager.query(sql)
    answer = manager.query("SELECT count() FROM fct_sales")
    assert (answer.summary["read_rows"], answer.summary["total_rows_to_read"]) == ("0", "0")
    assert "rows_read" not in manager.raw_query("SELECT count() FROM fct_sales", fmt="JSON").decode()


def test_an_answer_that_breaks_off_has_no_row_too_many(served):
    analyst = served.as_role("analyst")
    cut = "SETTINGS result_overflow_mode = 'break', max_result_rows = 3"
    for sql in (
        "SELECT number FROM numbers(100000)",
        "SELECT * FROM (SELECT 1 FROM fct_sales UNION ALL SELECT 2 FROM fct_sales)",
        "SELECT 1 FROM fct_sales UNION ALL SELECT 2 FROM fct_sales",
    ):
        assert len(analyst.query(f"{sql} {cut}").result_rows) == 3, sql
    assert analyst.query(f"SELECT count() FROM fct_sales {cut}").result_rows == [(ROWS,)]
    with pytest.raises(DatabaseError, match="TOO_MANY_ROWS_OR_BYTES"):
        analyst.query("SELECT number FROM numbers(1000) SETTINGS max_result_rows = 3, max_block_size = 100000")


def test_a_second_key_doubles_nothing_and_without_one_there_are_no_rows(served):
    analyst = served.as_role("analyst")
    hashes = "SELECT arraySort(groupArray(household_key)) FROM fct_sales"
    before = analyst.query(hashes).result_rows
    with writer() as client:
        client.insert("headwater_keys.mask_key", [["g" * 64]], column_names=["key"])  # greater than any hex
        try:
            assert analyst.query(hashes).result_rows == before
            assert analyst.query(f"{hashes} SETTINGS aggregate_functions_null_for_empty = 1").result_rows == before
            client.command("TRUNCATE TABLE headwater_keys.mask_key")
            for null in (0, 1):
                sql = f"SELECT * FROM fct_sales SETTINGS aggregate_functions_null_for_empty = {null}"
                assert analyst.query(sql).result_rows == []
        finally:
            client.command("TRUNCATE TABLE headwater_keys.mask_key")
            client.insert("headwater_keys.mask_key", [[served.key]], column_names=["key"])
    assert analyst.query(hashes).result_rows == before


def test_what_is_applied_is_in_force_though_the_clock_went_back(served):
    with writer() as client:
        later = replace(served.policy, version="of-tomorrow")
        text = json.dumps(asdict(later), ensure_ascii=False)
        tomorrow = int((time.time() + 86_400) * 1_000_000)
        client.insert("platform.policy", [["x", tomorrow, text]], column_names=["version", "applied_at", "policy"])
        try:
            assert applying.applied(client) == later
            assert applying.apply(client, served.policy, served.contracts, embedded=True)
            assert applying.applied(client) == served.policy
        finally:
            client.command("ALTER TABLE platform.policy DELETE WHERE applied_at > now64(6) SETTINGS mutations_sync = 2")
        assert applying.applied(client) == served.policy


KEPT_BACK = [
    "SELECT count() FROM fct_sales WHERE toInt32(product_key) = 3",
    "SELECT count() FROM fct_sales WHERE throwIf(NOT has({stores}, store_id))",
    "SELECT toInt32(product_key) FROM fct_sales",
    "SELECT count() FROM fct_sales WHERE intDiv(1, store_id IN {stores}) = 1",
    "SELECT count() FROM transactions WHERE toInt32(event_id) = 3",
    "SELECT max(toDate(product_key)) FROM fct_sales GROUP BY store_id",
]


@pytest.mark.parametrize("sql", KEPT_BACK)
def test_no_row_that_is_kept_back_is_ever_evaluated(served, manager, sql):
    """An error quotes the value it fails on: it may only be one of those that are seen anyway."""
    names, rows = served.rows["transactions" if "transactions" in sql else "fct_sales"]
    place = names.index("store_id")
    keys = names.index("event_id" if "transactions" in sql else "product_key")
    seen = {row[keys] for row in rows if row[place] in STORES}
    hidden = {row[keys] for row in rows} - seen
    told = ""
    try:
        manager.query(sql.replace("{stores}", str(STORES)))
    except DatabaseError as error:
        told = str(error)
    assert not told or "toInt32" in sql or "toDate" in sql, told
    assert not [value for value in hidden if f"'{value}'" in told], told


def test_without_the_barrier_such_a_row_is_evaluated(served):
    """Why the barrier is there: take it away, and this fails with the text of a row that is kept back."""
    with writer() as client:
        client.command(
            "CREATE OR REPLACE VIEW gold.open_door DEFINER = `default` SQL SECURITY DEFINER AS "
            "SELECT store_id, product_key FROM gold.fct_sales WHERE store_id IN (1, 4)"
        )
        try:
            with pytest.raises(DatabaseError, match="Cannot parse string"):
                client.query("SELECT count() FROM gold.open_door WHERE toInt32(product_key) = 3")
        finally:
            client.command("DROP VIEW gold.open_door")


PEEKS = [
    "EXPLAIN actions = 1 SELECT household_id FROM {t}",
    "EXPLAIN header = 1, indexes = 1 SELECT household_id FROM {t}",
    "EXPLAIN QUERY TREE SELECT household_id FROM {t}",
    "EXPLAIN PIPELINE SELECT household_id FROM {t}",
    "SHOW CREATE TABLE {t}",
    "SELECT toInt32(household_id) FROM {t}",
    "SELECT create_table_query, as_select FROM system.tables WHERE name = '{t}'",
    "SELECT * FROM system.settings WHERE changed",
]


@pytest.mark.parametrize("sql", PEEKS)
def test_the_key_of_the_hashes_is_nowhere_to_be_seen(served, sql):
    try:
        told = served.as_role("analyst").raw_query(sql.replace("{t}", "fct_sales"), fmt="TabSeparated").decode()
    except DatabaseError as error:
        told = str(error)
        assert "toInt32" in sql, told
        assert "CANNOT_PARSE_TEXT" in told
    assert told
    assert served.key not in told


def refused(served: Served, name: str, password: str = PASSWORD) -> str:
    with pytest.raises(DatabaseError) as caught:
        served.client(name, password)
    return str(caught.value)


def test_who_is_not_known_or_may_not_is_refused(served):
    assert "AUTHENTICATION_FAILED" in refused(served, "some.analyst", "another password")
    assert "AUTHENTICATION_FAILED" in refused(served, "some.stranger")
    assert "ACCESS_DENIED" in refused(served, "some.nobody")  # in no group, so without a role
    assert "ACCESS_DENIED" in refused(served, "some.agent")  # a role that has not this surface


def test_another_store_or_a_disabled_identity_holds_within_seconds(served):
    store = IdentityStore(served.settings)
    store.add("ever.changing", "person", ["store_managers"], {"stores": [1]}, PASSWORD)
    stores = "SELECT arraySort(groupUniqArray(store_id)) FROM fct_sales"
    with served.client("ever.changing", PASSWORD) as client:
        assert client.query(stores).result_rows == [([1],)]
        store.change("ever.changing", attributes={"stores": [2]})
        await_true(lambda: client.query(stores).result_rows == [([2],)])
        store.change("ever.changing", attributes={})
        await_true(lambda: client.query(stores).result_rows == [([],)])
        store.disable("ever.changing")
        await_true(lambda: _fails(client, stores))
    store.close()


def test_what_somebody_had_alone_can_be_taken_away(served):
    store = IdentityStore(served.settings)
    store.add("of.one_store", "person", ["store_managers"], {"stores": [1]}, PASSWORD)
    for arguments, own in ((["--group", "stores_north"], {"stores": (1,)}), (["--no-attributes"], {})):
        result = CliRunner().invoke(identity, ["group", "of.one_store", *arguments])
        assert result.exit_code == 0, result.output
        found = store.get("of.one_store")
        assert (found.groups, found.attributes) == (("stores_north",), own)
    store.close()


def test_a_key_gives_what_its_scopes_name_until_it_ends(served):
    store = IdentityStore(served.settings)
    keys = IdentityKeys(served.settings, store)
    store.add("some.service", "service", ["analysts"], {}, None)
    narrow, _ = keys.create("some.service", "another tool", ["mcp:query"], 1)
    text, key = keys.create("some.service", "a dashboard", ["clickhouse:query"], 1)
    assert "ACCESS_DENIED" in refused(served, "some.service", narrow)
    assert "AUTHENTICATION_FAILED" in refused(served, "some.analyst", text)  # another's key
    assert "AUTHENTICATION_FAILED" in refused(served, "some.service", text[:-1] + ("a" if text[-1] != "a" else "b"))
    assert "AUTHENTICATION_FAILED" in refused(served, "some.service", "")
    with served.client("some.service", text) as client:
        assert client.command("SELECT count() FROM dim_date") > 0
        fresh, _ = keys.rotate(key.key_id, 1, timedelta(0))
        await_true(lambda: _fails(client, "SELECT 1"))
    with served.client("some.service", fresh) as client:
        assert client.command("SELECT 1") == 1
    assert ApiKeys(api_database(served.settings)).known(fresh) is None  # it sends no events
    assert [one.usable for one in keys.all("some.service")] == [True, False, True]
    keys.close()
    store.close()


def test_fault_27_a_policy_that_cannot_be_read_denies(served):
    with writer() as client:
        client.insert("platform.policy", [["broken", "{}"]], column_names=["version", "policy"])
        try:
            await_true(lambda: _refuses(served))
            assert "ACCESS_DENIED" in refused(served, "some.analyst")
            assert "ACCESS_DENIED" in refused(served, served.settings.clickhouse_agent_user, served.login("agent")[1])
        finally:
            client.command("ALTER TABLE platform.policy DELETE WHERE version = 'broken' SETTINGS mutations_sync = 2")
    await_true(lambda: not _refuses(served))


def test_applying_again_changes_nothing_and_a_view_that_was_touched_is_mended(served):
    with writer() as client:
        assert applying.plan(client, served.policy, served.contracts, embedded=True) == []
        client.command("CREATE OR REPLACE VIEW role_marketer.dim_date AS SELECT 1 AS one")
        client.command("CREATE VIEW role_marketer.extra AS SELECT * FROM gold.fct_sales")
        steps = applying.apply(client, served.policy, served.contracts, embedded=True)
        assert [step.what for step in steps] == [
            "replace role_marketer.dim_date",
            "drop role_marketer.extra",
            f"policy {served.policy.version} in force",
        ]
        assert applying.applied(client) == served.policy


def _fails(client, sql: str) -> bool:
    try:
        client.query(sql)
    except DatabaseError:
        return True
    return False


def _refuses(served: Served) -> bool:
    try:
        served.client(*served.login("analyst")).close()
    except DatabaseError:
        return True
    return False


def await_true(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.1)
