"""Commit to an Iceberg table by Spark so that the outcome is always known.

Every commit carries a token in its summary. When a commit fails, the table is asked for the token: a catalog that
committed and then lost its answer is recognised, and the work is not done twice. A conflict with another writer
(compaction, above all) is tried again from a fresh plan, a bounded number of times.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pyiceberg.catalog import Catalog
from pyiceberg.table.snapshots import Snapshot
from pyspark.sql import DataFrame, SparkSession

from headwater.errors import RetryableError
from headwater.lake.snapshots import TOKEN, with_token

CATALOG = "lake"
TRIES = 4
FIRST_PAUSE_SECONDS = 0.5
CONFLICTS = (
    "CommitFailedException",
    "ValidationException",
    "CommitStateUnknownException",
    "Found conflicting files",
    "Missing required files",
    "Cannot commit",
)
"""What Iceberg's errors about a concurrent change say; Spark Connect passes on the class only as text."""

log = logging.getLogger(__name__)


class CommitConflict(RetryableError):
    """Another writer changed the table each time this one wanted to commit."""


def append(catalog: Catalog, frame: DataFrame, name: str, properties: Mapping[str, str], **options: str) -> Snapshot:
    """Append rows to `<namespace>.<table>` in one snapshot whose summary holds `properties`."""

    def write(token: str) -> None:
        writer = frame.writeTo(f"{CATALOG}.{name}").options(**options)
        for key, value in {**properties, TOKEN: token}.items():
            writer = writer.option(f"snapshot-property.{key}", value)
        writer.append()

    return _commit(catalog, name, write)


def execute(catalog: Catalog, spark: SparkSession, name: str, sql: str, properties: Mapping[str, str]) -> Snapshot:
    """Run a MERGE or DELETE on `<namespace>.<table>`; `properties` are committed even where it changes nothing."""

    def write(token: str) -> None:
        with _session_properties(spark, {**properties, TOKEN: token}):
            spark.sql(sql).collect()

    return _commit(catalog, name, write)


def _commit(catalog: Catalog, name: str, write: Callable[[str], None]) -> Snapshot:
    for attempt in range(1, TRIES + 1):
        token = uuid.uuid4().hex
        failure: Exception | None = None
        try:
            write(token)
        except Exception as error:  # noqa: BLE001  (py4j and Connect each have their own; judged below)
            failure = error
        if (snapshot := with_token(catalog.load_table(name), token)) is not None:
            return snapshot
        if failure is None:
            raise RetryableError("the commit is not in the table's history", where=name, remedy="run the job again")
        if not is_conflict(failure):
            raise failure
        if attempt == TRIES:
            raise CommitConflict(
                f"another writer changed the table in each of {TRIES} tries", where=name, remedy="run the job again"
            ) from failure
        log.warning("%s: commit met another writer, try %d of %d: %.200s", name, attempt, TRIES, failure)
        time.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
    raise AssertionError("unreachable")


def is_conflict(error: Exception) -> bool:
    """Whether Iceberg says that somebody else changed the table meanwhile."""
    text = str(error)
    return any(sign in text for sign in CONFLICTS)


@contextmanager
def _session_properties(spark: SparkSession, properties: Mapping[str, str]) -> Iterator[None]:
    """Summary keys for the commits of SQL statements: they have no options, so the session tells Iceberg."""
    keys = {f"spark.sql.iceberg.snapshot-property.{key}": value for key, value in properties.items()}
    for key, value in keys.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key in keys:
            spark.conf.unset(key)
