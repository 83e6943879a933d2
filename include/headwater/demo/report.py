"""The demo's report: what is where, whether all of it came in, and whether it is right.

Every number is asked of the place it speaks of, after the run; the totals are held against the source's own files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pyarrow.compute as pc
import pyarrow.parquet as pq
from clickhouse_connect.driver.client import Client
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Contracts, Dataset, Kind
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings
from headwater.sources.completejourney import data_file
from headwater.streaming.accounting import stream_ledgers
from headwater.streaming.quarantine import quarantined
from headwater.warehouse.client import reader

CENTS = Decimal("0.01")
BROKEN_RECORDS = 7
"""Records that `headwater source break` sends and that must not pass: all but the repeat without a key."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Rows of one dataset per layer; None where it has no such table."""

    dataset: str
    bronze: int | None
    silver: int | None
    gold: int | None
    clickhouse: int | None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, as found."""

    name: str
    passed: bool
    found: str


def row_counts(settings: Settings) -> list[Layers]:
    """Rows per dataset and layer, as Iceberg and ClickHouse count them."""
    contracts = load_contracts(settings.contracts_dir)
    loaded = _clickhouse_rows()
    return [_layers(dataset, loaded) for _, dataset in sorted(contracts.datasets.items(), key=_by_layer)]


def checks(settings: Settings, layers: Sequence[Layers], until: date | None) -> list[Check]:
    """Everything that must hold after the demo."""
    rows = {layer.dataset: layer for layer in layers}
    lines, sales = source_totals(until)
    in_gold = rows["fct_sales"].gold
    in_clickhouse, clickhouse_sales = _clickhouse_totals()
    unaccounted = sum(ledger.unaccounted for ledger in stream_ledgers())
    refused = len(quarantined())
    behind = [layer.dataset for layer in layers if layer.gold is not None and layer.gold != layer.clickhouse]
    return [
        Check("every offset is accounted for", unaccounted == 0, f"unaccounted = {unaccounted:,}"),
        Check("every sales line of the source is in gold", in_gold == lines, f"{in_gold:,} of {lines:,}"),
        Check("and in ClickHouse", in_clickhouse == lines, f"{in_clickhouse:,} of {lines:,}"),
        Check("sales to the cent", clickhouse_sales == sales, f"{clickhouse_sales:,} of {sales:,}"),
        Check("broken records are in quarantine", refused == BROKEN_RECORDS, f"{refused} of {BROKEN_RECORDS}"),
        Check("gold and ClickHouse agree", not behind, f"differ: {', '.join(behind) or 'none'}"),
        *_quality_checks(load_contracts(settings.contracts_dir)),
    ]


def quarantine_counts() -> Counter[str]:
    """Records in quarantine, by reason."""
    return Counter(", ".join(record.reasons) for record in quarantined())


def source_totals(until: date | None) -> tuple[int, Decimal]:
    """Lines and sales of the source's file before `until`: what gold must come to."""
    table = pq.read_table(data_file("transactions"), columns=["transaction_timestamp", "sales_value"])
    if until is not None:
        table = table.filter(pc.less(table["transaction_timestamp"], until))
    cents = pc.sum(pc.cast(pc.round(pc.multiply(table["sales_value"], 100.0)), "int64")).as_py()
    return table.num_rows, (Decimal(cents) / 100).quantize(CENTS)


def _by_layer(item: tuple[str, Dataset]) -> tuple[int, str]:
    return (list(Kind).index(item[1].kind), item[0])


def _layers(dataset: Dataset, loaded: dict[str, int]) -> Layers:
    model = dataset.kind is Kind.MODEL
    return Layers(
        dataset=dataset.name,
        bronze=None if model else _iceberg_rows("bronze", dataset.name),
        silver=None if model else _iceberg_rows("silver", dataset.name),
        gold=_iceberg_rows("gold", dataset.name) if model else None,
        clickhouse=loaded.get(f"gold.{dataset.name}" if model else f"live.{dataset.name}"),
    )


def _iceberg_rows(layer: str, name: str) -> int | None:
    """Rows of a table now; None where it is not there. Counted from metadata where no deletes are outstanding."""
    try:
        table: Table = get_catalog().load_table((layer, name))
    except NoSuchTableError:
        return None
    return int(table.scan().count()) if table.current_snapshot() else 0


def _clickhouse_rows() -> dict[str, int]:
    """Rows per table of the databases gold and live; of live, after repeats have collapsed."""
    client = reader()
    try:
        tables = client.query(
            "SELECT database, name, engine FROM system.tables "
            "WHERE database IN ('gold', 'live') AND engine LIKE '%MergeTree'"
        ).result_rows
        return {
            f"{database}.{name}": _number(client, f"SELECT count() FROM {database}.{name}{_final(engine)}")  # noqa: S608
            for database, name, engine in tables
        }
    finally:
        client.close()


def _number(client: Client, sql: str) -> int:
    """The one number that a query answers with."""
    return int(client.query(sql).result_rows[0][0])


def _final(engine: str) -> str:
    return " FINAL" if engine.startswith("Replacing") else ""


def _clickhouse_totals() -> tuple[int, Decimal]:
    client = reader()
    try:
        row = client.query("SELECT count(), sum(sales_value) FROM gold.fct_sales").result_rows[0]
    finally:
        client.close()
    return int(row[0]), Decimal(row[1] or 0).quantize(CENTS)


def _quality_checks(contracts: Contracts) -> list[Check]:
    """The last results of every gold dataset's rules."""
    from headwater.quality.results import latest_results

    results = latest_results()
    wanted = [dataset.name for dataset in contracts.of_kind(Kind.MODEL)]
    failed = [str(result) for name in wanted for result in results.get(name, ()) if not result.passed]
    unchecked = [name for name in wanted if name not in results]
    rules = sum(len(results.get(name, ())) for name in wanted)
    return [
        Check("quality rules passed", not failed, f"{rules - len(failed)} of {rules}"),
        Check("every gold table was checked", not unchecked, f"unchecked: {', '.join(unchecked) or 'none'}"),
    ]
