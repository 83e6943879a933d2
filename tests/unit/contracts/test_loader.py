"""A contract that is wrong is refused with file, line and remedy; a right one becomes plain values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headwater.contracts.loader import ContractErrors, load_contracts, load_file
from headwater.contracts.model import Contracts, Dataset, Kind, PartitionField, Spread
from headwater.errors import ContractError
from headwater.settings import get_settings

if TYPE_CHECKING:
    from conftest import Edit

GOLDEN = Path(__file__).parent / "golden" / "contracts"

FAULTS = {
    "unknown key at the top": ("status: active", "stauts: active", "unknown key: stauts"),
    "unknown key of a column": ("logicalTypeOptions: {minimum: 0.5}", "nullable: true", "unknown key: nullable"),
    "unknown key of a server": ("    format: avro", "    format: avro\n    topics: x", "unknown key: topics"),
    "unknown key of the description": ("  purpose: One", "  porpoise: x\n  purpose: One", "unknown key: porpoise"),
    "unknown physical type": ("physicalType: float}", "physicalType: real}", "unknown type 'real'"),
    "precision out of bounds": ("physicalType: decimal(10,2)", "physicalType: decimal(40,2)", "precision is 1 to 38"),
    "logical and physical type differ": (
        "logicalType: number, physicalType: float",
        "logicalType: string, physicalType: float",
        "does not fit",
    ),
    "missing logical type": ("{name: flag, logicalType: boolean, ", "{name: flag, ", "has no logicalType"),
    "unknown metric": ("metric: nullValues", "metric: nullValue", "nullValue"),
    "unknown argument of a metric": ("arguments: {properties:", "arguments: {columns:", "unknown argument 'columns'"),
    "check on a missing column": ("[letter, small]", "[letter, large]", "there is no column 'large'"),
    "row rule on a missing column": ("small <= fine OR", "small <= finest OR", "there is no column 'finest'"),
    "row rule that is no SQL": ("small <= fine OR", "small <= OR OR", "not a SQL expression"),
    "derived from a missing column": (
        "transformLogic: to_date(event_timestamp)",
        "transformLogic: to_date(moments)",
        "'moments'",
    ),
    "lineage from a missing column": (
        "transformSourceObjects: [event_timestamp]",
        "transformSourceObjects: [moments]",
        "'moments'",
    ),
    "option that nothing checks": (
        "{minLength: 1,",
        "{format: email, minLength: 1,",
        "option 'format' would be ignored",
    ),
    "bound that is no date": ('{minimum: "2000-01-01"}', '{minimum: "tomorrow"}', "'tomorrow' is no bound"),
    "unknown severity": (
        "mustBeLessThan: 5, severity: warning",
        "mustBeLessThan: 5, severity: fatal",
        "severity 'fatal'",
    ),
    "operator that is not supported": ("mustBeBetween: [1, 1000]", "mustNotBe: 3", "mustNotBe is not supported"),
    "a bound that is no number": ("mustBeBetween: [1, 1000]", "mustBe: many", "'many' is no number"),
    "unknown classification": ("classification: confidential", "classification: hush", "classification 'hush'"),
    "unknown custom property": (
        "{property: eventType, value: sampled}",
        "{property: evenType, value: x}",
        "'evenType'",
    ),
    "missing custom property": (
        "      - {property: messageKey, value: id}\n",
        "",
        "needs the custom property 'messageKey'",
    ),
    "custom property of the wrong type": (
        "{property: ttlDays, value: 30}",
        '{property: ttlDays, value: "30"}',
        "must be a int",
    ),
    "message key that is no column": (
        "{property: messageKey, value: id}",
        "{property: messageKey, value: key}",
        "'key'",
    ),
    "no primary key": (" primaryKey: true, primaryKeyPosition: 1}", "}", "no primary key"),
    "key position that is not 1": ("primaryKeyPosition: 1}", "primaryKeyPosition: 2}", "must count 1, 2"),
    "column twice": ("{name: flag,", "{name: rough,", "'rough' is there twice"),
    "column name that engines quote": ("{name: flag,", "{name: Flag-1,", "'Flag-1'"),
    "no owner": ("team:\n  name: tests\n", "", "team.name is missing"),
    "domain that is not the folder": ("domain: sample", "domain: other", "folder 'sample'"),
    "version that is none": ("version: 1.0.0", "version: one", "'one' is not major.minor.patch"),
    "address in a contract": (
        "    host: ${HEADWATER_KAFKA_BOOTSTRAP_SERVERS}",
        "    host: 10.0.0.1:9092",
        "is an address",
    ),
    "orderBy of a missing column": (
        "{property: orderBy, value: [id]}",
        "{property: orderBy, value: [ident]}",
        "'ident'",
    ),
    "retention of nothing": ("unit: y, element: silver", "unit: y, element: lead", "retention of what?"),
    "unit that is none": ("value: 5, unit: min", "value: 5, unit: m", "no duration"),
    "older standard": ("apiVersion: v3.2.0", "apiVersion: v3.0.0", "apiVersion must be v3.2.0"),
    "key twice": ("status: active", "status: active\nstatus: draft", "not valid YAML"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_its_line_and_a_remedy(fault: str, edited: Edit) -> None:
    old, new, message = FAULTS[fault]
    with pytest.raises(ContractError) as caught:
        edited(old, new)
    errors = caught.value.errors if isinstance(caught.value, ContractErrors) else [caught.value]
    told = [e for e in errors if message in e.what]
    assert told, f"nothing says {message!r}: {[str(e) for e in errors]}"
    file, _, line = told[0].where.rpartition(":")
    assert file.endswith("sample/every_type.yaml")
    assert 1 <= int(line) <= 140
    assert told[0].remedy


def test_the_line_is_that_of_the_fault(edited: Edit) -> None:
    text = (GOLDEN / "sample" / "every_type.yaml").read_text()
    line = next(n for n, found in enumerate(text.splitlines(), 1) if "physicalType: float}" in found)
    with pytest.raises(ContractError) as caught:
        edited("physicalType: float}", "physicalType: real}")
    assert caught.value.where.endswith(f"every_type.yaml:{line}")


def test_all_faults_of_a_file_are_told_at_once(edited: Edit) -> None:
    with pytest.raises(ContractErrors) as caught:
        edited("[letter, small]}, mustBeLessOrEqualTo: 3}", "[letter, large]}, mustNotBe: 3}")
    assert len(caught.value.errors) == 2


def test_an_unknown_dataset_lists_the_known_ones(contracts: Contracts) -> None:
    with pytest.raises(ContractError, match="known are: by_letter, every_type"):
        contracts.get("every_tipe")


def test_an_input_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "by_letter.yaml").write_text((GOLDEN / "sample" / "by_letter.yaml").read_text())
    with pytest.raises(ContractError, match="there is no dataset 'every_type'"):
        load_contracts(tmp_path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="cannot read the contract"):
        load_file(tmp_path / "sample" / "nothing.yaml")


def test_a_stream_begins_with_the_envelope(stream: Dataset) -> None:
    assert stream.kind is Kind.STREAM
    assert [c.name for c in stream.columns[:6]] == [
        "event_id", "event_type", "event_timestamp", "source_system", "schema_version", "id",
    ]  # fmt: skip
    assert stream.subject == "sample.every_type-value"


def test_what_the_contract_says_is_read(stream: Dataset, model: Dataset) -> None:
    assert stream.primary_key == ("id",)
    assert stream.partition_by == (PartitionField("event_date", "month"),)
    assert stream.freshness_seconds == 300
    assert stream.retention_days == {"bronze": 90, "silver": 365}
    assert stream.live is not None
    assert stream.live.ttl_days == 30
    assert model.spread == {"every_type": Spread.SAME}
    assert model.change_column == "event_date"
    assert stream.column("money").classification == "confidential"


def test_all_contracts_of_the_project_are_in_order() -> None:
    names = load_contracts(get_settings().contracts_dir).datasets
    assert {"transactions", "households", "promotions", "fct_sales"} <= set(names)
