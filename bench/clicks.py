"""A stream of the benchmark's own, as people run one: a contract, a process that reads it, a table in ClickHouse.

Event `i` follows from its number by formula and is due at `begin + i / rate`; that moment is its event time, so a
producer that falls behind shows as events that come late. Event `i` goes to partition `i % 4`; the topic is new and the
producer idempotent, so its offset there is `i // 4`, and where the live table stands tells which events are in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from pyiceberg.exceptions import NoSuchTableError

from headwater.contracts.loader import load_dataset
from headwater.contracts.registry import RegistryClient
from headwater.contracts.releases import newest_release
from headwater.errors import RetryableError
from headwater.kafka import client_config
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings, get_settings
from headwater.sources.avro_encoder import AvroEncoder
from headwater.sources.replay import producer_config
from headwater.warehouse.client import writer

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

NAME, TOPIC = "clicks", "bench.clicks"
PARTITIONS, VISITORS, PAGES = 4, 50_000, 500
CONTRACTS = Path(__file__).parent / "contracts"
TICK_SECONDS = 0.02
MESSAGE_TIMEOUT_SECONDS, REMOVAL_SECONDS = 600, 30
LARGEST_BATCH = 20_000
POLL_SECONDS = 0.05
BROKEN_EVERY, BROKEN_BYTES = 1000, 20
"""Where garbage is asked for: one record of so many is cut off after so many bytes."""

STANDS = """
SELECT offsets FROM platform.live_positions
WHERE dataset = {dataset:String}
  AND table_uuid = (SELECT toString(uuid) FROM system.tables WHERE database = 'live' AND name = {dataset:String})
ORDER BY updated_at DESC LIMIT 1
"""

Numbers = npt.NDArray[np.int64]


@contextmanager
def project() -> Iterator[Path]:
    """A project that consists of this contract alone, as the current one; its schema is released into it."""
    checkout = get_settings().project_dir
    folder = Path(tempfile.mkdtemp(prefix="headwater-bench-"))
    before = os.environ.get("HEADWATER_PROJECT_DIR")
    try:
        shutil.copytree(CONTRACTS, folder / "schemas" / "contracts")
        (folder / "spark_jobs").symlink_to(checkout / "spark_jobs")
        (folder / "dags").mkdir()
        _set_project(str(folder))
        remove(get_settings())  # what a run that was killed has left behind
        run("contract", "generate")
        run("contract", "apply", NAME)
        yield folder
    finally:
        _set_project(before)
        shutil.rmtree(folder)


def _set_project(folder: str | None) -> None:
    if folder is None:
        os.environ.pop("HEADWATER_PROJECT_DIR", None)
    else:
        os.environ["HEADWATER_PROJECT_DIR"] = folder
    get_settings.cache_clear()


def run(*arguments: str) -> str:
    """A command of the CLI, as a user would give it; what it printed. Raises with its output where it failed."""
    command = [sys.executable, "-m", "headwater.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RetryableError(
            f"exit {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}", where=str(arguments)
        )
    return done.stdout


@dataclass
class Offer:
    """Events offered at a steady rate by a thread of its own, until `seconds` are over or it is stopped."""

    rate: int
    seconds: float
    first: int = 0
    broken: bool = False
    begin: float = 0.0
    next: int = 0
    error: BaseException | None = None
    versions: dict[int, int] = field(default_factory=dict)
    """The first event written with each version of the schema."""
    stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _writer: _Writer | None = None
    _refusal: KafkaError | None = None

    def start(self) -> None:
        """Begin with the event `first`, which is due now."""
        self.begin, self.next = time.time(), self.first
        self._thread = threading.Thread(target=self._run, name="offer", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether there are events yet to be offered or acknowledged."""
        return self._thread is not None and self._thread.is_alive()

    def finish(self) -> int:
        """Wait for the end and for all acknowledgements; the number after the last event. Raises what went wrong."""
        assert self._thread is not None
        self._thread.join()
        if self.error is not None:
            raise self.error
        return self.next

    def due(self, numbers: Numbers) -> npt.NDArray[np.float64]:
        """When these events were due, in seconds since 1970."""
        return self.begin + (numbers - self.first) / self.rate

    def _run(self) -> None:
        try:
            self._send()
        except BaseException as error:  # noqa: BLE001  (told by finish())
            self.error = error

    def use_newest_schema(self) -> None:
        """Write with the newest released version from now on."""
        self._writer = _Writer.newest()

    def _send(self) -> None:
        producer = Producer(
            producer_config()
            | {"linger.ms": 5, "message.timeout.ms": MESSAGE_TIMEOUT_SECONDS * 1000, "log_level": 0}
            | {"on_delivery": self._delivered}
        )
        self.use_newest_schema()
        last = self.first + int(self.rate * self.seconds)
        while self.next < last and not self.stopping.is_set() and self._refusal is None:
            until = min(last, self.first + int((time.time() - self.begin) * self.rate))
            if until > self.next:
                numbers = np.arange(self.next, min(until, self.next + LARGEST_BATCH), dtype=np.int64)
                self._produce(producer, numbers)
                self.next = int(numbers[-1]) + 1
            producer.poll(0 if until - self.next > LARGEST_BATCH else TICK_SECONDS)
        if (waiting := producer.flush(MESSAGE_TIMEOUT_SECONDS)) or self._refusal:
            raise RetryableError(f"{waiting} events not acknowledged; {self._refusal}", where=f"topic {TOPIC}")

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        """An event that the broker does not have ends the offer: offsets would not follow from numbers any more."""
        self._refusal = self._refusal or error

    def _produce(self, producer: Producer, numbers: Numbers) -> None:
        writer = self._writer  # one for the whole batch: another thread may set the next one
        assert writer is not None
        values = writer.encoder.encode(events(numbers, self.due(numbers), writer.version))
        self.versions.setdefault(writer.version, int(numbers[0]))
        for number, value in zip(numbers.tolist(), values, strict=True):
            if self.broken and is_broken(number):
                value = value[:BROKEN_BYTES]
            while True:
                try:
                    producer.produce(TOPIC, value, str(number % VISITORS), partition=number % PARTITIONS)
                    break
                except BufferError:
                    producer.poll(0.1)


@dataclass(frozen=True, slots=True)
class _Writer:
    """The version that events are written with."""

    encoder: AvroEncoder
    version: int

    @classmethod
    def newest(cls) -> _Writer:
        dataset = load_dataset(NAME)
        release = newest_release(dataset)
        with RegistryClient() as registry:
            schema_id = registry.register(dataset.subject, dict(release.schema))
        return cls(AvroEncoder(release.schema, schema_id), release.version)


def is_broken(number: int) -> bool:
    """Whether this event is cut off, where garbage is asked for."""
    return number % BROKEN_EVERY == 7


def events(numbers: Numbers, due: npt.NDArray[np.float64], version: int) -> pa.RecordBatch:
    """The events of these numbers, one row each."""
    count = len(numbers)
    hundredths = pa.array(numbers % 1000).cast(pa.decimal128(19, 0))
    columns = {
        "event_id": pa.array(np.char.add("click-", numbers.astype(str))),
        "event_type": pa.array(["click"] * count),
        "event_timestamp": pa.array((due * 1e6).astype(np.int64)).cast(pa.timestamp("us", "UTC")),
        "source_system": pa.array(["bench"] * count),
        "schema_version": pa.array([version] * count, pa.int32()),
        "number": pa.array(numbers),
        "visitor": pa.array(numbers % VISITORS),
        "amount": pc.multiply(hundredths, pa.scalar(Decimal("0.01"))).cast(pa.decimal128(10, 2)),
        "page": pa.array(np.char.add("p", (numbers % PAGES).astype(str))),
    }
    if version > 1:
        columns["campaign"] = pa.array(np.char.add("c", (numbers % 7).astype(str)))
    return pa.RecordBatch.from_pydict(columns)


@dataclass(frozen=True)
class Seen:
    """Where the live table stood at a moment: per partition the next offset."""

    at: float
    offsets: dict[int, int]


class Watch:
    """Asks ClickHouse again and again, in a thread of its own, how far the live table has come."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        client = None
        while not self._stopping.wait(POLL_SECONDS):
            try:
                client = client or writer()
                offsets = _offsets(client)
            except Exception:  # noqa: BLE001  (ClickHouse is being killed by the soak; the next poll sees more)
                client = None
                continue
            if offsets and (not self.seen or self.seen[-1].offsets != offsets):
                self.seen.append(Seen(time.time(), offsets))

    def await_events(self, count: int, seconds: float) -> None:
        """Until the first `count` events are all in the live table. Raises `RetryableError` when time is up."""
        deadline = time.monotonic() + seconds
        while not self.seen or any(
            self.seen[-1].offsets.get(p, 0) < (count - p + PARTITIONS - 1) // PARTITIONS for p in range(PARTITIONS)
        ):
            if time.monotonic() > deadline:
                stands = self.seen[-1].offsets if self.seen else {}
                raise RetryableError(f"{count:,} events were sent, the live table stands at {stands}", where=NAME)
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End the polling."""
        self._stopping.set()
        self._thread.join()

    def delays(self, offer: Offer) -> npt.NDArray[np.float64]:
        """Seconds from an event's due time until it was seen in the live table, for all events of the offer."""
        found = []
        for partition in range(PARTITIONS):
            numbers = np.arange(offer.first, offer.next, dtype=np.int64)
            numbers = numbers[numbers % PARTITIONS == partition]
            ends = np.array([seen.offsets.get(partition, 0) for seen in self.seen])
            moments = np.array([seen.at for seen in self.seen])
            found.append(moments[np.searchsorted(ends, numbers // PARTITIONS, side="right")] - offer.due(numbers))
        return np.concatenate(found)


def _offsets(client: Client) -> dict[int, int]:
    """Where the live table stands, by one query: the watch is not to be the work."""
    rows = client.query(STANDS, parameters={"dataset": NAME}).result_rows
    return {int(partition): int(offset) for partition, offset in json.loads(rows[0][0]).items()} if rows else {}


def remove(settings: Settings) -> None:
    """Forget the stream: its tables, topic and subject."""
    for layer in ("bronze", "silver"):
        with suppress(NoSuchTableError):
            get_catalog().purge_table(f"{layer}.{NAME}")
    with suppress(NoSuchTableError):
        get_catalog().purge_table(f"silver.{NAME}_refused")
    with writer() as client:
        client.command(f"DROP TABLE IF EXISTS live.{NAME} SYNC")
    admin = AdminClient(client_config(settings))
    deadline = time.monotonic() + REMOVAL_SECONDS
    while TOPIC in admin.list_topics(timeout=REMOVAL_SECONDS).topics:
        with suppress(KafkaException):  # it is being deleted already
            admin.delete_topics([TOPIC])[TOPIC].result(REMOVAL_SECONDS)
        if time.monotonic() > deadline:
            raise RetryableError("the topic is still there", where=f"topic {TOPIC}")
        time.sleep(TICK_SECONDS)
