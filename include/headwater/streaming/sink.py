"""One micro-batch of one stream, from Kafka into one snapshot of bronze that holds the rows and their account."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyiceberg.catalog import Catalog
from pyspark.sql import DataFrame, SparkSession

from headwater.contracts.avro import avro_schema
from headwater.contracts.iceberg import apply_table
from headwater.contracts.model import Dataset
from headwater.errors import RetryableError
from headwater.lake.sessions import CATALOG
from headwater.streaming import crash, gaps
from headwater.streaming.broker import Broker
from headwater.streaming.changes import change_rows, unlike
from headwater.streaming.decode import bronze_projection
from headwater.streaming.ledger import Account, nearest_account
from headwater.streaming.positions import OffsetsGone
from headwater.streaming.writers import SubjectSchemas, Writers, reader_schema

log = logging.getLogger(__name__)

ROWS_PER_FILE = 250_000
"""A small batch is written by one task into one file: four files of 50 rows every two seconds help nobody."""
REGISTRY_PAUSE_SECONDS = 2.0


class StreamStopped(Exception):
    """Somebody asked the stream to stop while a batch was waiting."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a committed batch did."""

    account: Account
    rows: int
    seconds: float


class BronzeSink:
    """Writes micro-batches of one dataset; called by Spark's `foreachBatch`, one batch at a time.

    `fence` raises where this process may no longer write (the catalog would refuse the commit, but late); `committing`
    is around the commit, for tests; `stopping` asks a batch that waits to give up.
    """

    def __init__(
        self,
        dataset: Dataset,
        catalog: Catalog,
        broker: Broker,
        schemas: SubjectSchemas,
        *,
        checkpoint: Path,
        account: Account,
        fence: Callable[[], None],
        committing: Callable[[], AbstractContextManager[None]] = nullcontext,
        stopping: threading.Event,
        report: Callable[[str, str], None] = lambda state, reason: None,
        committed: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self.dataset = dataset
        self.account = account
        self.turn = threading.Lock()
        self._catalog, self._broker, self._schemas = catalog, broker, schemas
        self._checkpoint, self._fence, self._stopping = checkpoint, fence, stopping
        self._committing, self._report, self._committed = committing, report, committed
        self._writers: Writers | None = None
        self._rows: Callable[[DataFrame], DataFrame] | None = None

    @property
    def table_name(self) -> str:
        """`bronze.<dataset>`."""
        return f"bronze.{self.dataset.name}"

    def __call__(self, batch: DataFrame, batch_id: int) -> None:
        """Write one batch. Raises `StreamStopped`, `RetryableError`, `TerminalError`, or what Spark raises."""
        with self.turn:
            if self._stopping.is_set():
                raise StreamStopped
            begun = time.monotonic()
            account = self.account.advanced(batch_ends(self._checkpoint, batch_id, self.dataset.topic))
            if not any(account.counts.values()):
                return  # Spark runs a first batch even where there is nothing to read
            self._refresh_writers(batch.sparkSession)
            self._check_topic()
            self._fence()
            self._append(batch, account)
            written = self._proven(account)
            self.account = written
            self._committed(Progress(written, written.added or 0, time.monotonic() - begun))

    def _append(self, batch: DataFrame, account: Account) -> None:
        assert self._rows is not None  # noqa: S101  (refreshed just before)
        rows = self._rows(batch)
        files = max(1, -(-sum(account.counts.values()) // ROWS_PER_FILE))
        writer = rows.coalesce(files).writeTo(f"{CATALOG}.{self.table_name}")
        for key, value in account.properties().items():
            writer = writer.option(f"snapshot-property.{key}", value)
        crash.decoded(rows)
        try:
            with self._committing():
                writer.append()
        except Exception as error:
            if not self._has_landed(account):
                raise
            log.warning("%s: the batch was committed, its answer was lost: %.200s", self.dataset.name, error)
        crash.reached("after-bronze-commit")

    def _has_landed(self, account: Account) -> bool:
        """Whether the table says that it has the batch; nobody else moves its offsets."""
        written = nearest_account(self._catalog.load_table(self.table_name))
        return written is not None and written.offsets == account.offsets

    def _proven(self, account: Account) -> Account:
        """The account as the table now has it, with offsets that hold no record told apart from missing rows."""
        table = self._catalog.load_table(self.table_name)
        written = nearest_account(table)
        if written is None or written.offsets != account.offsets:
            raise RetryableError(
                f"the batch ended at {dict(account.offsets)}, the table says {written and dict(written.offsets)}",
                where=self.table_name,
                remedy="another process writes this table, or the commit was lost; the stream starts anew",
            )
        return gaps.settled(table, written, self._broker, self.dataset.topic) if written.unproven else written

    def _check_topic(self) -> None:
        if (found := self._broker.topic_id(self.dataset.topic)) != self.account.topic_id:
            raise OffsetsGone(
                f"the topic was recreated while it was read: it was {self.account.topic_id}, it is {found}",
                where=self.dataset.topic,
            )

    def _refresh_writers(self, spark: SparkSession) -> None:
        """Ask for schemas registered since the last batch; wait while the registry is down.

        The end of the batch was fixed before this is asked, so the schema of every record in it is registered by now.
        """
        by_id = self._ask_registry()
        if self._writers is not None and self._writers.by_id == by_id:
            return
        told = {"topic_id": self.account.topic_id, "source_system": self.dataset.source_system}
        if self.dataset.captured:
            writers = Writers(by_id, {})
            self._writers, self._rows = writers, lambda records: change_rows(records, writers, self.dataset, **told)
            apply_table(self._catalog, self.dataset, self.table_name)
            for difference in unlike(self.dataset, by_id):
                log.warning("%s: %s", self.dataset.name, difference)
            return
        writers = Writers(by_id, reader_schema(avro_schema(self.dataset), by_id))
        types = evolved_types(spark, self._catalog, self.dataset, writers)
        self._writers, self._rows = writers, bronze_projection(writers, types, **told)

    def _ask_registry(self) -> Mapping[int, Any]:
        while True:
            try:
                by_id = self._schemas.refresh()
            except RetryableError as error:
                self._report("waiting", str(error))
                log.warning("%s: %s", self.dataset.name, error)
                if self._stopping.wait(REGISTRY_PAUSE_SECONDS):
                    raise StreamStopped from error
            else:
                return by_id


def batch_ends(checkpoint: Path, batch_id: int, topic: str) -> dict[int, int]:
    """Where the batch ends, per partition: Spark writes it to the offset log before it runs the batch."""
    lines = (checkpoint / "offsets" / str(batch_id)).read_text().splitlines()
    ends: dict[str, int] = json.loads(lines[-1])[topic]
    return {int(partition): offset for partition, offset in ends.items()}


def evolved_types(spark: SparkSession, catalog: Catalog, dataset: Dataset, writers: Writers) -> dict[str, str]:
    """Bring bronze up to the contract and to what producers write; the Spark types of its columns, by name."""
    name = f"bronze.{dataset.name}"
    apply_table(catalog, dataset, name)
    full_name = f"{CATALOG}.{name}"
    types = {field.name: field.dataType.simpleString() for field in spark.table(full_name).schema.fields}
    missing = {n: t for n, t in reader_types(spark, writers.reader).items() if n not in types}
    if missing:
        log.warning("%s: producers write %s, which the contract does not have", dataset.name, ", ".join(missing))
        columns = ", ".join(f"`{column}` {kind}" for column, kind in missing.items())
        spark.sql(f"ALTER TABLE {full_name} ADD COLUMNS ({columns})")
    return types | missing


def reader_types(spark: SparkSession, reader: Mapping[str, Any]) -> dict[str, str]:
    """The Spark types of a reader schema's fields, by name."""
    from pyspark.sql import functions as F  # noqa: N812
    from pyspark.sql.avro.functions import from_avro

    struct: Any = spark.range(0).select(from_avro(F.lit(b""), json.dumps(reader)).alias("it")).schema["it"].dataType
    return {field.name: field.dataType.simpleString() for field in struct.fields}
