"""What the API's process carries along."""

from __future__ import annotations

import subprocess
import sys

JUDGED = """
import sys
from headwater.api.__main__ import WithoutPandas
sys.meta_path.insert(0, WithoutPandas)
from headwater.api.judging import Judge
from headwater.contracts.loader import load_dataset
events = [(0, {"event_id": "1-1", "quantity": -1}), (1, {"basket_id": 1, "quantity": "many"})]
judged = Judge(load_dataset("transactions")).judge(events, 1)
heavy = {"pandas", "pyspark", "great_expectations", "sqlalchemy", "pyiceberg"}
print(sorted({fault.index for fault in judged.faults}), sorted(heavy & set(sys.modules)))
"""


def test_events_are_judged_without_heavy_libraries() -> None:
    done = subprocess.run([sys.executable, "-c", JUDGED], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "[0, 1] []\n", done.stderr
