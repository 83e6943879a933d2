"""A stream of its own for a test: a topic, a subject and a bronze table that nobody else uses, on the shared stack."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro
import psutil
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from ruamel.yaml import YAML

from headwater.contracts.avro import avro_schema
from headwater.contracts.loader import load_contracts, load_dataset
from headwater.contracts.model import Dataset
from headwater.contracts.registry import RegistryClient
from headwater.environment import child_environment
from headwater.kafka import client_config
from headwater.lake.catalog import get_catalog
from headwater.policy import applying
from headwater.policy.bundle import APPLIED
from headwater.policy.loader import load_policy
from headwater.policy.model import Policy
from headwater.settings import Settings
from headwater.streaming.accounting import StreamLedger, ledger_of
from headwater.streaming.broker import Broker
from headwater.streaming.runner import StreamRunner
from headwater.warehouse.client import writer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CHECKOUT = Path(__file__).parents[1]
PARTITIONS = 2
LONGEST_MESSAGE = 16 * 1024 * 1024  # as `contract apply` has it


def sale(number: int, **changes: Any) -> dict[str, Any]:
    """A valid sale; its event id derives from the number."""
    amounts = dict.fromkeys(("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc"), Decimal("1.25"))
    numbers = {"household_id": number % 7, "store_id": number % 5, "basket_id": number, "product_id": 1, "quantity": 1}
    moment = datetime(2017, 3, 1, 10, tzinfo=UTC)
    head = {"event_id": f"{number}-1", "event_type": "sale", "event_timestamp": moment, "source_system": "pos"}
    return {**head, "schema_version": 1, **numbers, **amounts, "week": 9, **changes}


@dataclass
class StreamCase:
    """A stream and what a test does with it."""

    settings: Settings
    dataset: Dataset
    registry: RegistryClient
    admin: AdminClient = field(init=False)
    schema: dict[str, Any] = field(init=False)
    schema_id: int = field(init=False)

    def __post_init__(self) -> None:
        self.admin = AdminClient(client_config(self.settings))
        self.create_topic()
        self.registry.set_compatibility(self.dataset.subject)
        self.schema = avro_schema(self.dataset)
        self.schema_id = self.registry.register(self.dataset.subject, self.schema)

    def create_topic(self) -> None:
        topic = NewTopic(self.dataset.topic, PARTITIONS, 1, config={"max.message.bytes": str(LONGEST_MESSAGE)})
        self.admin.create_topics([topic])[self.dataset.topic].result()

    def recreate_topic(self) -> None:
        self.admin.delete_topics([self.dataset.topic])[self.dataset.topic].result()
        deadline = time.monotonic() + 30
        while self.dataset.topic in self.admin.list_topics(timeout=10).topics:
            assert time.monotonic() < deadline, "the topic is still there"
        self.create_topic()

    def framed(self, record: Mapping[str, Any], schema: Mapping[str, Any] | None = None, schema_id: int = 0) -> bytes:
        """Confluent's framing: a zero byte, the schema id, the Avro body."""
        buffer = io.BytesIO(b"\0" + (schema_id or self.schema_id).to_bytes(4, "big"))
        buffer.seek(5)
        fastavro.schemaless_writer(buffer, dict(schema or self.schema), record)
        return buffer.getvalue()

    def produce(
        self,
        *values: bytes | None,
        partition: int = 0,
        key: bytes | None = b"7",
        headers: list[tuple[str, bytes | None]] | None = None,
        transactional: bool | None = None,
    ) -> None:
        """Send values to one partition; in one transaction, committed (True) or aborted (False)."""
        config = client_config(self.settings, message_max_bytes=LONGEST_MESSAGE)
        if transactional is not None:
            config["transactional.id"] = uuid.uuid4().hex
        producer = Producer(config)
        if transactional is not None:
            producer.init_transactions(120)
            producer.begin_transaction()
        for value in values:
            producer.produce(self.dataset.topic, key=key, value=value, partition=partition, headers=headers or [])
        assert producer.flush(30) == 0
        if transactional is not None:
            (producer.commit_transaction if transactional else producer.abort_transaction)(30)

    def sales(self, *numbers: int, partition: int = 0) -> None:
        """Send valid sales of these numbers."""
        self.produce(*(self.framed(sale(number)) for number in numbers), partition=partition)

    def read_once(self, spark: SparkSession, settings: Settings | None = None) -> StreamRunner:
        """Run the stream in this process until it has read what is there; raises what made it fail."""
        runner = StreamRunner(spark, settings or self.settings, self.dataset, once=True)
        deadline = time.monotonic() + 240
        while not runner.ended:
            assert time.monotonic() < deadline, f"still {runner.heartbeat}"
            runner.tend()
            time.sleep(0.05)
        if runner.error is not None:
            raise runner.error
        return runner

    def bronze(self, *columns: str) -> list[dict[str, Any]]:
        """Rows of bronze in the order of the log."""
        rows: pa.Table = get_catalog().load_table(f"bronze.{self.dataset.name}").scan().to_arrow()
        rows = rows.sort_by([("_kafka_partition", "ascending"), ("_kafka_offset", "ascending")])
        return (rows.select(list(columns)) if columns else rows).to_pylist()

    def places(self) -> list[tuple[int, int]]:
        """Partition and offset of every row of bronze."""
        return [(r["_kafka_partition"], r["_kafka_offset"]) for r in self.bronze("_kafka_partition", "_kafka_offset")]

    def ledger(self, *, exact: bool = False) -> StreamLedger:
        return ledger_of(self.dataset, Broker(self.settings).topic(self.dataset.topic), exact=exact)


TRANSACTIONS = CHECKOUT / "schemas" / "contracts" / "loyalty" / "transactions.yaml"


def stream_case(settings: Settings, contract: Path = TRANSACTIONS) -> StreamCase:
    """A new stream with this contract under a name of its own."""
    mark = uuid.uuid4().hex[:10]
    original = load_dataset(contract)
    dataset = replace(original, name=f"{original.name}_{mark}", source_name=f"test.{original.name}.{mark}")
    return StreamCase(settings, dataset, RegistryClient(settings))


def schema_with(schema: Mapping[str, Any], *fields: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with these fields added, as a producer would hold it."""
    return json.loads(json.dumps({**schema, "fields": [*schema["fields"], *fields]}))


def own_project(case: StreamCase, project: Path) -> None:
    """Make a project directory that has this contract, and the jobs; repeated, it has one contract more."""
    yaml = YAML()
    contract = yaml.load(case.dataset.path.read_text())
    contract["id"] = f"loyalty.{case.dataset.name}"
    contract["schema"][0] |= {"name": case.dataset.name, "physicalName": case.dataset.topic}
    for column in contract["schema"][0]["properties"]:
        column.pop("relationships", None)  # the other contracts are not here
    path = project / "schemas" / "contracts" / "loyalty" / f"{case.dataset.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    yaml.dump(contract, path)
    if not (project / "spark_jobs").exists():
        (project / "spark_jobs").symlink_to(case.settings.project_dir / "spark_jobs")


def own_policy(roles: Sequence[str], project: Path) -> None:
    """Give the project a policy: these roles see everything plainly, and the group `privacy` has one of them."""
    folder = project / "schemas" / "policies"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(CHECKOUT / "schemas" / "policies" / "decision.rego", folder)
    role = {
        "description": "Everything",
        "purposes": ["privacy_request"],
        "surfaces": ["clickhouse"],
        "limits": {"rows": 1000, "bytes": 1_000_000, "seconds": 10, "queries_per_hour": 100},
        "masks": {"confidential": "plain", "restricted": "plain"},
    }
    policy = {
        "purposes": {"privacy_request": "Somebody asks what is known of them"},
        "roles": dict.fromkeys(roles, role),
        "groups": {"privacy": {"role": "privacy_officer"}},
    }
    (folder / "policy.yaml").write_text(json.dumps(policy))  # YAML takes JSON


@contextmanager
def in_force(project: Path) -> Iterator[None]:
    """Put the project's policy in force, without its views; afterwards, what was before."""
    schemas = project / "schemas"
    policy = load_policy(schemas / "policies", load_contracts(schemas / "contracts"))
    with writer() as client:
        for statement in applying.CREATE:
            client.command(statement)
        before = applying.applied(client)
        _enforce(client, policy)
        try:
            yield
        finally:
            client.command(f"TRUNCATE TABLE {APPLIED}")
            if before is not None:
                _enforce(client, before)


def _enforce(client: Client, policy: Policy) -> None:
    client.insert(APPLIED, [[policy.version, json.dumps(asdict(policy))]], column_names=["version", "policy"])


def await_rows(case: StreamCase, count: int, seconds: float = 120.0) -> None:
    """Until bronze has so many rows."""
    deadline = time.monotonic() + seconds
    while (found := committed_rows(case)) < count:
        assert time.monotonic() < deadline, f"{found} of {count} rows"
        time.sleep(0.2)


def committed_rows(case: StreamCase) -> int:
    name = f"bronze.{case.dataset.name}"
    if not get_catalog().table_exists(name):
        return 0
    snapshot = get_catalog().load_table(name).current_snapshot()
    return 0 if snapshot is None or snapshot.summary is None else int(snapshot.summary["total-records"] or 0)


def launch(case: StreamCase, project: Path, *command: str, **settings: str) -> subprocess.Popen[bytes]:
    """A process of its own group on a project that has this one contract; its log is `<project>/stream.log`.

    The command is that of Python; by default the stream itself.
    """
    own_project(case, project)
    job = str(case.settings.project_dir / "spark_jobs" / "ingest_stream.py")
    own = {"PROJECT_DIR": str(project), "STREAM_TRIGGER_INTERVAL": "500 milliseconds", **settings}
    with (project / "stream.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *(command or (job, "--dataset", case.dataset.name))],
            env=child_environment({f"HEADWATER_{name}": value for name, value in own.items()}),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to Python and JVM at once, however they are, and wait until both are gone."""
    members = [process.pid, *(child.pid for child in _children(process.pid))]
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    left = [psutil.Process(pid) for pid in members if psutil.pid_exists(pid)]
    psutil.wait_procs(left, 30)


def tend_until(runner: StreamRunner, condition: Callable[[], object], seconds: float = 240.0) -> None:
    """Tend a stream in this process until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, runner.heartbeat
        runner.tend()
        time.sleep(0.05)


def _children(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def await_that(condition: Callable[[], object], what: str, seconds: float = 90.0) -> None:
    """Until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
