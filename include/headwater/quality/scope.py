"""Which table rules can be judged by the rows of a build alone, and which need the whole table."""

from __future__ import annotations

from headwater.contracts.model import Contracts, Dataset, TableRule

ROW_METRICS = ("nullValues", "missingValues", "invalidValues")


def judged_by_rows(contracts: Contracts, dataset: Dataset, rule: TableRule) -> bool:
    """Whether a rule that held for the untouched rows and holds for the new ones holds for the table."""
    if rule.unit == "percent":
        return False
    if rule.metric in ROW_METRICS:
        return rule.maximum == 0
    if rule.metric == "duplicateValues":
        # Rows that repeat a key repeat its date too, so they lie in one partition, which was built whole.
        dated = dataset.change_column in rule.columns or key_fixes_date(contracts, dataset, rule.columns)
        return rule.maximum == 0 and dated
    return rule.arguments.get("scope") == "rows"


def key_fixes_date(contracts: Contracts, dataset: Dataset, columns: tuple[str, ...]) -> bool:
    """Whether these columns are the key of an input by whose partition column changes spread, so have one date each.

    A silver table is partitioned only by columns that never change for a key; that is what its MERGE relies on.
    """
    if dataset.change_column is None:
        return False
    origins = {o for c in columns for o in dataset.column(c).sources}
    for origin in dataset.column(dataset.change_column).sources:
        name, _, date_column = origin.rpartition(".")
        if source := contracts.datasets.get(name):
            is_cut = date_column in {p.column for p in source.partition_by}
            if is_cut and source.primary_key and origins == {f"{name}.{key}" for key in source.primary_key}:
                return True
    return False
