"""A changed contract becomes a new version, or is refused; what was released never changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headwater.contracts.releases import next_release, release, releases
from headwater.errors import ContractError

if TYPE_CHECKING:
    from conftest import Edit

FLAG = "{name: flag, logicalType: boolean, physicalType: boolean}"
SMALL = "        physicalType: int\n"


def test_the_first_release_is_v1_and_repeating_writes_nothing(edited: Edit, tmp_path: Path) -> None:
    dataset = edited()
    first = release(dataset, tmp_path)
    assert first is not None
    assert first.path == tmp_path / "every_type" / "v1.avsc"
    assert release(dataset, tmp_path) is None
    assert [r.version for r in releases(dataset, tmp_path)] == [1]


def test_a_new_description_is_no_new_version(edited: Edit, tmp_path: Path) -> None:
    release(edited(), tmp_path)
    assert next_release(edited("description: An amount", "description: Another"), tmp_path) is None


def test_an_optional_column_and_a_promotion_are_a_new_version(edited: Edit, tmp_path: Path) -> None:
    release(edited(), tmp_path)
    before = (tmp_path / "every_type" / "v1.avsc").read_bytes()
    added = f"{FLAG}\n      - {{name: more, logicalType: string, physicalType: string}}"
    second = release(edited(FLAG, added), tmp_path)
    third = release(edited(SMALL, SMALL.replace("int", "long")), tmp_path)
    assert (second and second.version, third and third.version) == (2, 3)
    assert (tmp_path / "every_type" / "v1.avsc").read_bytes() == before


def test_a_column_that_comes_back_must_read_what_the_oldest_version_wrote(edited: Edit, tmp_path: Path) -> None:
    release(edited(), tmp_path)
    release(edited(f"      - {FLAG}\n", ""), tmp_path)
    back = edited(FLAG, "{name: flag, logicalType: string, physicalType: string}")
    with pytest.raises(ContractError, match="v1: flag: was boolean and is string"):
        release(back, tmp_path)
    assert [r.version for r in releases(back, tmp_path)] == [1, 2]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (SMALL, SMALL.replace("int", "string"), "does not fit"),
        ("physicalType: decimal(10,2)", "physicalType: decimal(10,4)", "Iceberg cannot promote"),
        (
            "{name: moment, logicalType: timestamp",
            "{name: moment, required: true, logicalType: timestamp",
            "is required now",
        ),
        (FLAG, FLAG.replace("name: flag", "name: banner, required: true"), "is new and has no default"),
    ],
)
def test_what_breaks_readers_is_refused(edited: Edit, tmp_path: Path, old: str, new: str, message: str) -> None:
    release(edited(), tmp_path)
    with pytest.raises(ContractError, match=message):
        release(edited(old, new), tmp_path)


def test_an_edited_release_is_noticed(edited: Edit, tmp_path: Path) -> None:
    dataset = edited()
    release(dataset, tmp_path)
    path = tmp_path / "every_type" / "v1.avsc"
    path.write_text(path.read_text().replace('"long"', '"int"'))
    with pytest.raises(ContractError, match="a released schema was changed"):
        releases(dataset, tmp_path)


def test_a_lost_release_is_noticed(edited: Edit, tmp_path: Path) -> None:
    dataset = edited()
    release(dataset, tmp_path)
    (tmp_path / "every_type" / "v1.avsc").unlink()
    with pytest.raises(ContractError, match="differ: v1"):
        releases(dataset, tmp_path)
