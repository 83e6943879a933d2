"""The reference of gold is what the contracts say."""

from __future__ import annotations

from pathlib import Path

from headwater.contracts.loader import load_contracts
from headwater.contracts.reference import render_reference

ROOT = Path(__file__).resolve().parents[3]


def test_the_committed_page_is_what_the_contracts_say() -> None:
    page = (ROOT / "docs" / "reference" / "gold.md").read_text(encoding="utf-8")
    wanted = render_reference(load_contracts(ROOT / "schemas" / "contracts"))
    assert page == wanted, "run `headwater contract generate`"


def test_the_page_says_what_a_reader_must_know_of_a_column() -> None:
    page = render_reference(load_contracts(ROOT / "schemas" / "contracts"))
    assert "| household_id | long | The household. Key. Confidential |" in page
    assert "One of: none, display, mailer, display and mailer, not observed" in page
    assert "Refers to dim_product.product_key" in page
