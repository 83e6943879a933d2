"""The MCP sidecar, asked over HTTP and stdio by the protocol's own client, on a real ClickHouse endpoint."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from tests.agents import LINES, RESULTS, SNAPSHOT, STORES, Agents, Refused, answered

from headwater.contracts.loader import load_dataset
from headwater.streaming import live_tables
from headwater.warehouse.client import writer

pytestmark = pytest.mark.integration

SERVERS = {
    "data": {"list_datasets", "search_datasets", "describe_dataset", "sample", "profile_dataset"},
    "metadata": {
        "get_ownership", "get_freshness", "get_quality", "get_schema_history", "search_glossary", "get_usage",
    },
    "query": {"query", "estimate_query", "list_metrics", "query_metrics", "export_query"},
    "lineage": {"get_upstream", "get_downstream", "get_column_lineage", "get_impact", "get_runs"},
}  # fmt: skip


def listed(agents: Agents, server: str = ""):
    async def tools():
        async with agents.session(server=server) as session:
            return (await session.list_tools()).tools

    return {tool.name: tool for tool in asyncio.run(tools())}


@pytest.mark.parametrize("server", SERVERS)
def test_each_server_has_its_tools(agents, server):
    assert set(listed(agents, server)) == SERVERS[server]


def test_the_tools_say_that_they_only_read_and_what_they_take_and_give(agents):
    found = listed(agents)
    assert set(found) == set.union(*SERVERS.values())
    for tool in found.values():
        assert tool.description
        assert (tool.annotations.read_only_hint, tool.annotations.destructive_hint) == (True, False)
        assert tool.input_schema["type"] == "object"
        assert tool.output_schema["properties"], tool.name
        for given in tool.input_schema["properties"].values():
            assert given.get("description"), tool.name


def test_datasets_are_listed_with_owner_and_load(agents):
    datasets = {d["table"]: d for d in agents.ask("list_datasets")["datasets"]}
    assert datasets["gold.dim_store"]["owner"]
    assert datasets["gold.fct_sales"]["rows"] == LINES
    assert datasets["gold.dim_store"]["loaded"]["snapshot_id"] == str(SNAPSHOT)
    assert datasets["gold.dim_campaign"]["loaded"] is None


def test_a_dataset_is_found_by_what_it_is_about(agents):
    found = [one["table"] for one in agents.ask("search_datasets", text="coupon cost")["found"]]
    assert found[0] == "gold.mart_finance_coupon_cost"


def test_a_dataset_is_described_by_its_contract(agents):
    described = agents.ask("describe_dataset", dataset="dim_store")
    assert [c["name"] for c in described["columns"]] == [c.name for c in load_dataset("dim_store").columns]
    assert described["quality_rules"]
    assert described["quality_results"] == RESULTS


def test_an_answer_has_its_evidence(agents):
    sql = "SELECT count() AS lines FROM gold.fct_sales -- all"
    answer = agents.ask("query", sql=sql)
    evidence = answer["evidence"]
    assert answer["rows"] == [[LINES]]
    assert evidence["sql"] == sql
    assert agents.ask("query", sql=evidence["sql"])["rows"] == answer["rows"]
    loaded = evidence["tables"]["gold.fct_sales"]
    assert loaded["snapshot_id"] == str(SNAPSHOT)
    assert loaded["iceberg_table"] == "lake.gold.fct_sales"
    assert 0 <= loaded["age_seconds"] < 3600
    assert loaded["snapshot_at"] < loaded["as_of"]
    assert (loaded["quality"]["passed"], loaded["quality"]["broken_rules"]) == (True, ["few_stores"])
    assert evidence["policy"]["version"] == agents.policy.version
    assert evidence["policy"]["masked"]["gold.fct_sales"]["household_id"] == "hash"
    assert (evidence["truncated"], evidence["warnings"]) == (False, [])


def test_rows_read_are_told_only_to_who_sees_them_all(agents):
    sql = "SELECT sum(sales_value) FROM gold.fct_sales"
    assert agents.ask("query", sql=sql)["evidence"]["rows_read"] >= LINES
    kept_back = agents.ask("query", role="store_manager", sql=sql)["evidence"]
    assert (kept_back["rows_read"], kept_back["bytes_read"]) == (None, None)


def test_data_that_nobody_loaded_is_answered_with_a_warning(agents):
    answer = agents.ask("query", sql="SELECT count() FROM gold.dim_campaign")
    assert answer["evidence"]["tables"] == {"gold.dim_campaign": None}
    assert "no load is on record" in answer["evidence"]["warnings"][0]


def test_an_answer_from_a_live_table_names_the_snapshot_that_was_followed(agents):
    dataset = load_dataset("transactions")
    with writer() as client:
        live_tables.ensure_tables(client, dataset)
        table = live_tables.live_uuid(client, dataset.name)
        position = live_tables.LivePosition(SNAPSHOT, "topic", {0: 1})
        live_tables.write_position(client, dataset.name, position, table, 0)
    answer = agents.ask("query", sql="SELECT count() AS lines FROM live.transactions")
    followed = answer["evidence"]["tables"]["live.transactions"]
    assert (followed["snapshot_id"], followed["iceberg_table"]) == (str(SNAPSHOT), "lake.bronze.transactions")
    assert 0 <= followed["age_seconds"] < 3600


def test_an_answer_is_paged_through_to_its_end(agents):
    sql = "SELECT store_id FROM gold.dim_store ORDER BY store_id"
    whole = agents.ask("query", sql=sql, max_rows=1000)
    assert (whole["truncated"], whole["next_page"]) == (False, "")
    rows, page = [], ""
    while True:
        answer = agents.ask("query", sql=sql, max_rows=60, page=page)
        rows += answer["rows"]
        assert not answer["evidence"]["warnings"]
        if not (page := answer["next_page"]):
            break
    assert rows == whole["rows"]
    assert len(rows) == agents.rows["dim_store"].num_rows


def test_a_page_of_another_statement_is_refused(agents):
    page = agents.ask("query", sql="SELECT store_id FROM gold.dim_store ORDER BY 1", max_rows=1)["next_page"]
    with pytest.raises(Refused, match="of another statement"):
        agents.ask("query", sql="SELECT store_name FROM gold.dim_store ORDER BY 1", max_rows=1, page=page)


def test_pages_without_an_order_are_warned_of(agents):
    answer = agents.ask("query", sql="SELECT store_id FROM gold.dim_store", max_rows=2)
    assert answer["truncated"]
    assert answer["evidence"]["warnings"] == ["without ORDER BY, pages may overlap"]


def test_a_metric_is_asked_by_name_and_its_sql_gives_it_again(agents):
    question = {"metrics": ["revenue", "baskets"], "dimensions": ["dim_product.department"], "order": ["-revenue"]}
    filters = [{"dimension": "period", "operator": ">=", "values": ["2017-01-02"]}]
    answer = agents.ask("query_metrics", **question, filters=filters)
    assert answer["columns"] == ["department", "revenue", "baskets"]
    again = agents.ask("query", sql=answer["evidence"]["sql"], parameters=answer["evidence"]["parameters"])
    assert again["rows"] == answer["rows"]
    with pytest.raises(Refused, match="its dimensions are"):
        agents.ask("query_metrics", metrics=["revenue"], dimensions=["household_id"])


def test_metrics_are_those_of_the_role(agents):
    of = {r: {m["name"] for m in agents.ask("list_metrics", role=r)["metrics"]} for r in ("agent", "store_manager")}
    assert "buying_households" in of["agent"] - of["store_manager"]
    with pytest.raises(Refused, match="there is no metric 'buying_households'"):
        agents.ask("query_metrics", role="store_manager", metrics=["buying_households"])
    only = agents.ask("query_metrics", role="store_manager", metrics=["revenue"], dimensions=["store_id"])
    assert {row[0] for row in only["rows"]} <= set(STORES)


def test_a_query_is_estimated_without_being_run(agents):
    cost = agents.ask("estimate_query", sql="SELECT sum(sales_value) FROM gold.fct_sales")
    [table] = cost["tables"]
    assert table["rows_at_most"] == LINES
    whole = agents.ask("estimate_query", sql="SELECT * FROM gold.fct_sales")["tables"][0]
    assert 0 < table["bytes_at_most"] <= whole["bytes_at_most"]
    limits = agents.policy.roles["agent"].limits
    assert (cost["answer_rows"], cost["seconds"]) == (limits.rows, limits.seconds)
    hidden = agents.ask("estimate_query", role="store_manager", sql="SELECT * FROM gold.fct_sales")["tables"][0]
    assert (hidden["rows_at_most"], hidden["bytes_at_most"]) == (None, None)


def test_an_answer_is_exported(agents):
    sql = "SELECT store_id, store_name FROM gold.dim_store WHERE store_id > 0 ORDER BY store_id LIMIT 2"
    rows = agents.ask("query", sql=sql)["rows"]
    csv = agents.ask("export_query", sql=sql, format="csv")
    assert csv["text"] == "store_id,store_name\n" + "".join(f"{number},{name}\n" for number, name in rows)
    lines = agents.ask("export_query", sql=sql, format="jsonl")["text"].splitlines()
    assert [list(json.loads(line).values()) for line in lines] == rows
    assert agents.ask("export_query", sql=sql, format="markdown", max_rows=1)["truncated"]


def test_a_profile_counts(agents):
    profile = agents.ask("profile_dataset", dataset="fct_sales")
    columns = {column["name"]: column for column in profile["columns"]}
    assert profile["rows"] == LINES
    sales = agents.rows["fct_sales"]
    assert columns["sale_date"]["minimum"] == str(min(sales["sale_date"].to_pylist()))
    assert columns["quantity"]["maximum"] == str(max(sales["quantity"].to_pylist()))
    assert columns["household_id"]["minimum"] == ""  # a hash


def test_metadata_says_whose_how_fresh_how_good_and_what_words_mean(agents):
    declared = load_dataset("fct_sales")
    owned = agents.ask("get_ownership", dataset="fct_sales")
    assert (owned["owner"], owned["freshness_seconds"]) == (declared.owner, declared.freshness_seconds)
    fresh = agents.ask("get_freshness")["tables"]
    assert fresh["gold.fct_sales"]["stale"] is False
    quality = agents.ask("get_quality", dataset="fct_sales")
    assert quality["passed"] is True
    assert {"name": "has_sales", "severity": "error", "on": "table"} in quality["rules"]
    assert all("found" not in result for result in quality["results"])  # it does not see all of every row
    terms = agents.ask("search_glossary", text="turnover")["terms"]
    assert (terms[0]["term"], terms[0]["where"]) == ("Revenue", "revenue")
    history = agents.ask("get_schema_history", dataset="transactions")["versions"]
    assert history[0]["version"] == "v1"
    agents.ask("sample", dataset="dim_product", rows=1)
    used = agents.ask("get_usage", dataset="dim_product")["used"]
    assert "sample" in {one["tool"] for one in used}


def test_lineage_names_what_the_role_may_know(agents):
    up = agents.ask("get_upstream", dataset="mart_finance_daily_revenue")
    assert up["datasets"][0]["dataset"] == "fct_sales"
    assert "transactions" in {one["dataset"] for one in up["datasets"]}
    assert up["hidden"] > 0
    down = {one["dataset"] for one in agents.ask("get_downstream", dataset="fct_sales")["datasets"]}
    assert "mart_finance_daily_revenue" in down
    columns = agents.ask("get_column_lineage", dataset="mart_finance_daily_revenue", column="list_value")
    edges = {(edge["source"], edge["target"]) for edge in columns["upstream"]}
    assert ("fct_sales.retail_disc", "mart_finance_daily_revenue.list_value") in edges
    assert ("transactions.retail_disc", "fct_sales.retail_disc") in edges
    impact = agents.ask("get_impact", dataset="fct_sales", column="retail_disc")
    assert "mart_finance_daily_revenue.list_value" in impact["columns"]
    assert {"list_value", "loyalty_discount", "loyalty_discount_share"} <= set(impact["metrics"])
    assert "baskets" not in impact["metrics"]
    assert agents.ask("get_runs", dataset="fct_sales")["runs"] == []


def test_resources_and_prompts_are_there_to_begin_from(agents):
    async def read():
        async with agents.session("store_manager") as session:
            templates = (await session.list_resource_templates()).resource_templates
            texts = {}
            for kind in ("contracts", "datasets", "lineage", "queries"):
                found = await session.read_resource(f"headwater://{kind}/fct_sales")
                texts[kind] = found.contents[0].text
            index = (await session.read_resource("headwater://datasets")).contents[0].text
            prompts = (await session.list_prompts()).prompts
            text = (await session.get_prompt("explain_anomaly", {"metric": "revenue", "day": "2017-01-05"})).messages
            return {t.uri_template for t in templates}, texts, index, {p.name for p in prompts}, text[0].content.text

    templates, texts, index, prompts, prompt = asyncio.run(read())
    assert templates == {f"headwater://{kind}/{{dataset}}" for kind in texts}
    assert "shown_as: 'null'" in texts["contracts"]
    assert "buying_households" not in texts["contracts"]
    assert "mart_marketing_rfm" not in texts["lineage"] + index
    assert "fct_sales" in texts["lineage"]
    assert "| household_id |" in texts["datasets"]
    for statement in filter(str.strip, texts["queries"].split(";\n")):
        assert agents.ask("query", role="store_manager", sql=statement)["columns"]
    assert prompts == {"analyse_metric", "profile_dataset", "explain_anomaly", "write_safe_query"}
    assert "2017-01-05" in prompt


def test_nobody_asks_without_a_key_or_with_too_narrow_a_one(agents):
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_datasets", "arguments": {}}}
    accept = {"accept": "application/json, text/event-stream"}
    for headers in ({}, {"authorization": "Bearer nonsense"}, {"x-api-key": "hw_none"}):
        answer = httpx.post(agents.url, json=call, headers={**accept, **headers})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert agents.ask("list_datasets", role="narrow")["datasets"]
    with pytest.raises(Refused, match="denied by policy .*: scope"):
        agents.ask("query", role="narrow", sql="SELECT 1")
    with pytest.raises(Refused, match="denied by policy .*: surface"):
        agents.ask("list_datasets", role="marketer")


def test_it_speaks_over_stdio_too(agents):
    async def call():
        async with agents.stdio("--server", "query") as session:
            tools = {tool.name for tool in (await session.list_tools()).tools}
            return tools, answered(await session.call_tool("query", {"sql": "SELECT count() AS n FROM gold.fct_sales"}))

    tools, answer = asyncio.run(call())
    assert tools == SERVERS["query"]
    assert answer["rows"] == [[LINES]]
