"""`headwater spark properties`: what `spark-submit` must be told before its JVM starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwater.console import Json, noun, say

app = noun("Spark for the jobs.")


@app.callback()
def _spark() -> None:
    """Spark for the jobs."""


@app.command(
    epilog='Example: spark-submit --properties-file "$(headwater spark properties)" spark_jobs/build_silver.py --help'
)
def properties(
    path: Annotated[Path | None, typer.Argument(help="Where to; default: spark/submit.conf of the home")] = None,
    as_json: Json = False,
) -> None:
    """Write the properties file for spark-submit, and print its path.

    It holds the jars, the Iceberg catalog with its password, and S3 where the lake lies there; only you can read it.
    """
    from headwater.lake.sessions import submit_properties

    written = submit_properties(path)
    say(as_json, {"path": written}, str(written))
