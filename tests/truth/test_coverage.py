"""No gold table without its truth."""

from __future__ import annotations

from pathlib import Path

from tests.truth.expected import KEYS, QUERIES

from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Kind

CATALOGUE = load_contracts(Path(__file__).resolve().parents[2] / "schemas" / "contracts")


def test_every_gold_contract_of_the_demo_has_a_truth_by_the_same_key() -> None:
    declared = {d.name: d.primary_key for d in CATALOGUE.of_kind(Kind.MODEL) if d.domain == "loyalty"}
    assert declared == KEYS
    assert {path.stem for path in QUERIES.glob("*.sql")} == set(KEYS)
