"""`headwater table …` on the catalog in Postgres that Spark uses too. Needs no other service."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from typer.testing import CliRunner, Result

from headwater.contracts.loader import load_contracts
from headwater.embedded import stack as embedded
from headwater.errors import HeadwaterError
from headwater.lake.catalog import get_catalog
from headwater.lake.locks import TableLocked, table_lock
from headwater.lake.rollback import roll_back
from headwater.lake.snapshots import head_id
from headwater.lake.table_commands import app
from headwater.settings import Settings
from headwater.streaming.ledger import Account

pytestmark = pytest.mark.integration

SCHEMA = pa.schema([("id", pa.int64())])


@pytest.fixture(scope="module")
def catalog(module_home: Settings) -> Catalog:
    """The lake of a home in which Postgres alone runs."""
    embedded.up(("postgres",), print)
    made = get_catalog()
    for namespace in ("bronze", "silver", "gold"):
        made.create_namespace_if_not_exists(namespace)
    return made


@pytest.fixture
def table(catalog: Catalog) -> Iterator[Table]:
    """`gold.fct_sales` of three snapshots: 1, then 2, then 3 rows more."""
    made = catalog.create_table("gold.fct_sales", SCHEMA)
    for n in (1, 2, 3):
        made.append(pa.table({"id": pa.array(range(n), pa.int64())}, SCHEMA))
    yield made
    catalog.drop_table("gold.fct_sales")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def told(*arguments: str):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def rows(catalog: Catalog) -> int:
    return catalog.load_table("gold.fct_sales").scan().count()


def test_a_rollback_is_only_told_until_it_is_confirmed_and_can_be_taken_back(catalog: Catalog, table: Table) -> None:
    third, second, first = (one["snapshot_id"] for one in told("history", "fct_sales"))
    told("tag", "gold.fct_sales", "good", "--at", str(first))
    only_said = told("rollback", "gold.fct_sales", "good")
    assert (only_said["done"], only_said["undone"], only_said["rows_after"]) == (False, [third, second], 1)
    assert rows(catalog) == 6

    done = told("rollback", "gold.fct_sales", "good", "--yes")
    assert (done["done"], done["from"], done["to"], done["rows_before"]) == (True, third, first, 6)
    assert any("its next load follows" in sentence for sentence in done["follows"])
    assert rows(catalog) == 1
    assert [one["state"] for one in told("history", "fct_sales")] == ["undone", "undone", "main"]

    assert told("rollback", "gold.fct_sales", "good", "--yes")["done"] is False
    assert told("rollback", "gold.fct_sales", str(third), "--yes")["restored"] == [third, second]
    assert rows(catalog) == 6


def test_a_rollback_waits_for_whoever_works_on_the_table(catalog: Catalog, table: Table) -> None:
    first = table.metadata.snapshots[0].snapshot_id
    with (
        table_lock("gold.fct_sales", purpose="build"),
        pytest.raises(TableLocked, match="headwater build on gold.fct_sales"),
    ):
        roll_back(catalog, load_contracts(), "gold.fct_sales", str(first), wait_seconds=0.2)
    assert rows(catalog) == 6


def test_a_time_is_a_reference_as_history_prints_it(catalog: Catalog, table: Table) -> None:
    history = told("history", "gold.fct_sales")
    found = told("diff", "gold.fct_sales", history[2]["committed_at"])
    assert (found["rows_added"], found["rows_removed"]) == (5, 0)
    assert found["partitions"] == [{"partition": "", "added": 5, "removed": 0}]
    assert (found["before"], found["after"]) == (history[2]["snapshot_id"], history[0]["snapshot_id"])
    line = next(line for line in run("history", "gold.fct_sales").stdout.splitlines() if "main" in line)
    assert told("diff", "gold.fct_sales", line.split()[1])["rows_added"] == 0


def test_tags_are_listed_and_removed(catalog: Catalog, table: Table) -> None:
    assert told("tag", "gold.fct_sales") == {}
    named = told("tag", "gold.fct_sales", "good")
    assert told("tag", "gold.fct_sales") == {"good": named["snapshot_id"]}
    assert told("show", "gold.fct_sales")["refs"]["good"] == head_id(table)
    assert told("tag", "gold.fct_sales", "good", "--remove")["removed"] == "good"
    assert told("tag", "gold.fct_sales") == {}


def test_a_branch_is_listed_compared_and_removed(catalog: Catalog, table: Table) -> None:
    first = str(table.metadata.snapshots[0].snapshot_id)
    assert told("branch", "gold.fct_sales", "what-if", "--at", first) == {
        "branch": "what-if",
        "snapshot_id": int(first),
    }
    assert told("branch", "gold.fct_sales") == {"what-if": int(first)}
    assert told("diff", "gold.fct_sales", "what-if", "main")["rows_added"] == 5
    assert told("branch", "gold.fct_sales", "what-if", "--remove")["removed"] == "what-if"
    assert told("branch", "gold.fct_sales") == {}


def test_people_get_tables_and_sentences(catalog: Catalog, table: Table) -> None:
    first = str(table.metadata.snapshots[0].snapshot_id)
    for arguments, words in (
        (("history", "fct_sales", "--limit", "2"), "and 1 older ones"),
        (("show", "fct_sales"), "6 rows, 3 data files"),
        (("diff", "fct_sales", first), "5 rows came, 0 went"),
        (("tag", "fct_sales"), "there is no tag"),
        (("rollback", "fct_sales", first), "nothing was changed: --yes does it"),
        (("rollback", "fct_sales", first, "--yes"), "brings back what was undone"),
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        assert words in result.stdout


def test_the_account_of_a_stream_does_not_go_back(catalog: Catalog) -> None:
    name = f"bronze.stream_{uuid.uuid4().hex[:8]}"
    stream = catalog.create_table(name, SCHEMA)
    for end in (1, 2):
        properties = Account("id", {0: 0}, {0: end}, {0: 1}).properties()
        stream.append(pa.table({"id": pa.array([end], pa.int64())}, SCHEMA), snapshot_properties=properties)
    before = head_id(stream)
    result = run("rollback", name, str(stream.metadata.snapshots[0].snapshot_id), "--yes")
    assert isinstance(result.exception, HeadwaterError)
    assert "does not go back" in result.exception.what
    assert result.exception.where == name
    assert "roll back the silver or gold table" in result.exception.remedy
    assert head_id(catalog.load_table(name)) == before
    assert told("history", name)[0]["says"]["offsets"] == '{"0":2}'
