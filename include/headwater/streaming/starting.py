"""The start of the streaming application, which is most of what a stream is away for after a kill.

A JVM is started and, on the other core, Python reads in what the streams are made of: each takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyspark.sql.avro.functions  # noqa: F401  (before there are two threads that would import it)

from headwater.settings import get_settings
from headwater.streaming.session import stream_session


def start(names: Sequence[str] | None, *, once: bool) -> dict[str, Any]:
    """Run these streams (default: all), as `application.run` does. Raises `ContractError` for a name that is none."""
    settings = get_settings()
    with ThreadPoolExecutor(1, "imports") as beside:
        read_in = beside.submit(_read_in, names)
        spark = stream_session(settings)
        run, datasets = read_in.result()
    done: dict[str, Any] = run(spark, settings, datasets, once=once)
    return done


def _read_in(names: Sequence[str] | None) -> tuple[Any, list[Any]]:
    """The application and its datasets."""
    from headwater.contracts.loader import load_contracts
    from headwater.contracts.model import STREAMED
    from headwater.streaming.application import run
    from headwater.streaming.judgement import duck

    duck("SELECT 1")  # reads in the dialects

    contracts = load_contracts()
    chosen = names or [dataset.name for dataset in contracts.of_kind(*STREAMED)]
    return run, [contracts.get(name) for name in chosen]
