"""BI tools' drivers as an analyst: connection, what they list, and every query of the dashboards."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections import Counter
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from tests.integration.policy.conftest import PASSWORD
from tests.integration.policy.test_matrix import expected

from headwater.bi.grafana import grafana_dashboard
from headwater.bi.model import load_dashboard
from headwater.bi.superset import superset_files
from headwater.embedded import downloads
from headwater.embedded.java import find_java
from headwater.semantics.catalogue import offers
from headwater.semantics.compiling import compile_question
from headwater.semantics.question import Grain, Question
from headwater.serving.queries import METRIC_PREFIX, in_role

pytestmark = pytest.mark.integration

ROLE = "role_analyst"
ANALYST = "some.analyst"


@pytest.fixture(scope="module")
def engine(served):
    place = f"127.0.0.1:{served.settings.clickhouse_port}/{ROLE}"
    url = sa.engine.make_url(f"clickhousedb://{place}").set(username=ANALYST, password=PASSWORD)
    made = sa.create_engine(url)
    yield made
    made.dispose()


def views_of(served) -> set[str]:
    """What an analyst has: a view of each dataset, and one of each metric."""
    role = served.policy.roles["analyst"]
    return set(role.views) | {METRIC_PREFIX + name for name in offers(served.contracts, role)}


def test_superset_s_dialect_lists_the_role_s_views_and_no_others(engine, served):
    found = sa.inspect(engine)
    names = set(found.get_table_names(schema=ROLE)) | set(found.get_view_names(schema=ROLE))
    assert names == views_of(served)
    columns = {one["name"]: one for one in found.get_columns("mart_finance_daily_revenue", schema=ROLE)}
    assert {"sale_date", "sales_value"} <= set(columns)
    with engine.connect() as connection:
        with pytest.raises(sa.exc.DatabaseError, match="ACCESS_DENIED|Not enough"):
            connection.execute(sa.text("SELECT count() FROM gold.fct_sales")).all()
        with pytest.raises(sa.exc.DatabaseError, match="ACCESS_DENIED|UNKNOWN"):
            connection.execute(sa.text("SELECT count() FROM role_marketer.fct_sales")).all()


def test_superset_reads_masked_rows_and_money_to_the_cent(engine, served):
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT household_id, monetary FROM mart_marketing_rfm ORDER BY household_id LIMIT 3")
        ).all()
        total = connection.execute(sa.text("SELECT sum(monetary) FROM mart_marketing_rfm")).scalar()
    assert all(len(row[0]) == 32 and isinstance(row[1], Decimal | None) for row in rows)
    names, everything = served.rows["mart_marketing_rfm"]
    assert total == sum(row[names.index("monetary")] or 0 for row in everything)
    assert len(expected(served, "analyst", "mart_marketing_rfm")) == len(everything)


def test_the_view_of_a_metric_gives_an_analyst_the_figures_of_the_metric(engine, served):
    """Of each metric the whole and every dimension, against the compiled question, both asked as the analyst."""
    role, client = served.policy.roles["analyst"], served.as_role("analyst")
    with engine.connect() as connection:
        for name, one in offers(served.contracts, role).items():
            period = "period, " if one.metric.time else ""
            seen = connection.execute(
                sa.text(f"SELECT dimension, {period}member, {name} FROM {METRIC_PREFIX}{name}")
            ).all()
            assert {row[0] for row in seen} == {"all", *one.dimensions}, name
            for dimension in ("", *one.dimensions):
                grain = Grain.MONTH if one.metric.time else None
                asked = compile_question(
                    served.contracts, Question((name,), (dimension,) if dimension else (), grain=grain), role
                )
                own = in_role(asked.sql, ROLE, [f"gold.{dataset}" for dataset in asked.datasets])
                member = f"toString({asked.columns[-2]})" if dimension else "''"
                expected_rows = client.query(f"SELECT {period}{member}, {name} FROM ({own})").result_rows
                found = [tuple(row[1:]) for row in seen if row[0] == (dimension or "all")]
                assert Counter(found) == Counter(expected_rows), f"{name} by {dimension}"
        total = connection.execute(sa.text("SELECT sum(revenue) FROM metric_revenue WHERE dimension = 'all'")).scalar()
    columns, everything = served.rows["fct_sales"]
    assert total == sum(row[columns.index("sales_value")] or 0 for row in everything)


def test_every_chart_of_the_superset_export_has_figures(engine, served):
    dashboard = load_dashboard("loyalty", served.contracts, served.policy)
    files = superset_files(dashboard, served.contracts, served.policy, served.settings)
    datasets = {c["uuid"]: c for path, c in files.items() if path.startswith("datasets/")}
    charts = [c for path, c in files.items() if path.startswith("charts/")]
    assert len(charts) == len(dashboard.charts)
    with engine.connect() as connection:
        for chart in charts:
            params, dataset = chart["params"], datasets[chart["dataset_uuid"]]
            known = {one["metric_name"]: one["expression"] for one in dataset["metrics"]}
            figures = [known[name] for name in params.get("metrics") or [params["metric"]]]
            groups = [*([params["x_axis"]] if "x_axis" in params else []), *params.get("groupby", ())]
            sql = f"SELECT {', '.join([*groups, *figures])} FROM {dataset['schema']}.{dataset['table_name']}"
            sql += f" GROUP BY {', '.join(groups)}" if groups else ""
            rows = connection.execute(sa.text(f"{sql} LIMIT {params['row_limit']}")).all()
            assert rows, chart["slice_name"]
            assert any(row[-1] is not None for row in rows), chart["slice_name"]


def test_every_panel_of_the_grafana_dashboard_is_answered_over_http(served):
    """As the plugin asks: the macro exchanged for days, the login in headers, the time-out as a setting."""
    dashboard = load_dashboard("loyalty", served.contracts, served.policy)
    begin, end = dt.date(2016, 1, 1), dt.date(2022, 1, 1)
    url = f"http://127.0.0.1:{served.settings.clickhouse_port}/"
    headers = {"X-ClickHouse-User": ANALYST, "X-ClickHouse-Key": PASSWORD}
    panels = grafana_dashboard(dashboard)["panels"]
    assert len(panels) == len(dashboard.charts)
    for panel, chart in zip(panels, dashboard.charts, strict=True):
        column = chart.time
        during = f"{column} >= toDate('{begin}') AND {column} <= toDate('{end}')"
        sql = panel["targets"][0]["rawSql"].replace(f"$__dateFilter({column})", during)
        settings = {"database": ROLE, "default_format": "JSONCompact", "max_execution_time": "60"}
        answer = httpx.post(url, params=settings, headers=headers, content=sql)
        assert answer.status_code == 200, f"{panel['title']}: {answer.text}"
        assert answer.json()["rows"] >= 1, panel["title"]
    refused = httpx.post(url, params={"max_execution_time": "3600"}, headers=headers, content="SELECT 1")
    assert "SETTING_CONSTRAINT_VIOLATION" in refused.text


def test_jdbc_as_metabase_and_dbeaver_use_it(served):
    settings = served.settings
    java = find_java(settings)
    if java is None or not (Path(java.executable).with_name("javac")).exists():
        pytest.skip("no JDK on this machine")
    (entry,) = [one for one in downloads.locked() if "clickhouse-jdbc" in one.path]
    downloads.ensure(settings, ["spark"], java.executable)
    (logging,) = (Path(str(find_spec("pyspark").origin)).parent / "jars").glob("slf4j-api-*.jar")
    url = f"jdbc:clickhouse:http://127.0.0.1:{settings.clickhouse_port}/{ROLE}"
    command = [
        str(java.executable),
        "-Xmx128m",
        "-cp",
        f"{settings.downloads_dir / entry.path}:{logging}",
        str(Path(__file__).with_name("Ask.java")),
    ]
    done = subprocess.run(
        [*command, url, ANALYST, PASSWORD, ROLE], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = [line.partition("=")[::2] for line in done.stdout.splitlines() if "=" in line]
    facts = dict(told)
    seen = {
        name
        for name in facts["tables"].split()
        if not name.startswith(("system.", "information_schema.", "INFORMATION_SCHEMA."))
    }
    assert seen == {f"{ROLE}.{name}" for name in views_of(served)}
    assert facts["column"].startswith(("String", "Nullable(String)"))
    assert "hash" in facts["column"]
    rows = [value.split("|") for name, value in told if name == "row"]
    assert len(rows) == 2
    assert all(len(row[0]) == 32 for row in rows)
    assert facts["count"] == "2"
    assert [value for name, value in told if name == "code"] != []
    assert "answered" not in facts
