"""Every gold model says what its contract says: columns and inputs. Read from the SQL, with no engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from headwater.contracts.graph import model_inputs, model_path
from headwater.contracts.layers import silver_columns
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Dataset, Kind

PROJECT_ROOT = Path(__file__).resolve().parents[3]
MODELS_DIR = PROJECT_ROOT / "spark_jobs" / "gold"
CATALOGUE = load_contracts(PROJECT_ROOT / "schemas" / "contracts")
MODELS = CATALOGUE.of_kind(Kind.MODEL)

every_model = pytest.mark.parametrize("dataset", MODELS, ids=lambda d: d.name)


def text_of(dataset: Dataset) -> str:
    return model_path(dataset, MODELS_DIR).read_text()


@every_model
def test_a_model_is_one_select_with_the_columns_of_its_contract_in_order(dataset: Dataset) -> None:
    [query] = sqlglot.parse(text_of(dataset), read="spark")
    assert isinstance(query, exp.Query)
    assert query.named_selects == [c.name for c in dataset.columns]


@every_model
def test_a_model_reads_the_inputs_that_its_contract_names_each_in_its_layer(dataset: Dataset) -> None:
    layer = {name: "gold" if CATALOGUE.get(name).kind is Kind.MODEL else "silver" for name in dataset.spread}
    assert model_inputs(text_of(dataset)) == tuple(sorted(f"{layer[name]}.{name}" for name in dataset.spread))


@every_model
def test_a_model_leaves_out_what_the_source_has_deleted(dataset: Dataset) -> None:
    for table in sqlglot.parse_one(text_of(dataset), read="spark").find_all(exp.Table):
        if table.db != "silver" or "_is_deleted" not in {c.name for c in silver_columns(CATALOGUE.get(table.name))}:
            continue
        select = table.find_ancestor(exp.Select)
        assert select is not None
        denied = [no.this.name for no in select.args["where"].find_all(exp.Not) if isinstance(no.this, exp.Column)]
        assert "_is_deleted" in denied, f"{dataset.name} reads {table.name} without NOT _is_deleted"


@every_model
def test_the_change_column_passes_through_so_that_a_range_of_dates_reads_only_its_partitions(dataset: Dataset) -> None:
    if dataset.change_column is None:
        assert dataset.partition_by == ()
        return
    query = sqlglot.parse_one(text_of(dataset), read="spark")
    assert isinstance(query, exp.Select)
    [selected] = [s for s in query.selects if s.alias_or_name == dataset.change_column]
    # Not an aggregate nor a window: those would have to be computed for all rows before a filter can drop any.
    assert not list(selected.find_all(exp.AggFunc, exp.Window))
    assert [p.column for p in dataset.partition_by] == [dataset.change_column]


def test_every_model_has_a_contract() -> None:
    assert {p.stem for p in MODELS_DIR.glob("*/*.sql")} == {d.name for d in MODELS}
