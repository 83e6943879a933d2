"""The dashboards are over what their role may see, and the ready files are what the commands write."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from uuid import UUID

import pytest
import yaml

from headwater.bi import model
from headwater.bi.grafana import grafana_dashboard
from headwater.bi.model import Kind, load_dashboard
from headwater.bi.superset import metric_name, superset_files, superset_zip
from headwater.contracts.loader import load_contracts
from headwater.errors import ConfigurationError, TerminalError
from headwater.policy.loader import load_policy
from headwater.settings import Settings

READY = Path(__file__).parents[3] / "docs" / "how-to" / "bi"
CONTRACTS = load_contracts()
POLICY = load_policy(contracts=CONTRACTS)
LOYALTY = load_dashboard("loyalty", CONTRACTS, POLICY)
MARTS = {name for name in CONTRACTS.datasets if name.startswith("mart_")}


def superset() -> dict:
    settings = Settings(_env_file=None, home=Path("/nowhere"), clickhouse_host="127.0.0.1", clickhouse_port=19023)
    return superset_files(LOYALTY, CONTRACTS, POLICY, settings)


def test_every_mart_of_the_demo_has_a_chart():
    assert {chart.dataset for chart in LOYALTY.charts} == MARTS


def test_the_ready_grafana_dashboard_is_what_the_command_writes():
    assert json.loads((READY / "loyalty-grafana.json").read_text()) == grafana_dashboard(LOYALTY)


def test_the_ready_superset_export_is_what_the_command_writes():
    with zipfile.ZipFile(READY / "loyalty-superset.zip") as ready:
        found = {name.partition("/")[2]: yaml.safe_load(ready.read(name)) for name in ready.namelist()}
    assert found == superset()


def test_panels_stand_beside_each_other_and_ask_for_the_time_that_is_shown():
    panels = grafana_dashboard(LOYALTY)["panels"]
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    by_title = {panel["title"]: panel["targets"][0] for panel in panels}
    for chart in LOYALTY.charts:
        target = by_title[chart.title]
        assert (f"$__dateFilter({chart.time})" in target["rawSql"]) is bool(chart.time)
        assert target["format"] == (0 if chart.kind is Kind.LINE else 1)


def test_every_id_of_the_superset_export_leads_somewhere():
    files = superset()
    ids = {path: content["uuid"] for path, content in files.items() if "uuid" in content}
    assert len(set(map(UUID, ids.values()))) == len(ids)
    datasets = {c["uuid"]: c for path, c in files.items() if path.startswith("datasets/")}
    charts = {c["uuid"]: c for path, c in files.items() if path.startswith("charts/")}
    for chart in charts.values():
        metrics = {one["metric_name"] for one in datasets[chart["dataset_uuid"]]["metrics"]}
        wanted = chart["params"].get("metrics") or [chart["params"]["metric"]]
        assert set(wanted) <= metrics
        columns = {one["column_name"] for one in datasets[chart["dataset_uuid"]]["columns"]}
        assert set(chart["params"].get("groupby", ())) <= columns
        assert chart["params"].get("x_axis", next(iter(columns))) in columns
    position = files["dashboards/loyalty.yaml"]["position"]
    placed = {one["meta"]["uuid"] for one in position.values() if isinstance(one, dict) and one.get("type") == "CHART"}
    assert placed == set(charts)
    for one in position.values():
        if isinstance(one, dict) and one["type"] == "ROW":
            assert sum(position[child]["meta"]["width"] for child in one["children"]) <= 12
    database = files["databases/Headwater.yaml"]
    assert database["sqlalchemy_uri"].endswith("@127.0.0.1:19023/role_analyst")
    assert not re.search(r"password", json.dumps(files), re.I)


def test_the_same_dashboard_gives_the_same_file():
    assert superset_zip(superset(), "loyalty") == superset_zip(superset(), "loyalty")
    names = zipfile.ZipFile(io.BytesIO(superset_zip(superset(), "loyalty"))).namelist()
    assert "headwater_loyalty/metadata.yaml" in names
    assert metric_name("At list price") == "at_list_price"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dataset": "no_such_mart"}, "sees no dataset"),
        ({"by": ["household_id"]}, "does not see household_id"),
        ({"kind": "cake"}, "cake"),
        ({"sql": "SELECT 1"}, "sql"),
        ({"kind": "line"}, "needs a time"),
    ],
)
def test_a_chart_over_what_the_role_does_not_see_is_refused(tmp_path, monkeypatch, change, says):
    given = yaml.safe_load((model.HERE / "loyalty.yaml").read_text())
    chart = next(one for one in given["charts"] if one["name"] == "segments")
    chart.update(change)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(given))
    monkeypatch.setattr(model, "HERE", tmp_path)
    with pytest.raises(ConfigurationError, match=says):
        load_dashboard("own", CONTRACTS, POLICY)
    with pytest.raises(TerminalError, match="known are: own"):
        load_dashboard("loyalty", CONTRACTS, POLICY)
