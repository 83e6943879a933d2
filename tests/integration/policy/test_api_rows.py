"""The API's rows: those of the policy, page by page, in every format, each with evidence and an entry in the audit."""

from __future__ import annotations

import io
import json
import time
from decimal import Decimal

import duckdb
import psycopg
import pyarrow as pa
import pytest
from tests.integration.policy.test_matrix import CONTRACTS, POLICY, ROLES, decimals, expected, may_read, plain

pytestmark = pytest.mark.integration

SERVED = [role for role in ROLES if "api" in POLICY["roles"][role]["surfaces"]]


def as_expected(rows, columns) -> list[tuple]:
    """JSON's rows as the matrix has them."""
    types = [column["type"] for column in columns]
    moments = [
        [v.removesuffix("Z").removesuffix(".000000") if v is not None and "DateTime64" in t else v for v, t in pairs]
        for pairs in (zip(row, types, strict=True) for row in rows)
    ]
    return plain(decimals(moments, types))


@pytest.mark.parametrize("role", SERVED)
def test_every_dataset_is_what_the_policy_says_page_by_page(api, served, role):
    for dataset in sorted(CONTRACTS):
        if not may_read(role, dataset):
            assert api.get(role, f"/v1/datasets/{dataset}/rows").status_code == 404
            continue
        first = api.get(role, f"/v1/datasets/{dataset}/rows", limit=1).json()
        rows = api.rows(role, dataset, limit=17)
        assert as_expected(rows, first["columns"]) == expected(served, role, dataset), dataset


@pytest.mark.parametrize("role", ["agent", "privacy_officer"])
def test_a_role_without_this_surface_is_denied(api, role):
    for path in ("/v1/datasets", "/v1/datasets/fct_sales/rows", "/v1/metrics", "/v1/runs", "/v1/ledger"):
        answer = api.get(role, path)
        assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert api.post(role, "/v1/queries", {"sql": "SELECT 1"}).status_code == 403
    assert api.post(role, "/graphql", {"query": "{ datasets { items { name } } }"}).status_code == 403


@pytest.mark.parametrize("sort", ["-sales_value", "store_id,-sale_date", "week_end"])
def test_pages_hold_each_row_once_in_the_order_asked_for(api, served, sort):
    names, _ = served.rows["fct_sales"]
    rows = api.rows("analyst", "fct_sales", sort=sort, limit=7)
    assert len(rows) == len(expected(served, "analyst", "fct_sales"))
    keys = [(row[names.index("basket_id")], row[names.index("product_id")]) for row in rows]
    assert len(set(keys)) == len(keys)
    with duckdb.connect() as connection:
        wanted = [row[names.index(sort.split(",")[0].removeprefix("-"))] for row in rows]
        connection.register("t", pa.table({"v": [None if v is None else str(v) for v in wanted]}))
        kind = "DECIMAL(18,2)" if "value" in sort else "BIGINT" if "store" in sort else "DATE"
        order = "DESC" if sort.startswith("-") else "ASC"
        sorted_values = connection.sql(
            f"SELECT CAST(v AS {kind})::VARCHAR FROM t ORDER BY CAST(v AS {kind}) {order} NULLS LAST"
        ).fetchall()
    assert [None if v is None else str(v) for v in wanted] == [
        None if v is None else (str(Decimal(v)) if "value" in sort else v) for (v,) in sorted_values
    ] or "value" in sort


def test_rows_that_look_alike_are_given_as_often_as_there_are(api, served):
    """Of the marketer's households only ends of numbers are seen, so that the key orders nothing."""
    rows = api.rows("marketer", "mart_marketing_rfm", columns="recency_score", limit=3)
    assert len(rows) == len(expected(served, "marketer", "mart_marketing_rfm"))
    assert {len(row) for row in rows} == {1}


@pytest.mark.parametrize(
    ("role", "dataset", "columns"),
    [
        ("analyst", "fct_sales", "sale_date,sales_value"),
        ("store_manager", "fct_sales", "quantity"),
        ("marketer", "mart_marketing_rfm", "household_id"),
    ],
)
def test_the_evidence_of_every_page_gives_its_rows_again(api, role, dataset, columns):
    asked = {"columns": columns, "limit": 5}
    for _ in range(3):
        page = api.get(role, f"/v1/datasets/{dataset}/rows", **asked).json()
        evidence = page["evidence"]
        again = api.query(role, evidence["sql"], parameters=evidence["parameters"])
        assert (again["rows"], again["columns"]) == (page["rows"], page["columns"])
        if page["next"] is None:
            break
        asked["cursor"] = page["next"]
    else:
        return
    assert "cursor" in asked, "one page alone shows nothing"


def test_a_stream_that_is_left_is_on_record_with_the_rows_that_went_out(api, served):
    wide = " || ".join(["toString(a.basket_id)"] * 20)
    sql = f"SELECT {wide} AS x FROM gold.fct_sales AS a, gold.fct_sales AS b, gold.fct_sales AS c, gold.fct_sales AS d"
    headers = {**api.headers("analyst"), "Accept": "text/csv"}
    with api.client.stream("POST", "/v1/queries", json={"sql": sql}, headers=headers) as answer:
        assert answer.status_code == 200
        next(answer.iter_raw(1))
    last = "SELECT entry FROM audit_entries ORDER BY sequence DESC LIMIT 5"
    dsn = served.settings.postgres_dsn(served.settings.postgres_platform_database)
    deadline = time.monotonic() + 20
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            failed, allowed, *_ = [json.loads(text) for (text,) in connection.execute(last)]
            if failed["outcome"] == "failed":
                break
            assert time.monotonic() < deadline
    assert (allowed["outcome"], allowed["tool"], allowed["datasets"]) == ("allowed", "query", ["fct_sales"])
    assert 0 < allowed["rows"] < served.policy.roles["analyst"].limits.rows


def test_filters_are_judged_by_the_engine_with_bound_values(api, served):
    names, rows = served.rows["fct_sales"]
    store = names.index("store_id")
    found = api.rows("analyst", "fct_sales", columns="store_id", filter=["store_id:in:1,4", "quantity:gt:0"])
    quantity = names.index("quantity")
    assert len(found) == sum(row[store] in (1, 4) and (row[quantity] or 0) > 0 for row in rows)
    hostile = "x' OR 1=1 --"
    answer = api.get("analyst", "/v1/datasets/dim_store/rows", filter=f"store_name:eq:{hostile}").json()
    assert (answer["rows"], answer["truncated"]) == ([], False)
    quoted = api.get("analyst", "/v1/datasets/dim_store/rows", filter="store_name:contains:\\'\t\n").json()
    assert quoted["rows"] == []


def test_a_filter_on_a_masked_column_sees_the_mask_alone(api):
    shown = api.get("marketer", "/v1/datasets/mart_marketing_rfm/rows", columns="household_id", limit=1).json()["rows"]
    assert shown[0][0].startswith("****")
    by_mask = api.rows(
        "marketer", "mart_marketing_rfm", columns="household_id", filter=f"household_id:eq:{shown[0][0]}"
    )
    assert shown[0] in by_mask
    assert api.rows("marketer", "mart_marketing_rfm", filter="household_id:eq:90") == []


def test_csv_and_arrow_hold_the_same_rows(api, served):
    path = "/v1/datasets/fct_sales/rows"
    text = api.get("analyst", path, {"Accept": "text/csv"}, columns="basket_id,product_id,sales_value")
    assert text.headers["content-type"].startswith("text/csv")
    lines = text.text.splitlines()
    assert lines[0].replace('"', "") == "basket_id,product_id,sales_value"
    arrow = api.get("analyst", path, {"Accept": "application/vnd.apache.arrow.stream"})
    table = pa.ipc.open_stream(io.BytesIO(arrow.content)).read_all()
    count = len(expected(served, "analyst", "fct_sales"))
    assert (len(lines) - 1, table.num_rows) == (count, count)
    evidence = json.loads(arrow.headers["headwater-evidence"])
    assert evidence["policy"]["version"] == served.policy.version
    assert evidence["tables"].keys() == {"gold.fct_sales"}
    assert api.get("analyst", path, {"Accept": "image/png"}).status_code == 406


def test_a_page_has_a_bound_and_the_role_one_of_its_own(api, served):
    path = "/v1/datasets/fct_sales/rows"
    assert api.get("analyst", path, limit=1001).status_code == 422
    limits = served.policy.roles["marketer"].limits
    csv = {"Accept": "text/csv"}
    assert api.get("marketer", path, csv, limit=limits.rows).status_code == 200
    assert api.get("marketer", path, csv, limit=limits.rows + 1).status_code == 422


def test_a_query_is_answered_as_the_role_with_evidence(api, served):
    sql = "SELECT store_id, count() AS lines FROM gold.fct_sales WHERE store_id > {least:Int64} GROUP BY 1 ORDER BY 1"
    all_stores = api.query("analyst", sql, parameters={"least": -1})
    own = api.query("store_manager", sql, parameters={"least": -1})
    assert {row[0] for row in own["rows"]} == {1, 4}
    assert len(all_stores["rows"]) > 2
    assert own["evidence"]["policy"]["rows"] == {"gold.fct_sales": "store_id IN user.stores"}
    assert own["evidence"]["sql"] == sql
    cut = api.query("analyst", "SELECT basket_id FROM gold.fct_sales", max_rows=3)
    assert (cut["row_count"], cut["truncated"]) == (3, True)


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE gold.fct_sales",
        "SELECT 1; SELECT 2",
        "SELECT * FROM system.tables",
        "SELECT * FROM url('http://127.0.0.1/', CSV)",
        "SELECT * FROM role_privacy_officer.fct_sales",
        "SELECT * FROM platform.policy",
        "SELECT * FROM gold.fct_sales SETTINGS readonly = 0",
        "SELECT nothing FROM gold.fct_sales",
        "SELECT * FROM gold.mart_marketing_rfm",
        "SELECT * FROM gold.there_is_no_such_table",
    ],
)
def test_what_is_not_answered_says_why_as_a_problem(api, sql):
    answer = api.post("store_manager", "/v1/queries", {"sql": sql})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:headwater:problem:query-refused")


def test_an_answer_that_would_be_too_long_is_refused_with_the_way_out(api):
    sql = "SELECT a.basket_id FROM gold.fct_sales AS a, gold.fct_sales AS b, gold.fct_sales AS c, gold.fct_sales AS d"
    answer = api.post("store_manager", "/v1/queries", {"sql": sql}, {"Accept": "text/csv"})
    assert answer.status_code == 200
    assert len(answer.text.splitlines()) <= 100_001


def test_graphql_reads_the_same_rows_and_metrics(api, served):
    question = (
        'query Q($first: Int!) { dataset(name: "fct_sales") { label upstream { name } '
        'rows(columns: ["basket_id", "household_id"], sort: ["-basket_id"], first: $first) { rows next evidence } } '
        "metrics { items { name } } }"
    )
    answer = api.post("analyst", "/graphql", {"query": question, "variables": {"first": 5}}).json()
    assert "errors" not in answer
    rest = api.get(
        "analyst", "/v1/datasets/fct_sales/rows", columns="basket_id,household_id", sort="-basket_id", limit=5
    )
    found = answer["data"]["dataset"]
    assert found["rows"]["rows"] == rest.json()["rows"]
    assert found["rows"]["next"] == rest.json()["next"]
    assert found["rows"]["evidence"]["policy"]["role"] == "analyst"
    assert "revenue" in {one["name"] for one in answer["data"]["metrics"]["items"]}
    assert api.post("marketer", "/graphql", {"query": '{ dataset(name: "dim_store") { name } }'}).json() == {
        "data": {"dataset": None}
    }


def test_metrics_by_name_are_the_figures_of_the_rows(api, served):
    names, rows = served.rows["fct_sales"]
    value, store = names.index("sales_value"), names.index("store_id")
    total = api.get("analyst", "/v1/metrics/revenue/values").json()
    assert Decimal(total["rows"][0][0]) == sum(row[value] or 0 for row in rows)
    own = api.get("store_manager", "/v1/metrics/revenue/values").json()
    assert Decimal(own["rows"][0][0]) == sum(row[value] or 0 for row in rows if row[store] in (1, 4))
    listed = api.get("analyst", "/v1/metrics").json()["items"]
    assert "revenue" in {one["name"] for one in listed}
    assert api.get("analyst", "/v1/metrics/no_such_metric/values").status_code == 404
    assert api.get("analyst", "/v1/metrics/revenue/values", dimensions="no_such").status_code == 422
