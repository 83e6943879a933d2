"""Contracts of the tests: two of every feature for golden files, and a way to spoil one line of a good one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.contracts.loader import load_contracts, load_file
from headwater.contracts.model import Contracts, Dataset

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def contracts() -> Contracts:
    return load_contracts(GOLDEN / "contracts")


@pytest.fixture(scope="session")
def stream(contracts: Contracts) -> Dataset:
    return contracts.get("every_type")


@pytest.fixture(scope="session")
def model(contracts: Contracts) -> Dataset:
    return contracts.get("by_letter")


Edit = Callable[..., Dataset]


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """Load `every_type` with texts replaced, given as old, new, old, new …; each must be there exactly once."""

    def load(*texts: str) -> Dataset:
        name = "every_type"
        text = (GOLDEN / "contracts" / "sample" / f"{name}.yaml").read_text()
        for old, new in zip(texts[::2], texts[1::2], strict=True):
            assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
            text = text.replace(old, new)
        folder = tmp_path / "contracts" / "sample"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.yaml"
        path.write_text(text)
        return load_file(path)

    return load
