"""A dashboard for Grafana and its data source plugin `grafana-clickhouse-datasource` (4.x), to be imported as JSON."""

from __future__ import annotations

from typing import Any

from headwater.bi.model import Chart, Dashboard, Kind

PLUGIN = "grafana-clickhouse-datasource"
SCHEMA_VERSION = 39
_SOURCE = {"type": PLUGIN, "uid": "${DS_CLICKHOUSE}"}
_PANELS = {
    Kind.NUMBER: "stat",
    Kind.LINE: "timeseries",
    Kind.BAR: "barchart",
    Kind.PIE: "piechart",
    Kind.TABLE: "table",
}
_TIMESERIES, _TABLE = 0, 1
"""The plugin's formats of an answer."""

_WIDTH, _SMALL, _TALL = 24, 4, 9


def grafana_dashboard(dashboard: Dashboard) -> dict[str, Any]:
    """The JSON model; Grafana asks for the data source when it is imported."""
    panels: list[dict[str, Any]] = []
    x = y = row = 0
    for number, chart in enumerate(dashboard.charts, start=1):
        width, height = (8, _SMALL) if chart.kind is Kind.NUMBER else (24 if chart.kind is Kind.LINE else 12, _TALL)
        if x + width > _WIDTH or (panels and height != row):
            x, y = 0, y + row
        row = height
        panels.append(_panel(chart, number, {"x": x, "y": y, "w": width, "h": height}))
        x += width
    return {
        "__inputs": [
            {"name": "DS_CLICKHOUSE", "label": "ClickHouse", "type": "datasource", "pluginId": PLUGIN,
             "description": f"Headwater's ClickHouse, logged in as somebody with the role {dashboard.role}"},
        ],
        "__requires": [{"type": "datasource", "id": PLUGIN, "name": "ClickHouse", "version": "4.0.0"}],
        "uid": f"headwater-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["headwater"],
        "timezone": "utc",
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "",
        "time": {"from": f"{dashboard.begin}T00:00:00.000Z", "to": f"{dashboard.end}T00:00:00.000Z"},
        "panels": panels,
    }  # fmt: skip


def _panel(chart: Chart, number: int, place: dict[str, int]) -> dict[str, Any]:
    line = chart.kind is Kind.LINE
    target = {
        "refId": "A",
        "datasource": _SOURCE,
        "editorType": "sql",
        "queryType": "timeseries" if line else "table",
        "format": _TIMESERIES if line else _TABLE,
        "rawSql": chart.sql(f"$__dateFilter({chart.time})" if chart.time else ""),
        "pluginVersion": "4.0.0",
    }
    defaults = {"unit": chart.unit} if chart.unit else {}
    return {
        "id": number,
        "type": _PANELS[chart.kind],
        "title": chart.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [target],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(chart),
    }


def _options(chart: Chart) -> dict[str, Any]:
    every_row = {"reduceOptions": {"values": True, "calcs": [], "fields": ""}}
    match chart.kind:
        case Kind.PIE:
            return every_row
        case Kind.BAR:
            return {"xField": chart.by[0]}
        case Kind.NUMBER:
            return {"reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""}}
        case _:
            return {}
