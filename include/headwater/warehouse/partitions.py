"""How a ClickHouse table is cut by its change column, as far as a load can replace its partitions one by one."""

from __future__ import annotations

import re

from headwater.contracts.model import Dataset, PartitionField

CUTS = {"toYYYYMM": "month", "toStartOfMonth": "month", "toYear": "year", "toYYYYMMDD": "day", "toDate": "day"}
"""ClickHouse's functions, and the cut of a date that each makes."""

_EXPRESSION = re.compile(r"(?P<function>\w+)\((?P<column>\w+)\)")


def partition_cut(dataset: Dataset) -> PartitionField | None:
    """The cut by the dataset's change column; None where the table is not partitioned by it, so is loaded whole."""
    if dataset.warehouse is None or dataset.warehouse.partition_by is None:
        return None
    match = _EXPRESSION.fullmatch(dataset.warehouse.partition_by.strip())
    if match is None or match["column"] != dataset.change_column or match["function"] not in CUTS:
        return None
    return PartitionField(match["column"], CUTS[match["function"]])
