"""Silver to gold to ClickHouse: a first build and load, and one per cent more on histories of 1x, 4x and 16x.

The fact table `fct_sales` and the mart over it, under names of their own, with all their checks. The addition has
always the same size and lies in the last days: if work follows the change, rows and bytes written and the time stay
the same while the history grows. Needs the dimensions of the demo.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Measurement, timed_tree
from bench.silver import FIRST_DAY, LARGEST_UNIT, ROWS_A_DAY, SHARE, TIMES
from bench.topics import Context
from headwater.contracts.iceberg import apply_table
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Contracts, Dataset
from headwater.errors import ConfigurationError
from headwater.lake.catalog import get_catalog
from headwater.lake.gold import BuildResult, build
from headwater.lake.models import load_model
from headwater.lake.sessions import CATALOG, get_spark
from headwater.lake.snapshots import head_id, properties_of
from headwater.settings import get_settings
from headwater.warehouse.client import writer
from headwater.warehouse.loading import load

MODELS = ("fct_sales", "mart_finance_daily_revenue")
RENAMED = ("transactions", *MODELS)
SALE = f"""
    id % 2469 AS household_id, id % 457 AS store_id, 31198437603 + id AS basket_id, id * 7919 % 92331 AS product_id,
    1L AS quantity, cast(id % 1000 / 100 AS decimal(10,2)) AS sales_value, cast(0 AS decimal(10,2)) AS retail_disc,
    cast(0 AS decimal(10,2)) AS coupon_disc, cast(0 AS decimal(10,2)) AS coupon_match_disc, 1 AS week,
    {FIRST_DAY} + make_interval(0, 0, 0, cast(id / {ROWS_A_DAY} AS int), 0, 0, id % 86400) AS transaction_timestamp"""


def measure_gold(context: Context) -> list[Measurement]:
    """For each size of history: first build, first load, the addition built, the addition loaded."""
    for name in ("dim_store", "dim_product", "dim_household", "dim_date"):
        if head_id(get_catalog().load_table(f"gold.{name}")) is None:
            raise ConfigurationError(f"gold.{name} has not been built", remedy="run `make demo` first")
    unit = min(context.rows, LARGEST_UNIT)
    get_spark("bench gold").catalog.setCurrentCatalog(CATALOG)
    _once(10_000, 1)  # warms the JVM
    return [line for times in TIMES for line in _once(unit, times)]


def _once(unit: int, times: int) -> list[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(f"bench{times}x_", Path(folder))
        try:
            history, added = unit * times, max(int(unit * SHARE), 100)
            bench.create()
            bench.arrive(f"range({history})")
            lines = bench.measure(f"first, {times}x", history)
            bench.arrive(f"range({history}, {history + added})")
            return lines + bench.measure(f"1% of 1x added to {times}x", added)
        finally:
            bench.remove()


@dataclass
class _Bench:
    """Copies of the stream's silver table and of the models, under a prefix."""

    prefix: str
    folder: Path

    def create(self) -> None:
        for dataset in self.datasets.values():
            apply_table(get_catalog(), dataset, self._table(dataset))
        for name in MODELS:
            path = self.folder / "loyalty" / f"{self.prefix}{name}.sql"
            path.parent.mkdir(exist_ok=True)
            text = (get_settings().gold_models_dir / "loyalty" / f"{name}.sql").read_text()
            path.write_text(self._renamed(text))

    def arrive(self, numbers: str) -> None:
        spark, table = get_spark("bench gold"), self._table(self.datasets["transactions"])
        rows = spark.sql(
            f"SELECT *, to_date(transaction_timestamp) AS transaction_date FROM (SELECT {SALE} FROM {numbers})"
        )
        kinds = dict(spark.table(f"{CATALOG}.{table}").dtypes)
        known = set(rows.columns)
        columns = [f"cast({c if c in known else 'null'} AS {kind}) AS {c}" for c, kind in kinds.items()]
        rows.selectExpr(*columns).writeTo(f"{CATALOG}.{table}").append()

    def measure(self, what: str, rows: int) -> list[Measurement]:
        with timed_tree() as built:
            results = [self._build(name) for name in MODELS]
        notes = {
            "replaced": results[0].replaced.describe(),
            "rows_written": sum(r.rows for r in results),
            "bytes_written": sum(self._bytes(r) for r in results),
            "checks": sum(r.checks for r in results),
        }
        models = [self.datasets[name] for name in MODELS]
        with timed_tree() as swapped:
            loaded = [table.rows for table in load(writer(), get_catalog(), models)]
        return [
            built.of(f"gold, {what}", rows, **notes),
            swapped.of(f"load into ClickHouse, {what}", sum(loaded), rows_loaded=loaded),
        ]

    def remove(self) -> None:
        client = writer()
        for dataset in self.datasets.values():
            if get_catalog().table_exists(self._table(dataset)):
                get_catalog().purge_table(self._table(dataset))
            client.command(f"DROP TABLE IF EXISTS gold.{dataset.name} SYNC")
        client.close()

    @property
    def datasets(self) -> dict[str, Dataset]:
        """The copies, by the name of what they are copies of."""
        contracts = load_contracts()
        return {name: self._copy(contracts.get(name)) for name in RENAMED}

    def _copy(self, dataset: Dataset) -> Dataset:
        def sources(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(f"{self.prefix}{n}" if n.split(".")[0] in RENAMED else n for n in names)

        return dataclasses.replace(
            dataset,
            name=f"{self.prefix}{dataset.name}",
            columns=tuple(dataclasses.replace(c, sources=sources(c.sources)) for c in dataset.columns),
            spread={sources((name,))[0]: spread for name, spread in dataset.spread.items()},
            table_rules=tuple(
                dataclasses.replace(r, query=self._renamed(r.query) if r.query else None) for r in dataset.table_rules
            ),
        )

    def _renamed(self, text: str) -> str:
        for name in RENAMED:
            layer = "silver" if name == "transactions" else "gold"
            text = text.replace(f"{layer}.{name}", f"{layer}.{self.prefix}{name}")
        return text

    def _table(self, dataset: Dataset) -> str:
        return f"{'silver' if dataset.name.endswith('transactions') else 'gold'}.{dataset.name}"

    def _build(self, name: str) -> BuildResult:
        contracts = Contracts({**load_contracts().datasets, **{d.name: d for d in self.datasets.values()}})
        model = load_model(self.datasets[name], self.folder, contracts)
        return build(get_spark("bench gold"), get_catalog(), contracts, model)

    @staticmethod
    def _bytes(result: BuildResult) -> int:
        snapshot = get_catalog().load_table(result.table).current_snapshot()
        return 0 if snapshot is None else int(properties_of(snapshot).get("added-files-size", 0))
