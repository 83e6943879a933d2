"""Which rules can be judged by the rows of a build alone, and which need the whole table."""

from __future__ import annotations

from headwater.contracts.model import Dataset, TableRule

ROW_METRICS = ("nullValues", "missingValues", "invalidValues")


def judged_by_rows(dataset: Dataset, rule_name: str) -> bool:
    """Whether a rule that held for the untouched rows and holds for the new ones holds for the table."""
    for rule in dataset.table_rules:
        if rule.name == rule_name:
            return _table_rule_by_rows(dataset, rule)
    return True


def _table_rule_by_rows(dataset: Dataset, rule: TableRule) -> bool:
    if rule.unit == "percent":
        return False
    if rule.metric in ROW_METRICS:
        return rule.maximum == 0
    if rule.metric == "duplicateValues":
        # Rows that repeat a key repeat its change column too, so they lie in one partition, which was built whole.
        return dataset.change_column in rule.columns
    return rule.arguments.get("scope") == "rows"
