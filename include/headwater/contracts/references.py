"""What a contract says about others, judged together: what it names must be there."""

from __future__ import annotations

from collections.abc import Iterable

from headwater.contracts.document import NodePath, read_document
from headwater.contracts.joins import metric_faults
from headwater.contracts.layers import silver_columns
from headwater.contracts.model import Column, Dataset, Kind
from headwater.errors import ContractError


def reference_errors(dataset: Dataset, known: dict[str, Dataset]) -> Iterable[ContractError]:
    """What a contract says about others: inputs, references and lineage must lead to columns that are there."""
    faults: list[tuple[str | None, str]] = [
        (None, f"spread: there is no dataset '{name}'") for name in dataset.spread if name not in known
    ]
    faults += [(c.name, fault) for c in dataset.columns for fault in _column_faults(dataset, c, known)]
    faults += [(None, fault) for fault in metric_faults(dataset, known)]
    if not faults:
        return
    document = read_document(dataset.path)
    own = {c["name"]: i for i, c in enumerate(document.data["schema"][0]["properties"])}
    remedy = f"correct the name; known datasets are: {', '.join(sorted(known))}"
    for column, what in faults:
        at: NodePath = ("schema", 0, "properties", own[column]) if column else ("schema", 0, "customProperties")
        yield document.error(at, what, remedy)


def _column_faults(dataset: Dataset, column: Column, known: dict[str, Dataset]) -> Iterable[str]:
    referred = column.references.partition(".")[0] if column.references else None
    if dataset.kind is Kind.MODEL and referred in known and known[referred].kind is not Kind.MODEL:
        yield f"'{column.name}' refers to '{column.references}', which is not gold"
    for target in filter(None, (column.references, *(s for s in column.sources if "." in s))):
        table, _, name = target.partition(".")
        if table not in known or not _has_column(known[table], name):
            yield f"'{column.name}' refers to '{target}', which is not there"


def _has_column(dataset: Dataset, name: str) -> bool:
    columns = dataset.columns if dataset.kind is Kind.MODEL else silver_columns(dataset)
    return any(c.name == name for c in columns)
