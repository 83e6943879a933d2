"""The demo's report: what is where, whether all of it came in, and whether it is right.

`gather` asks each number of the place it speaks of, after the run; `checks` judges them, the totals against those of
the source's own files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pyarrow.compute as pc
import pyarrow.parquet as pq
from clickhouse_connect.driver.client import Client
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import AlwaysTrue, LessThan
from pyiceberg.table import Table

from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Dataset, Kind
from headwater.lake.catalog import get_catalog
from headwater.quality.checks import CheckResult
from headwater.quality.results import latest_results
from headwater.settings import Settings
from headwater.sources.completejourney import data_file
from headwater.streaming.accounting import stream_ledgers
from headwater.streaming.quarantine import quarantined
from headwater.warehouse.client import reader

CENTS = Decimal("0.01")
BROKEN_RECORDS = Counter(
    {
        "bad_magic_byte": 1,
        "empty_value": 1,
        "unknown_schema_id": 1,
        "undecodable_avro": 2,
        "quantity_minimum": 1,
        "event_timestamp_maximum": 1,
    }
)
"""What `headwater source break` sends and must not pass, by reason; quarantine may hold more, of the user's own."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Rows of one dataset per layer; None where it has no such table."""

    dataset: str
    bronze: int | None
    silver: int | None
    gold: int | None
    clickhouse: int | None


@dataclass(frozen=True, slots=True)
class Sales:
    """Lines and their sum: of the source before the demo's last day, and of what came of them."""

    lines: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class Findings:
    """What a demo has left behind. `quality`: the newest outcomes of each dataset's rules."""

    layers: tuple[Layers, ...]
    source: Sales
    gold_lines: int
    clickhouse: Sales
    unaccounted: int
    quarantine: Counter[str]
    gold_tables: tuple[str, ...]
    quality: Mapping[str, tuple[CheckResult, ...]]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, as found."""

    name: str
    passed: bool
    found: str


def gather(settings: Settings, until: date | None) -> Findings:
    """Ask everywhere. What lies at or after `until` (an earlier, larger demo's) is left out of the totals."""
    contracts = load_contracts(settings.contracts_dir)
    loaded = _clickhouse_rows()
    return Findings(
        layers=tuple(_layers(dataset, loaded) for _, dataset in sorted(contracts.datasets.items(), key=_by_layer)),
        source=source_totals(until),
        gold_lines=_gold_lines(until),
        clickhouse=_clickhouse_totals(until),
        unaccounted=sum(ledger.unaccounted for ledger in stream_ledgers()),
        quarantine=Counter(reason for record in quarantined() for reason in record.reasons),
        gold_tables=tuple(dataset.name for dataset in contracts.of_kind(Kind.MODEL)),
        quality=latest_results(),
    )


def checks(found: Findings) -> list[Check]:
    """Everything that must hold after the demo."""
    source, loaded = found.source, found.clickhouse
    missing = BROKEN_RECORDS - found.quarantine
    behind = [layer.dataset for layer in found.layers if layer.gold is not None and layer.gold != layer.clickhouse]
    caught = f"{BROKEN_RECORDS.total() - missing.total()} of {BROKEN_RECORDS.total()}"
    return [
        Check("every offset is accounted for", found.unaccounted == 0, f"unaccounted = {found.unaccounted:,}"),
        Check(
            "every sales line of the source is in gold",
            found.gold_lines == source.lines,
            f"{found.gold_lines:,} of {source.lines:,}",
        ),
        Check("and in ClickHouse", loaded.lines == source.lines, f"{loaded.lines:,} of {source.lines:,}"),
        Check("sales to the cent", loaded.value == source.value, f"{loaded.value:,} of {source.value:,}"),
        Check("broken records are in quarantine", not missing, caught),
        Check("gold and ClickHouse agree", not behind, f"differ: {', '.join(behind) or 'none'}"),
        *_quality_checks(found),
    ]


def source_totals(until: date | None) -> Sales:
    """Lines and sales of the source's file before `until`: what gold must come to."""
    table = pq.read_table(data_file("transactions"), columns=["transaction_timestamp", "sales_value"])
    if until is not None:
        table = table.filter(pc.less(table["transaction_timestamp"], until))
    cents = pc.sum(pc.cast(pc.round(pc.multiply(table["sales_value"], 100.0)), "int64")).as_py()
    return Sales(table.num_rows, (Decimal(cents) / 100).quantize(CENTS))


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


def _gold_lines(until: date | None) -> int:
    row_filter = AlwaysTrue() if until is None else LessThan(term="sale_date", value=until.isoformat())
    return int(get_catalog().load_table(("gold", "fct_sales")).scan(row_filter=row_filter).count())


def _clickhouse_totals(until: date | None) -> Sales:
    client = reader()
    query = "SELECT count(), sum(sales_value) FROM gold.fct_sales WHERE sale_date < {until:Date32}"
    try:
        row = client.query(query, {"until": until or date(2299, 12, 31)}).result_rows[0]
    finally:
        client.close()
    return Sales(int(row[0]), Decimal(row[1] or 0).quantize(CENTS))


def _quality_checks(found: Findings) -> list[Check]:
    """The last results of every dataset's rules: of silver after it was built, of gold before it was published."""
    results = [result for outcomes in found.quality.values() for result in outcomes]
    failed = [result for result in results if not result.passed]
    unchecked = [name for name in found.gold_tables if name not in found.quality]
    return [
        Check("quality rules passed", not failed, f"{len(results) - len(failed)} of {len(results)}"),
        Check("every gold table was checked", not unchecked, f"unchecked: {', '.join(unchecked) or 'none'}"),
    ]
