"""A dashboard for Apache Superset: the files of an export (format 1.0.0), which its import takes as one ZIP.

Ids are made of names, so that a later import updates what an earlier one made. The password is not in it: Superset
asks for it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

import yaml

from headwater.bi.model import Chart, Dashboard, Kind
from headwater.contracts.model import Contracts
from headwater.policy.model import Policy
from headwater.serving.shape import Shape, shape_of
from headwater.settings import Settings

VERSION = "1.0.0"
DATABASE = "Headwater"
_NAMES = UUID("5a5ad2f4-3bb5-4c27-9f0e-8f1a5a0c7d10")
_WRITTEN = (2026, 1, 1, 0, 0, 0)
_STAMP = "2026-01-01T00:00:00+00:00"
"""The same files give the same ZIP."""

_VISUALS = {
    Kind.NUMBER: "big_number_total",
    Kind.LINE: "echarts_timeseries_line",
    Kind.BAR: "echarts_timeseries_bar",
    Kind.PIE: "pie",
    Kind.TABLE: "table",
}
_COLUMNS = 12


def superset_files(
    dashboard: Dashboard, contracts: Contracts, policy: Policy, settings: Settings
) -> dict[str, dict[str, Any]]:
    """The files by their path below the ZIP's one folder."""
    role = policy.roles[dashboard.role]
    files: dict[str, dict[str, Any]] = {
        "metadata.yaml": {"version": VERSION, "type": "Dashboard", "timestamp": _STAMP},
        f"databases/{DATABASE}.yaml": _database(role.database, settings),
    }
    for name in sorted({chart.dataset for chart in dashboard.charts}):
        shape = shape_of(contracts.get(name), role.views[name])
        charts = [chart for chart in dashboard.charts if chart.dataset == name]
        described = contracts.get(name)
        label = described.business_name or name
        files[f"datasets/{DATABASE}/{name}.yaml"] = _dataset(shape, role.database, label, charts)
    for chart in dashboard.charts:
        files[f"charts/{chart.name}.yaml"] = _chart(chart)
    files[f"dashboards/{dashboard.name}.yaml"] = _dashboard(dashboard)
    return files


def superset_zip(files: Mapping[str, Mapping[str, Any]], name: str) -> bytes:
    """The ZIP to import."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
            archive.writestr(zipfile.ZipInfo(f"headwater_{name}/{path}", _WRITTEN), text, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _id(*names: str) -> str:
    return str(uuid5(_NAMES, "/".join(names)))


def _database(database: str, settings: Settings) -> dict[str, Any]:
    scheme = "?secure=true" if settings.clickhouse_secure else ""
    place = f"{settings.clickhouse_host}:{settings.clickhouse_port}/{database}{scheme}"
    return {
        "database_name": DATABASE,
        "sqlalchemy_uri": f"clickhousedb://CHANGE_ME:XXXXXXXXXX@{place}",
        "expose_in_sqllab": True,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "extra": {"allows_virtual_table_explore": True, "per_user_caching": True},
        "uuid": _id("database"),
        "version": VERSION,
    }


def _dataset(shape: Shape, database: str, label: str, charts: list[Chart]) -> dict[str, Any]:
    measures = {(title, expression) for chart in charts for title, expression in chart.measures.items()}
    times = {chart.time for chart in charts if chart.time}
    return {
        "table_name": shape.dataset,
        "main_dttm_col": min(times) if times else None,
        "description": label,
        "schema": database,
        "sql": None,
        "columns": [
            {
                "column_name": column.name,
                "is_dttm": column.kind.startswith("Date"),
                "is_active": True,
                "type": column.kind,
                "groupby": True,
                "filterable": True,
                "description": column.description,
            }
            for column in shape.columns.values()
        ],
        "metrics": [
            {"metric_name": metric_name(title), "verbose_name": title, "expression": expression}
            for title, expression in sorted(measures)
        ],
        "uuid": _id("dataset", shape.dataset),
        "database_uuid": _id("database"),
        "version": VERSION,
    }


def metric_name(title: str) -> str:
    """The name of a measure among its dataset's metrics."""
    return title.lower().replace(" ", "_")


def _chart(chart: Chart) -> dict[str, Any]:
    metrics = [metric_name(title) for title in chart.measures]
    params: dict[str, Any] = {"viz_type": _VISUALS[chart.kind], "row_limit": chart.limit, "adhoc_filters": []}
    match chart.kind:
        case Kind.NUMBER:
            params |= {"metric": metrics[0]}
        case Kind.PIE:
            params |= {"groupby": list(chart.by), "metric": metrics[0]}
        case Kind.TABLE:
            params |= {"query_mode": "aggregate", "groupby": list(chart.by), "metrics": metrics, "order_desc": True}
        case Kind.LINE:
            params |= {"x_axis": chart.time, "time_grain_sqla": "P1D", "metrics": metrics, "groupby": []}
        case Kind.BAR:
            params |= {"x_axis": chart.by[0], "metrics": metrics, "groupby": list(chart.by[1:])}
    return {
        "slice_name": chart.title,
        "viz_type": _VISUALS[chart.kind],
        "params": params,
        "uuid": _id("chart", chart.name),
        "dataset_uuid": _id("dataset", chart.dataset),
        "version": VERSION,
    }


def _dashboard(dashboard: Dashboard) -> dict[str, Any]:
    position: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": [], "parents": ["ROOT_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": dashboard.title}},
    }
    left, row = 0, ""
    for number, chart in enumerate(dashboard.charts):
        width = 4 if chart.kind is Kind.NUMBER else 12 if chart.kind is Kind.LINE else 6
        if left < width:
            row, left = f"ROW-{number}", _COLUMNS
            position["GRID_ID"]["children"].append(row)
            position[row] = {
                "type": "ROW", "id": row, "children": [], "parents": ["ROOT_ID", "GRID_ID"],
                "meta": {"background": "BACKGROUND_TRANSPARENT"},
            }  # fmt: skip
        left -= width
        place = f"CHART-{chart.name}"
        position[row]["children"].append(place)
        height = 20 if chart.kind is Kind.NUMBER else 50
        meta = {"width": width, "height": height, "uuid": _id("chart", chart.name), "sliceName": chart.title}
        parents = ["ROOT_ID", "GRID_ID", row]
        position[place] = {"type": "CHART", "id": place, "children": [], "parents": parents, "meta": meta}
    return {
        "dashboard_title": dashboard.title,
        "description": dashboard.description,
        "slug": f"headwater-{dashboard.name}",
        "uuid": _id("dashboard", dashboard.name),
        "position": position,
        "metadata": {"color_scheme": "supersetColors", "cross_filters_enabled": True},
        "version": VERSION,
    }
