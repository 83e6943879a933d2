"""Sales for the tests of silver: a dataset like `transactions` under a name of its own, and rows for it."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from tests.datasets.cases import Lake

from headwater.contracts.model import Dataset

ARRIVED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def new_dataset(lake: Lake, like: str = "transactions") -> Dataset:
    """Fresh tables like those of a dataset of the project."""
    return lake.dataset(like, f"{like}_{uuid.uuid4().hex[:8]}")


def sale(basket: int, offset: int, **values: Any) -> dict[str, Any]:
    """One row of bronze; baskets count up with time, 1000 a month."""
    time = dt.datetime(2017, 1 + basket // 1000 % 12, 1 + basket % 28, 12, tzinfo=dt.UTC)
    row = {
        "event_id": f"{basket}-1",
        "event_type": "sale",
        "event_timestamp": time,
        "source_system": "pos",
        "household_id": 7,
        "store_id": 3,
        "basket_id": basket,
        "product_id": 1,
        "quantity": 1,
        "sales_value": "2.50",
        "retail_disc": 0,
        "coupon_disc": 0,
        "coupon_match_disc": 0,
        "week": 5,
        "_kafka_topic": "t",
        "_kafka_partition": 0,
        "_kafka_offset": offset,
        "_ingested_at": ARRIVED,
        "_attempt": 0,
    }
    return row | values


def position(next_offset: int) -> dict[str, str]:
    """The summary keys of a stream's commit."""
    return {"headwater.topic-id": "T", "headwater.offsets": f'{{"0":{next_offset}}}', "headwater.counts": '{"0":1}'}
