"""Every case of tests/datasets: what arrives in bronze, and what silver must hold afterwards (see README.md)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.datasets.cases import FOLDER, Case, Lake, folders, pick

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.relative_to(FOLDER).as_posix())
def test_silver_is_as_expected(folder: Path, lake: Lake) -> None:
    case = Case(folder, lake)
    case.play()
    expected = case.expected["silver"]
    assert pick(case.silver(), expected) == pick(expected, expected)
    refused = case.expected.get("refused", [])
    assert pick(lake.rows(f"silver.{case.dataset.name}_refused"), refused) == pick(refused, refused)
    if case.expected.get("unchanged_by_last_step"):
        assert case.silver() == case.before_last


def test_there_are_cases() -> None:
    assert len(folders()) >= 10
