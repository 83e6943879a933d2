"""The other peer of the bronze stream: Iceberg's own sink for Kafka Connect, and the stream on the same topic after it.

A worker with two tasks that commits every five seconds. It has no quarantine, keeps neither the place of a record nor
a hash, and counts on consumer groups. The second of two runs in one JVM is measured, from the connector's creation
until its table has all rows; CPU seconds are those of the worker. Its catalog is a folder. The stream is measured the
same way: its second run in a JVM, and the CPU seconds of that JVM and its Python.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
from pyiceberg.table import StaticTable

from bench.measure import Measurement
from bench.plain_events import plain_events
from bench.stream import warm_stream
from bench.topics import Context
from headwater.cdc.connector import converter
from headwater.embedded import downloads
from headwater.embedded.connect import LOG4J
from headwater.embedded.java import ensure_java
from headwater.errors import RetryableError
from headwater.settings import LOOPBACK, Settings, get_settings

GROUPS = ("kafka", "connect", "connect-avro", "connect-iceberg")
NAMESPACE, TABLE = "bench_peer", "events"
COMMIT_MILLISECONDS = 5_000
SECONDS = 300.0
ANSWER_SECONDS = 120.0
"""A worker that starts, or takes a connector, while others are at work on the machine."""
POLL_SECONDS = 0.2
TIMES_THE_SINK = 2.5
"""So many times the sink's rows per CPU-second the stream is to reach."""
JVM = ("-Xms256m", "-Xmx2g", "-XX:+UseG1GC", "-Djava.awt.headless=true")
"""Twice the memory that the stream's own JVM gets."""


def measure_kafka_connect(context: Context) -> list[Measurement]:
    """The whole topic into an Iceberg table, twice, and the second is told; then the same of the stream.

    Both times the same table: two tasks that create one at the same moment wait seconds for each other.
    """
    settings = get_settings()
    java = ensure_java(settings).executable
    downloads.ensure(settings, GROUPS, java)
    events, _ = plain_events(context)
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder, _worker(settings, java, Path(folder)) as one:
        sink = [one.take(context, events.topic, number) for number in range(2)][-1]
    return [sink, _beside(sink, warm_stream(events, context.rows))]


def _beside(sink: Measurement, stream: Measurement) -> Measurement:
    """The stream with its target: rows per CPU-second as a multiple of the sink's."""
    assert sink.cpu_per_million is not None
    assert stream.cpu_per_million is not None
    times = sink.cpu_per_million / stream.cpu_per_million
    notes = {
        "rows per CPU-second, times the sink's": round(times, 2),
        "rows/s, times the sink's": round(stream.rows_per_second / sink.rows_per_second, 2),
    }
    return replace(stream, passed=times >= TIMES_THE_SINK, notes=notes)


@dataclass
class _Worker:
    """A running worker."""

    settings: Settings
    folder: Path
    url: str
    process: psutil.Process

    def take(self, context: Context, topic: str, number: int) -> Measurement:
        """A new connector takes the topic into the table; checked by its row count."""
        name = f"run{number}"
        control, before = context.new_topic(f"control{number}"), self._rows()
        begun, cpu = time.perf_counter(), self._cpu()
        self._ask("PUT", f"/connectors/{name}/config", self._config(topic, control))
        while (rows := self._rows() - before) < context.rows:
            state = self._ask("GET", f"/connectors/{name}/status")
            if time.perf_counter() - begun > SECONDS or "FAILED" in state:
                raise RetryableError(f"only {rows:,} of {context.rows:,} rows came: {state}", where=self._log())
            time.sleep(POLL_SECONDS)
        seconds, cpu = time.perf_counter() - begun, self._cpu() - cpu
        self._ask("DELETE", f"/connectors/{name}")
        notes = {"commit_s": COMMIT_MILLISECONDS / 1000}
        return Measurement("peer: Iceberg sink of Kafka Connect, plain events, warm", rows, seconds, cpu, notes=notes)

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> str:
        """What the worker answers; a connector that it has just taken has no status yet."""
        answer = httpx.request(method, f"{self.url}{path}", json=body, timeout=ANSWER_SECONDS)
        if answer.is_error and not (method == "GET" and answer.status_code == httpx.codes.NOT_FOUND):
            raise RetryableError(f"{method} {path}: {answer.status_code} {answer.text}", where=self._log())
        return answer.text

    def _log(self) -> str:
        return (self.folder / "worker.log").read_text()[-2000:]

    def _cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def _rows(self) -> int:
        """Rows in the table, by the summary of its newest snapshot."""
        metadata = self.folder / "warehouse" / NAMESPACE / TABLE / "metadata"
        try:
            version = (metadata / "version-hint.text").read_text()
        except FileNotFoundError:  # nothing is committed yet, or it is being replaced
            return 0
        snapshot = StaticTable.from_metadata(f"{metadata}/v{version}.metadata.json").current_snapshot()
        return int((snapshot and snapshot.summary and snapshot.summary["total-records"]) or 0)

    def _config(self, topic: str, control: str) -> dict[str, str]:
        return {
            "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
            "tasks.max": "2",
            "topics": topic,
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            **converter(self.settings, "value"),
            "iceberg.tables": f"{NAMESPACE}.{TABLE}",
            "iceberg.tables.auto-create-enabled": "true",
            "iceberg.control.topic": control,
            "iceberg.control.commit.interval-ms": str(COMMIT_MILLISECONDS),
            "iceberg.catalog.type": "hadoop",
            "iceberg.catalog.warehouse": f"file://{self.folder}/warehouse",
        }


@contextmanager
def _worker(settings: Settings, java: Path, folder: Path) -> Iterator[_Worker]:
    """A standalone worker, gone afterwards."""
    plugins = folder / "plugins"
    plugins.mkdir()
    for plugin in ("connect-avro", "connect-iceberg"):
        (plugins / plugin).symlink_to(settings.downloads_dir / plugin, target_is_directory=True)
    (folder / "log4j2.xml").write_text(LOG4J)
    url = f"http://{LOOPBACK}:{_free_port()}"
    (folder / "worker.properties").write_text(
        f"bootstrap.servers={settings.kafka_bootstrap_servers}\nlisteners={url}\nplugin.path={plugins}\n"
        # Looking through every class of two hundred jars takes a busy machine minutes.
        "plugin.discovery=service_load\nkey.converter=org.apache.kafka.connect.storage.StringConverter\n"
        "value.converter=org.apache.kafka.connect.storage.StringConverter\n"
        # A task that waits for records hears of a commit only when it has waited so long: by default a minute.
        "offset.flush.interval.ms=1000\n"
        f"offset.storage.file.filename={folder}/offsets\nconsumer.max.poll.records=5000\n"
        "consumer.auto.offset.reset=earliest\n"
    )
    jars = ":".join(str(settings.downloads_dir / group / "*") for group in ("connect", "kafka"))
    main = "org.apache.kafka.connect.cli.ConnectStandalone"
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(java), *JVM, f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}", "-cp", jars),
                *(main, str(folder / "worker.properties")),
            ],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
        try:
            _await_answer(process, url, folder / "worker.log")
            yield _Worker(settings, folder, url, psutil.Process(process.pid))
        finally:
            process.kill()
            process.wait()


def _await_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/connectors", timeout=ANSWER_SECONDS).is_success:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RetryableError(f"the worker does not answer: {log.read_text()[-2000:]}", where=url)
        time.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        return int(one.getsockname()[1])
