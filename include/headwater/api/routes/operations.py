"""What became of the data: lineage, quality, Airflow's runs, the ledger."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from headwater.api.reading.reading import Reading
from headwater.api.routes.answers import ListModel, OpenModel, json_answer, paged, refusals
from headwater.api.routes.datasets import CursorText, Limit, Name
from headwater.contracts.model import Dataset
from headwater.policy.model import Caller

router = APIRouter(prefix="/v1", tags=["operations"])


class RunState(StrEnum):
    """States of Airflow's runs."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


@router.get("/datasets/{dataset}/lineage", response_model=OpenModel, responses=refusals(404), tags=["datasets"])
def get_lineage(request: Request, dataset: Name) -> Response:
    """From which datasets this one is made, and which are made of it, column by column; those that you may know of."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "lineage") as asking:
        declared = reading.dataset(dataset, asking.caller)
        known = {d.name: d for d in reading.contracts.datasets.values() if reading.knows(asking.caller, d)}
        body = {
            "dataset": declared.name,
            "upstream": [name for name in declared.inputs if name in known],
            "downstream": sorted(d.name for d in known.values() if declared.name in d.inputs),
            "hidden": sum(name not in known for name in declared.inputs),
            "columns": {column.name: _sources(column.sources, declared, known) for column in declared.columns},
        }
        asking.answered(datasets=(declared.name,), rows=0)
        return json_answer(request, body)


@router.get("/lineage", response_model=ListModel, responses=refusals())
def list_lineage(request: Request, limit: Limit = 100, cursor: CursorText = "") -> Response:
    """Every edge of the graph whose ends you may both know of: {from, to}."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "lineage") as asking:
        known = {d.name: d for d in reading.contracts.datasets.values() if reading.knows(asking.caller, d)}
        edges = sorted((name, d.name) for d in known.values() for name in d.inputs if name in known)
        body = paged([(edge, {"from": edge[0], "to": edge[1]}) for edge in edges], limit, cursor, ["lineage"])
        asking.answered(rows=len(body["items"]))
        return json_answer(request, body)


@router.get("/datasets/{dataset}/quality", response_model=OpenModel, responses=refusals(404), tags=["datasets"])
def get_quality(request: Request, dataset: Name) -> Response:
    """The newest outcome of each rule. What was found may quote rows: it is told to those who see all of them."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "quality") as asking:
        declared = reading.dataset(dataset, asking.caller)
        reports = _reports(asking.caller, declared)
        asking.answered(datasets=(declared.name,), rows=len(reports))
        return json_answer(request, {"dataset": declared.name, "report": reports[0] if reports else None})


@router.get("/runs", response_model=ListModel, responses=refusals())
def list_runs(
    request: Request,
    dag: Annotated[str, Query(pattern=r"^[A-Za-z0-9_.-]{0,200}$", description="Only of this DAG")] = "",
    state: Annotated[list[RunState], Query(max_length=4)] = [],  # noqa: B006 - never changed
    limit: Limit = 100,
    offset: Annotated[int, Query(ge=0, le=100_000, description="Airflow pages by counting")] = 0,
) -> Response:
    """Airflow's runs, newest first. 503 where no Airflow answers."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "runs") as asking:
        found = reading.runs.newest(dag or "~", [str(one) for one in state], limit, offset)
        asking.answered(rows=len(found["items"]))
        return json_answer(request, {**found, "next": None})


@router.get("/ledger", response_model=ListModel, responses=refusals())
def list_ledger(request: Request, limit: Limit = 100, cursor: CursorText = "") -> Response:
    """Per stream that you may know of: which offsets were read, quarantined, lost, or are unaccounted for."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "ledger") as asking:
        ledgers = _ledgers(reading, asking.caller)
        body = paged([((one["dataset"],), one) for one in ledgers], limit, cursor, ["ledger"])
        asking.answered(rows=len(body["items"]))
        return json_answer(request, body)


@router.get("/ledger/{dataset}", response_model=OpenModel, responses=refusals(404))
def get_ledger(request: Request, dataset: Name) -> Response:
    """The ledger of one stream, partition by partition; of a dataset that is no stream there is none (null)."""
    reading: Reading = request.app.state.reading
    with reading.call(request, "ledger") as asking:
        declared = reading.dataset(dataset, asking.caller)
        found = _ledgers(reading, asking.caller, declared)
        asking.answered(datasets=(declared.name,), rows=0)
        return json_answer(request, {"dataset": declared.name, "ledger": found[0] if found else None})


def _ledgers(reading: Reading, caller: Caller, only: Dataset | None = None) -> list[dict[str, Any]]:
    """What bronze says beside the broker; PyIceberg is loaded at the first question, for few ask it."""
    datasets = [only] if only else reading.contracts.datasets.values()
    names = sorted(d.name for d in datasets if d.streamed and reading.knows(caller, d))
    if not names:
        return []
    from headwater.streaming.accounting import stream_ledgers

    found = []
    for ledger in sorted(stream_ledgers(names), key=lambda one: one.dataset):
        lines = [{**asdict(line), "unaccounted": line.unaccounted, "lag": line.lag} for line in ledger.partitions]
        facts = {name: value for name, value in asdict(ledger).items() if name != "partitions"}
        total = {name: sum(line[name] for line in lines) for name in ("read", "quarantined", "lost", "unaccounted")}
        snapshot = None if ledger.snapshot_id is None else str(ledger.snapshot_id)
        found.append({**facts, "snapshot_id": snapshot, **total, "partitions": lines})
    return found


def _reports(caller: Caller, dataset: Dataset) -> list[dict[str, Any]]:
    from headwater.quality.results import latest_reports

    reports = latest_reports(dataset.name)
    for report in reports:
        report["snapshot_id"] = None if report["snapshot_id"] is None else str(report["snapshot_id"])
        report["checked_at"] = report["checked_at"].isoformat()
        if not Reading.sees_whole(caller, dataset):
            report["results"] = [{k: v for k, v in one.items() if k != "found"} for one in report["results"]]
    return reports


def _sources(sources: tuple[str, ...], dataset: Dataset, known: dict[str, Dataset]) -> list[str]:
    """The columns a column comes from, as `<dataset>.<column>`; those of datasets that are not told are left out."""
    full = [one if "." in one else f"{dataset.name}.{one}" for one in sources]
    return [one for one in full if one.partition(".")[0] in known]
