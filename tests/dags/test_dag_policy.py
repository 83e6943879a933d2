"""One policy for all DAGs: what each must have, and what none may do while it is parsed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DAG_FILES = sorted(p for p in (PROJECT / "dags").glob("*.py") if p.name != "graph.py")
ENGINES = ("pyspark", "clickhouse_connect", "confluent_kafka", "pyiceberg", "psycopg", "chdb")
LOAD = """
import importlib, sys
sys.path[:0] = ["dags", "plugins", "include"]
for module in sys.argv[2].split(","):
    importlib.import_module(module)
print([engine for engine in sys.argv[1].split(",") if engine in sys.modules])
"""


@pytest.fixture(scope="session")
def dags():
    """All DAGs, as Airflow itself would load them."""
    return loaded(PROJECT / "dags")


def loaded(folder: Path):
    """The DAGs of a folder with a graph of its own."""
    before, graph = list(sys.path), sys.modules.pop("graph", None)
    sys.path[:0] = [str(PROJECT / "plugins"), str(folder)]
    from airflow.dag_processing.dagbag import DagBag

    try:
        bag = DagBag(dag_folder=str(folder))
        assert not bag.import_errors
        return bag.dags
    finally:
        sys.path[:] = before
        sys.modules.pop("graph", None)
        if graph is not None:
            sys.modules["graph"] = graph


def test_the_dags_of_the_platform_are_there(dags):
    assert {"ledger", "streams", "quarantine", "loyalty", "loyalty_restate", "maintenance"} <= set(dags)


def test_every_dag_has_docs_owner_tags_and_a_fixed_start(dags):
    for dag in dags.values():
        assert dag.doc_md, dag.dag_id
        assert len(dag.doc_md) > 200, f"{dag.dag_id}: its docs are the runbook"
        assert "headwater" in dag.tags, dag.dag_id
        assert dag.default_args["owner"] != "airflow", dag.dag_id
        assert dag.start_date is not None, dag.dag_id
        assert dag.catchup is False, dag.dag_id


def test_every_dag_runs_once_at_a_time_and_every_task_is_bounded(dags):
    for dag in dags.values():
        assert dag.max_active_runs == 1, dag.dag_id
        for task in dag.tasks:
            assert task.execution_timeout is not None, f"{dag.dag_id}.{task.task_id}"
            assert task.doc_md, f"{dag.dag_id}.{task.task_id}"


def test_every_dag_can_be_handed_to_the_scheduler(dags):
    """The scheduler reads DAGs as the processor has written them to the database, not the files."""
    from airflow.serialization.serialized_objects import DagSerialization

    for dag_id, dag in dags.items():
        read = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert set(read.task_dict) == set(dag.task_dict), dag_id


def test_batch_tasks_are_tried_again(dags):
    for dag_id in ("loyalty", "loyalty_restate", "maintenance", "maintenance_of_metadata"):
        assert all(task.retries >= 1 for task in dags[dag_id].tasks), dag_id


def test_the_dags_import_no_engine():
    out = subprocess.run(
        [sys.executable, "-c", LOAD, ",".join(ENGINES), ",".join(p.stem for p in DAG_FILES)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda p: p.stem)
def test_a_dag_does_no_io_while_it_is_parsed(path):
    """Neither files nor settings (which read the environment) at module level."""
    tree = ast.parse(path.read_text())
    imported = {
        alias.name if isinstance(node, ast.Import) else f"{node.module}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not {name for name in imported if name.startswith(("headwater.", "pathlib", "os", "yaml"))}
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "open"]


def test_one_dataset_can_be_retried_alone(dags):
    """A task per dataset and stage, each with the dataset as its argument."""
    loyalty = dags["loyalty"]
    for task in loyalty.tasks:
        stage, name = task.task_id.split(".")
        if stage != "warehouse":
            assert task.application_args == ["--dataset", name], task.task_id


def test_gold_waits_for_what_it_reads_and_the_load_for_all_gold(dags):
    loyalty = dags["loyalty"]
    fact = loyalty.get_task("gold.fct_sales")
    assert {"silver.transactions", "gold.dim_product", "gold.dim_household"} <= fact.upstream_task_ids
    gold = {t.task_id for t in loyalty.tasks if t.task_id.startswith("gold.")}
    assert gold <= loyalty.get_task("warehouse.load").upstream_task_ids


def test_restating_takes_the_dates_of_the_run(dags):
    restate = dags["loyalty_restate"]
    assert restate.timetable.__class__.__name__ == "CronDataIntervalTimetable"
    task = restate.get_task("silver.transactions")
    assert task.application_args[2:] == [
        "--from",
        "{{ data_interval_start | ds }}",
        "--to",
        "{{ data_interval_end | ds }}",
    ]


def test_the_streams_dag_supervises_and_shows_each_stream(dags):
    supervise, stream = (dags["streams"].get_task(name) for name in ("supervise", "stream"))
    assert supervise.arguments == ["stream", "supervise", "--watch", "--json"]
    assert supervise.execution_timeout < dags["streams"].dagrun_timeout
    assert stream.upstream_task_ids == {"supervise"}
    assert stream.trigger_rule == "all_done", "what cannot be mended is shown all the same"
    shown = stream.expand_input.value["arguments"]
    again = "--{{ 'try' if ti.try_number > 1 else 'no-try' }}-again"
    names = ("coupon_redemptions", "transactions")
    assert shown == [["stream", "status", name, "--check", again, "--json"] for name in names]
    assert stream.retries == 0, "a second try is a person's"
    assert {"connector", "capture"}.isdisjoint(dags["streams"].task_ids), "no contract of these captures changes"


def test_the_ledger_is_shown_and_fails_for_more_than_lag(dags):
    (task,) = dags["ledger"].tasks
    assert task.arguments == ["ledger", "--allow-lag"]
    assert task.retries == 1
    assert 2 * task.execution_timeout < dags["ledger"].dagrun_timeout


def test_a_file_drop_that_is_announced_starts_its_domain_at_once(dags):
    schedule = dags["loyalty"].timetable
    assert schedule.timetable.expression == "*/15 * * * *"
    assert [asset.uri for asset in schedule.asset_condition.objects] == ["headwater://landing/promotions"]
    assert type(schedule.asset_condition).__name__ == "AssetAny", "one drop is enough"


def test_a_new_domain_has_its_dags_without_any_python(tmp_path):
    """What `headwater contract generate` writes is enough."""
    from headwater.contracts.graph import render_graph

    for path in DAG_FILES:
        (tmp_path / path.name).write_text(path.read_text())
    dataset = {"description": "Something.", "domain": "facilities", "inputs": [], "restatable": True}
    files = {**dataset, "domain": "weather", "kind": "files", "inputs": ["bronze.rain"], "restatable": False}
    model = {**dataset, "kind": "model", "inputs": ["silver.doors", "silver.rain"]}
    graph = {"doors": {**dataset, "kind": "stream"}, "mart_doors": model, "rain": files}
    graph["tills"] = {**files, "kind": "capture", "inputs": []}
    (tmp_path / "graph.py").write_text(render_graph(graph))

    dags = loaded(tmp_path)

    of_the_platform = {"ledger", "streams", "quarantine", "maintenance", "maintenance_of_metadata"}
    assert set(dags) == {*of_the_platform, "facilities", "facilities_restate", "weather"}
    tasks = {dag_id: {t.task_id: t.upstream_task_ids for t in dags[dag_id].tasks} for dag_id in dags}
    of_facilities = {"silver.doors": set(), "gold.mart_doors": {"silver.doors"}, "warehouse.load": {"gold.mart_doors"}}
    assert tasks["facilities"] == tasks["facilities_restate"] == of_facilities
    assert tasks["weather"] == {"bronze.rain": set(), "silver.rain": {"bronze.rain"}, "silver.tills": set()}
    names = ("doors", "rain", "tills")
    of_doors, of_rain, of_tills = ([f"bronze.{n}", f"silver.{n}", f"silver.{n}_refused"] for n in names)
    mapped = dags["maintenance"].get_task("maintain").expand_input.value["arguments"]
    assert [arguments[-1] for arguments in mapped] == [*of_doors, "gold.mart_doors", *of_rain, *of_tills]
    hourly = dags["maintenance_of_metadata"].get_task("merge_and_expire").expand_input.value["arguments"]
    assert [arguments[3:] for arguments in hourly] == [[of[0], "--metadata-only"] for of in (of_doors, of_tills)]
    assert {"connector": set(), "capture": {"connector"}}.items() <= tasks["streams"].items()
    connector, capture = (dags["streams"].get_task(name) for name in ("connector", "capture"))
    assert (connector.arguments, capture.arguments) == (["cdc", "supervise", "--json"], ["cdc", "status", "--json"])
    assert capture.trigger_rule == "all_done", "what cannot be mended is shown all the same"
    assert dags["weather"].default_args["owner"] == "weather"
    assert "`facilities_restate`" in dags["facilities"].doc_md
    assert dags["facilities"].get_task("warehouse.load").application_args == ["--domain", "facilities"]


def test_the_graph_is_in_step_with_the_contracts():
    from headwater.contracts.graph import pipeline_graph, render_graph
    from headwater.contracts.loader import load_contracts
    from headwater.settings import get_settings

    settings = get_settings()
    graph = pipeline_graph(load_contracts(settings.contracts_dir), settings.gold_models_dir)
    assert (PROJECT / "dags" / "graph.py").read_text() == render_graph(graph), "run `headwater contract generate`"
