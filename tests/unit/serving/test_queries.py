"""What the parser lets an agent ask. The engine's own guard is tested with the endpoint, without this one."""

from __future__ import annotations

import pytest

from headwater.serving.queries import QueryRefused, in_role, tables_of

ANSWERED = {
    "SELECT 1": [],
    "SELECT * FROM gold.fct_sales": ["gold.fct_sales"],
    "SELECT a.x, b.y FROM gold.a AS a JOIN live.b AS b USING (k)": ["gold.a", "live.b"],
    "WITH c AS (SELECT * FROM gold.a) SELECT count() FROM c": ["gold.a"],
    "SELECT sum(v) OVER (PARTITION BY k ORDER BY d) FROM gold.a": ["gold.a"],
    "SELECT arrayJoin([1, 2]) AS n, quantile(0.5)(v) FROM gold.a GROUP BY n": ["gold.a"],
    "SELECT * FROM gold.a WHERE k IN (SELECT k FROM gold.b)": ["gold.a", "gold.b"],
    "SELECT 1 UNION ALL SELECT 2": [],
    "SELECT {x:Nullable(Int64)} AS x FROM gold.a WHERE k IN {k:Array(String)}": ["gold.a"],
    "SELECT * FROM gold.a -- the newest; not the old\n LIMIT 3;": ["gold.a"],
}

REFUSED = [
    "SELECT 1; DROP TABLE gold.a",
    "/* SELECT */ DROP TABLE gold.a",
    "DROP TABLE gold.a",
    "INSERT INTO gold.a SELECT 1",
    "ALTER TABLE gold.a DELETE WHERE 1",
    "CREATE TABLE gold.b AS gold.a",
    "SET readonly = 0",
    "GRANT ALL ON *.* TO reader",
    "KILL QUERY WHERE 1",
    "SYSTEM SHUTDOWN",
    "EXPLAIN SELECT 1",
    "SELECT * FROM gold.a SETTINGS readonly = 0",
    "SELECT * FROM (SELECT * FROM gold.a SETTINGS max_execution_time = 0)",
    "WITH c AS (SELECT 1 SETTINGS readonly = 0) SELECT * FROM c",
    "SELECT * FROM gold.a INTO OUTFILE '/tmp/x'",
    "SELECT * FROM gold.a FORMAT Native",
    "SELECT * FROM url('http://127.0.0.1/x', CSV)",
    "SELECT * FROM gold.a WHERE 1 IN (SELECT * FROM file('/etc/passwd'))",
    "SELECT * FROM (SELECT * FROM remote('127.0.0.1', gold.a))",
    "SELECT * FROM s3Cluster('c', 'http://x')",
    "SELECT * FROM mysql('h', 'd', 't', 'u', 'p')",
    "SELECT * FROM executable('x', CSV, 'a Int8')",
    "SELECT file('/etc/passwd')",
    "SELECT dictGet('d', 'a', 1)",
    "SELECT * FROM system.users",
    "SELECT * FROM platform.loads",
    "SELECT * FROM a",
    "SELECT 1 IN system.one",
    "WITH t AS (SELECT 1) SELECT * FROM {t:Identifier}",
    "WITH t AS (SELECT 1) SELECT * FROM {t:String}",
    "WITH {t:Identifier} AS (SELECT 1) SELECT 1",
    "SELECT * FROM gold.{t:Identifier}",
    "SELECT * FROM {d:identifier}.a",
    "SELECT {c:Identifier} FROM gold.a",
    "SELECT a.{ c : Identifier } FROM gold.a AS a",
    "SELECT * FROM metric_x UNION ALL (WITH metric_x AS (SELECT 1) SELECT * FROM metric_x)",
    'WITH "a\\x62" AS (SELECT 1) SELECT * FROM "a\\x62"',
    "not sql at all",
    "",
]


@pytest.mark.parametrize("sql", ANSWERED)
def test_a_select_over_datasets_is_answered(sql):
    assert tables_of(sql) == ANSWERED[sql]


@pytest.mark.parametrize("sql", REFUSED)
def test_anything_else_is_refused_and_says_what_to_do(sql):
    with pytest.raises(QueryRefused) as refused:
        tables_of(sql)
    assert refused.value.remedy


IN_ROLE = {
    "SELECT * FROM gold.a": "SELECT * FROM `role_x`.`a`",
    'SELECT gold.a.k FROM `gold` . "a", live.b AS b': "SELECT `role_x`.`a`.k FROM `role_x`.`a`, `role_x`.`b` AS b",
    "SELECT 'gold.a' -- gold.a": "SELECT 'gold.a' -- gold.a",
    "SELECT 1 /* gold.a */ FROM gold.a": "SELECT 1 /* gold.a */ FROM `role_x`.`a`",
    "SELECT x.gold.a FROM live.x": "SELECT x.gold.a FROM `role_x`.`x`",
    "SELECT 1": "SELECT 1",
    "SELECT live.k FROM live.x AS live": "SELECT live.k FROM `role_x`.`x` AS live",
    # What is no name of a dataset never gets into the statement that runs.
    'SELECT gold."x` FROM (SELECT 1 AS x) AS role_x --" FROM gold.a': (
        'SELECT gold."x` FROM (SELECT 1 AS x) AS role_x --" FROM `role_x`.`a`'
    ),
}


@pytest.mark.parametrize("sql", IN_ROLE)
def test_names_of_tables_become_those_of_the_role(sql):
    assert in_role(sql, "role_x", tables_of(sql)) == IN_ROLE[sql]


def test_a_name_is_quoted_whatever_it_is():
    sql = 'SELECT * FROM gold."a` b"'
    assert in_role(sql, "role_x", tables_of(sql)) == "SELECT * FROM `role_x`.`a\\` b`"


def test_no_with_is_named_like_a_dataset():
    sql = "SELECT * FROM (WITH dim_x AS (SELECT 1) SELECT * FROM dim_x) AS a, dim_x AS b"
    with pytest.raises(QueryRefused, match="'dim_x'"):
        tables_of(sql, {"dim_x"})
