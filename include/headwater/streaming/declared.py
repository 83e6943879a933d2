"""The streams that contracts declare; knows no engine, so that asking for them costs little."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.contracts.loader import load_contracts
from headwater.contracts.model import STREAMED, Dataset


def streams(names: Sequence[str] = ()) -> list[Dataset]:
    """Stream datasets by name or topic; all where none is named. Raises `ContractError` for what is no stream."""
    contracts = load_contracts()
    known = contracts.of_kind(*STREAMED)
    by_topic = {dataset.topic: dataset for dataset in known}
    return [by_topic.get(name) or contracts.get(name) for name in names] if names else list(known)
