"""A job by plain spark-submit, with the properties file that `headwater spark properties` writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.lake.sales import new_dataset, sale
from tests.jobs import PROJECT, Jobs, PlainLake

from headwater.embedded.java import environment
from headwater.embedded.spark import spark_home
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings

pytestmark = pytest.mark.integration


def submit(jobs: Jobs, *options: str) -> subprocess.CompletedProcess[str]:
    script = str(PROJECT / "spark_jobs" / "build_silver.py")
    command = [str(spark_home() / "bin" / "spark-submit"), *options, script, "--dataset", jobs.dataset.name]
    # As in a shell with the virtual environment activated.
    own = {**environment(jobs.settings), "PYSPARK_PYTHON": sys.executable}
    return subprocess.run(command, env=jobs.environment | own, capture_output=True, text=True, timeout=300, check=False)


def test_a_job_runs_by_spark_submit(stack: Settings, tmp_path: Path) -> None:
    lake = PlainLake(get_catalog())
    dataset = new_dataset(lake)
    lake.arrive(dataset, [sale(1000 + n, n) for n in range(20)])
    jobs = Jobs(stack, dataset, tmp_path, connect=False)

    refused = submit(jobs)
    assert refused.returncode == 65, refused.stderr
    assert 'spark-submit --properties-file "$(headwater spark properties)"' in refused.stdout

    command = [sys.executable, "-m", "headwater.cli", "spark", "properties"]
    told = subprocess.run(command, env=jobs.environment, capture_output=True, text=True, timeout=120, check=True)
    file = Path(told.stdout.strip())
    assert file.stat().st_mode & 0o777 == 0o600
    done = submit(jobs, "--properties-file", str(file))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["rows"] == 20
    assert len(lake.rows(f"silver.{dataset.name}", "basket_id")) == 20
