"""What a gold model reads, how its inputs are pinned, and when it counts as changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.contracts.model import Column, Contracts, Dataset, Kind, Spread
from headwater.contracts.types import Primitive
from headwater.errors import ContractError
from headwater.lake.models import ModelError, inputs_of, load_model, pinned

SQL = """-- reads silver.not_this
WITH gold_names AS (SELECT 'gold.nor_this' AS text FROM silver.sales AS s)
SELECT dim_item.item_id, i2.item_id AS other
FROM gold.dim_item
LEFT JOIN gold.dim_item i2 ON dim_item.item_id = i2.item_id
JOIN gold_names ON true
"""


def dataset(**values: object) -> Dataset:
    columns = (Column("a", Primitive.LONG),)
    given: dict[str, object] = {"kind": Kind.MODEL, "spread": {"sales": Spread.SAME}, "columns": columns, **values}
    return Dataset("mart", "shop", version="1", description="", owner="", path=Path("mart.yaml"), **given)  # type: ignore[arg-type]


def write(folder: Path, text: str, suffix: str = ".sql") -> Path:
    path = folder / "shop" / f"mart{suffix}"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_inputs_are_tables_and_neither_ctes_nor_text_nor_comments() -> None:
    assert inputs_of(SQL) == ("gold.dim_item", "silver.sales")


def test_inputs_are_read_at_their_snapshots_and_all_else_stays_as_written() -> None:
    assert pinned(SQL, {"gold.dim_item": 7}) == SQL.replace(
        "FROM gold.dim_item", "FROM lake.gold.dim_item VERSION AS OF 7"
    ).replace("JOIN gold.dim_item", "JOIN lake.gold.dim_item VERSION AS OF 7").replace(
        "silver.sales AS", "lake.silver.sales AS"
    )


@pytest.mark.parametrize("text", ["SELECT 1; SELECT 2", "DROP TABLE silver.sales", "SELEC a FRM b", ""])
def test_a_model_is_one_select(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(ModelError, match=r"mart\.sql"):
        load_model(dataset(), tmp_path, Contracts({}))


def test_a_missing_model_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"shop/mart\.sql.*write its SELECT"):
        load_model(dataset(), tmp_path, Contracts({}))


def test_an_input_without_a_spread_is_told_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path, "SELECT a FROM silver.stores")
    model = load_model(dataset(), tmp_path, Contracts({}))
    with pytest.raises(ContractError, match="stores: whole"):
        model.spread_of("silver.stores")


def test_a_python_model_reads_what_its_contract_says(tmp_path: Path) -> None:
    write(tmp_path, "def model(spark): ...", ".py")
    sales = dataset(kind=Kind.STREAM)
    assert load_model(dataset(), tmp_path, Contracts({"sales": sales})).inputs == ("silver.sales",)


def test_comments_and_layout_do_not_change_a_model_but_meaning_and_columns_do(tmp_path: Path) -> None:
    def fingerprint(text: str, **values: object) -> str:
        write(tmp_path, text)
        return load_model(dataset(**values), tmp_path, Contracts({})).fingerprint

    first = fingerprint("SELECT a FROM silver.sales")
    assert fingerprint("-- why\nSELECT a\n  FROM silver.sales") == first
    assert fingerprint("SELECT a FROM silver.sales WHERE a > 1") != first
    assert fingerprint("SELECT a FROM silver.sales", columns=(Column("a", Primitive.INT),)) != first
