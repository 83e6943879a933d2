"""A table with a broker beside its database is captured from the log; what that asks of a contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.contracts.deploy import Target, _places
from headwater.contracts.footprint import footprint
from headwater.contracts.graph import pipeline_graph
from headwater.contracts.layers import bronze_columns, silver_columns
from headwater.contracts.loader import ContractErrors, load_contracts, load_file
from headwater.contracts.model import Dataset, Kind
from headwater.errors import ContractError
from headwater.settings import get_settings

ACCOUNTS = Path(__file__).parents[2] / "datasets" / "accounts" / "accounts.yaml"

KAFKA = """  - server: changes
    type: kafka
    host: ${HEADWATER_KAFKA_BOOTSTRAP_SERVERS}
    format: avro
"""
SOURCE_SYSTEM = "      - {property: sourceSystem, value: bank}\n"
FAULTS = {
    "two brokers": (KAFKA, KAFKA + KAFKA.replace("changes", "more"), "exactly one server of type kafka"),
    "no schema in the name of the table": (
        "physicalName: bank.accounts",
        "physicalName: accounts",
        "physicalName 'accounts' of a capture",
    ),
    "no name of the table": ("    physicalName: bank.accounts\n", "", "physicalName is missing"),
    "an order of its own": (
        SOURCE_SYSTEM,
        SOURCE_SYSTEM + "      - {property: orderByNewest, value: [changed_at]}\n",
        "'orderByNewest' has no meaning for a capture",
    ),
    "two columns of one of the source": (
        "      - name: opened_on\n",
        "      - name: opened_on\n        physicalName: owner_name\n",
        "two columns come from the source's 'owner_name'",
    ),
    "a derived column that the source should have": (
        "        physicalName: owner_name\n",
        "        physicalName: owner_name\n        transformLogic: account_id\n",
        "is derived",
    ),
    "a ClickHouse table": (
        KAFKA,
        KAFKA + "  - server: live\n    type: clickhouse\n    host: ${HEADWATER_CLICKHOUSE_HOST}\n"
        "    port: ${HEADWATER_CLICKHOUSE_PORT}\n    database: live\n",
        "a capture has no ClickHouse table",
    ),
    "a renamed column of a table that is read whole": (KAFKA, "", "of a column of a table would be ignored"),
}


def edited(tmp_path: Path, old: str, new: str) -> Dataset:
    text = ACCOUNTS.read_text()
    assert old in text
    path = tmp_path / "accounts" / "accounts.yaml"
    path.parent.mkdir()
    path.write_text(text.replace(old, new))
    return load_file(path)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_its_line_and_a_remedy(fault: str, tmp_path: Path) -> None:
    old, new, message = FAULTS[fault]
    with pytest.raises(ContractError) as caught:
        edited(tmp_path, old, new)
    errors = caught.value.errors if isinstance(caught.value, ContractErrors) else [caught.value]
    told = [e for e in errors if message in e.what]
    assert told, [str(e) for e in errors]
    assert told[0].where.rpartition(":")[2].isdigit()
    assert told[0].remedy


def test_a_table_with_a_broker_is_a_capture() -> None:
    dataset = load_file(ACCOUNTS)
    assert (dataset.kind, dataset.captured, dataset.streamed) == (Kind.CAPTURE, True, True)
    assert (dataset.topic, dataset.subject) == ("accounts.accounts", "accounts.accounts-value")
    assert dataset.source_name == "bank.accounts"
    assert dataset.column("owner").source_name == "owner_name"


def test_the_layers_know_the_place_in_the_log() -> None:
    dataset = load_file(ACCOUNTS)
    bronze, silver = ([c.name for c in columns(dataset)] for columns in (bronze_columns, silver_columns))
    assert {"_kafka_offset", "_error", "_raw", "_operation", "_lsn", "_prior_commit_lsn", "_tx_id"} < set(bronze)
    assert {"_lsn", "_prior_commit_lsn", "_committed_at", "_is_deleted"} < set(silver)
    assert "_operation" not in silver


def test_it_has_a_topic_and_no_released_schema() -> None:
    places = [target for _, target in _places([load_file(ACCOUNTS)], tuple(Target))]
    assert places == [Target.TOPIC, Target.LAKE, Target.WAREHOUSE]


def test_its_way_is_that_of_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "schemas" / "contracts" / "accounts" / "accounts.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(ACCOUNTS.read_text())
    settings = get_settings().model_copy(update={"project_dir": tmp_path})
    contracts = load_contracts(settings.contracts_dir)
    graph = pipeline_graph(contracts, tmp_path)["accounts"]
    assert (graph["kind"], graph["inputs"], graph["restatable"]) == ("capture", (), False)
    found = footprint(settings, contracts.get("accounts"))
    assert found["topic"] == ["accounts.accounts"]
    assert found["jobs"][0] == "spark_jobs/ingest_stream.py"
    assert "streams: stream" in found["tasks"]


def test_no_contract_of_the_demo_is_captured() -> None:
    assert not load_contracts(get_settings().contracts_dir).of_kind(Kind.CAPTURE)
