"""What a contract says of event time: how far ahead an event may lie, and how far behind without being late."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.contracts.loader import DEFAULT_WATERMARK, load_dataset, load_file
from headwater.contracts.model import Dataset
from headwater.errors import ContractError
from headwater.settings import get_settings

SALES = "transactions"


def edited(folder: Path, before: str, after: str, name: str = SALES) -> Dataset:
    original = get_settings().contracts_dir / "loyalty" / f"{name}.yaml"
    text = original.read_text()
    assert before in text
    (folder / "loyalty").mkdir()
    (folder / "loyalty" / f"{name}.yaml").write_text(text.replace(before, after))
    return load_file(folder / "loyalty" / f"{name}.yaml")


def upper_bound(dataset: Dataset) -> str:
    return next(rule.expression for rule in dataset.row_rules if rule.name == "event_timestamp_maximum")


@pytest.mark.parametrize(
    ("skew", "interval"),
    [("value: 2, unit: d", "2 DAY"), ("value: 36, unit: h", "36 HOUR"), ("value: 90, unit: s", "90 SECOND")],
)
def test_clock_skew_bounds_the_time_of_an_event(tmp_path: Path, skew: str, interval: str) -> None:
    dataset = edited(tmp_path, "property: clockSkew, value: 1, unit: d", f"property: clockSkew, {skew}")
    assert f"<= _ingested_at + INTERVAL {interval}" in upper_bound(dataset)


def test_both_have_defaults() -> None:
    redemptions = load_dataset("coupon_redemptions")
    assert "_ingested_at + INTERVAL 1 DAY" in upper_bound(redemptions)
    assert redemptions.watermark_seconds == DEFAULT_WATERMARK
    assert load_dataset("products").watermark_seconds is None


def test_the_watermark_is_declared_in_any_unit(tmp_path: Path) -> None:
    dataset = edited(tmp_path, "property: watermark, value: 1, unit: h", "property: watermark, value: 5, unit: min")
    assert dataset.watermark_seconds == 300


def test_only_a_stream_has_event_time(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="unknown slaProperty 'watermark'"):
        edited(tmp_path, "property: retention, value: 90, unit: d", "property: watermark, value: 1, unit: h", "stores")


def test_a_skew_that_a_column_of_the_contract_overrules_is_refused(tmp_path: Path) -> None:
    own = (
        "      - name: event_timestamp\n        logicalType: timestamp\n        physicalType: timestamp\n"
        "        required: true\n        description: When\n      - name: household_id"
    )
    with pytest.raises(ContractError, match="clockSkew would be ignored"):
        edited(tmp_path, "      - name: household_id", own)


def test_the_order_of_compaction_names_columns(tmp_path: Path) -> None:
    assert load_dataset(SALES).sort_by == ("basket_id", "product_id")
    with pytest.raises(ContractError, match="there is no column 'baskets'"):
        edited(tmp_path, "sortBy, value: [basket_id,", "sortBy, value: [baskets,")
