"""The commands that need no service: check, generate, and the `dataset` ones, on a project of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.conftest import environment
from typer.testing import CliRunner

from headwater.contracts import commands, dataset_commands

GOLDEN = Path(__file__).parent / "golden"
CONTRACTS = Path("schemas") / "contracts" / "sample"
ENGINES = {"pyspark", "pyiceberg", "clickhouse_connect", "confluent_kafka", "great_expectations", "airflow", "psycopg"}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project with the two sample contracts and the model, nothing generated yet."""
    shutil.copytree(GOLDEN / "contracts", tmp_path / "schemas" / "contracts")
    shutil.copytree(GOLDEN / "models", tmp_path / "spark_jobs" / "gold")
    for folder in ("dags", "tests/datasets/every_type/negative_amount"):
        (tmp_path / folder).mkdir(parents=True)
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path)):
        yield tmp_path


def run(app: typer.Typer, *arguments: str, code: int = 0) -> Any:
    """The JSON answer of a command."""
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == code, (result.output, result.exception)
    return json.loads(result.output)


def test_generate_writes_once_what_check_misses(project: Path) -> None:
    missing = run(commands.app, "check", code=1)["errors"]
    assert missing[0]["what"] == "the contract has a schema that was not released (it would be v1)"
    assert [e["where"] for e in missing[1:]] == ["dags/graph.py", "docs/reference/gold.md"]
    written = [Path(path).relative_to(project) for path in run(commands.app, "generate")["written"]]
    assert written == [Path("schemas/avro/every_type/v1.avsc"), Path("dags/graph.py"), Path("docs/reference/gold.md")]
    assert run(commands.app, "generate") == {"written": []}
    assert run(commands.app, "check") == {"errors": []}


def test_a_refused_contract_releases_no_other(project: Path) -> None:
    run(commands.app, "generate")
    first, second = project / CONTRACTS / "every_type.yaml", project / CONTRACTS / "another_one.yaml"
    second.write_text(first.read_text().replace("every_type", "another_one"))
    first.write_text(first.read_text().replace("physicalType: decimal(10,2)", "physicalType: decimal(10,4)"))
    result = CliRunner().invoke(commands.app, ["generate"])
    assert "Iceberg cannot promote decimal(10,2) to decimal(10,4)" in str(result.exception)
    assert not (project / "schemas" / "avro" / "another_one").exists()


def test_check_tells_what_a_model_reads_beside_its_contract(project: Path) -> None:
    run(commands.app, "generate")
    model = project / "spark_jobs" / "gold" / "sample" / "by_letter.sql"
    model.write_text(model.read_text().replace("silver.every_type", "silver.another_one"))
    told = [e["what"] for e in run(commands.app, "check", code=1)["errors"]]
    assert "the model does not read 'every_type', which `spread` names" in told
    assert "the model reads 'another_one', which `spread` does not name" in told


def test_where_names_everything_a_stream_became(project: Path) -> None:
    run(commands.app, "generate")
    found = run(dataset_commands.app, "where", "every_type")
    assert found["contract"] == [str(CONTRACTS / "every_type.yaml")]
    assert (found["topic"], found["subject"]) == (["sample.every_type"], ["sample.every_type-value"])
    assert found["schema"] == ["schemas/avro/every_type/v1.avsc"]
    assert found["tables"] == [
        "lake.bronze.every_type",
        "lake.silver.every_type",
        "lake.silver.every_type_refused",
    ]
    assert "money_minimum: (money IS NULL OR money >= 0)" in found["row rules"]
    assert "sample: silver.every_type" in found["tasks"]
    assert found["warehouse"] == ["live.every_type (ReplacingMergeTree(_kafka_offset))"]
    assert found["read by"] == ["by_letter"]
    assert found["tests"] == ["tests/datasets/every_type"]
    assert found["jobs"] == [f"spark_jobs/{job}.py" for job in ("ingest_stream", "build_silver", "maintain_tables")]
    assert "live views" not in found


def test_where_names_views_and_the_tests_of_all_streams(project: Path) -> None:
    view = project / "spark_jobs" / "live" / "sample" / "per_minute.sql"
    view.parent.mkdir(parents=True)
    view.write_text("SELECT count() FROM live.every_type FINAL")
    for path in ("faults/test_fault_1.py", "integration/test_it.py", "unit/test_parts.py", "unit/test_every_type.py"):
        test = project / "tests" / path
        test.parent.mkdir(parents=True, exist_ok=True)
        test.write_text("# takes every_type as an example")
    found = run(dataset_commands.app, "where", "every_type")
    assert found["live views"] == ["live.per_minute (spark_jobs/live/sample/per_minute.sql)"]
    assert found["tests"] == [
        "tests/faults",
        "tests/datasets/every_type",
        "tests/integration/test_it.py",
        "tests/unit/test_every_type.py",
    ]


@pytest.mark.parametrize("domain", ["streams", "sample_restate", "point-of-sale"])
def test_a_domain_that_cannot_give_its_name_to_dags_is_told(project: Path, domain: str) -> None:
    (project / CONTRACTS).rename(project / CONTRACTS.parent / domain)
    (project / "spark_jobs" / "gold" / "sample").rename(project / "spark_jobs" / "gold" / domain)
    for path in (project / CONTRACTS.parent / domain).glob("*.yaml"):
        text = path.read_text().replace("domain: sample", f"domain: {domain}")
        path.write_text(text.replace("id: sample", f"id: {domain}"))
    told = [e["what"] for e in run(commands.app, "check", code=1)["errors"]]
    assert f"the domain cannot be called '{domain}'" in told


def test_where_names_everything_a_model_became(project: Path) -> None:
    found = run(dataset_commands.app, "where", "by_letter")
    assert found["model"] == ["spark_jobs/gold/sample/by_letter.sql"]
    assert found["tasks"] == [
        "sample: gold.by_letter",
        "sample: warehouse.load",
        "sample_restate: gold.by_letter",
        "maintenance: maintain gold.by_letter",
    ]
    assert found["warehouse"] == ["gold.by_letter (MergeTree)"]


def test_list_and_show(project: Path) -> None:
    assert [d["name"] for d in run(dataset_commands.app, "list")] == ["every_type", "by_letter"]
    shown = run(dataset_commands.app, "show", "every_type")
    assert shown["layers"]["silver"][-4:] == ["_ingested_at", "_kafka_topic", "_kafka_partition", "_kafka_offset"]
    assert "every_type" in CliRunner().invoke(dataset_commands.app, ["list"]).output


def test_reading_contracts_needs_no_engine() -> None:
    code = (
        "import sys, headwater.contracts.commands, headwater.contracts.dataset_commands, headwater.contracts.quality, "
        "headwater.contracts.avro, headwater.contracts.clickhouse, headwater.contracts.registry\n"
        "print(sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(json.loads(done.stdout.replace("'", '"')))
    assert "headwater" in loaded
    assert not loaded & ENGINES
