"""`headwater bi grafana|superset`: a declared dashboard, written out for a BI tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headwater.bi.grafana import grafana_dashboard
from headwater.bi.model import Dashboard, dashboards, load_dashboard
from headwater.bi.superset import superset_files, superset_zip
from headwater.console import Json, noun, say
from headwater.contracts.loader import load_contracts
from headwater.policy.loader import load_policy
from headwater.settings import get_settings

app = noun("Dashboards for BI tools.")
Name = Annotated[str, typer.Argument(help="Which dashboard.")]
Out = Annotated[Path, typer.Option("--out", help="The file to write.")]


@app.command("list")
def list_dashboards(as_json: Json = False) -> None:
    """The dashboards that are declared."""
    say(as_json, dashboards(), "\n".join(dashboards()))


@app.command()
def grafana(out: Out, name: Name = "loyalty", as_json: Json = False) -> None:
    """Write the JSON that Grafana imports."""
    model = grafana_dashboard(_loaded(name))
    out.write_text(json.dumps(model, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    say(as_json, {"file": str(out), "panels": len(model["panels"])}, f"{out}: {len(model['panels'])} panels")


@app.command()
def superset(out: Out, name: Name = "loyalty", as_json: Json = False) -> None:
    """Write the ZIP that Superset imports, with the warehouse of the settings as its database."""
    contracts = load_contracts()
    policy = load_policy(contracts=contracts)
    dashboard = load_dashboard(name, contracts, policy)
    out.write_bytes(superset_zip(superset_files(dashboard, contracts, policy, get_settings()), name))
    say(as_json, {"file": str(out), "charts": len(dashboard.charts)}, f"{out}: {len(dashboard.charts)} charts")


def _loaded(name: str) -> Dashboard:
    contracts = load_contracts()
    return load_dashboard(name, contracts, load_policy(contracts=contracts))
