"""The roofline of the queries: the same ones on the same tables, asked of the engine in its own process.

No HTTP, no users, no limits; two threads ask one query after another, each query with one thread of the engine, as
the endpoint does when it is crowded. What the engine cannot do here, no endpoint over it can. Reads
`{"queries": […], "seconds": N}` on stdin, copies the tables they name from the running endpoint, writes one JSON line.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import chdb

from headwater.warehouse.client import reader

_TABLE = re.compile(r"\bFROM (gold\.\w+)")


def copy_tables(connection: Any, queries: list[str]) -> None:
    """The tables of the queries, with their own engine, order and partitions."""
    connection.query("CREATE DATABASE IF NOT EXISTS gold")
    with reader() as client, tempfile.TemporaryDirectory() as folder:
        for name in sorted({table for query in queries for table in _TABLE.findall(query)}):
            connection.query(client.query(f"SHOW CREATE TABLE {name}").result_rows[0][0])
            rows = Path(folder) / "rows.parquet"
            rows.write_bytes(client.raw_query(f"SELECT * FROM {name}", fmt="Parquet"))
            connection.query(f"INSERT INTO {name} SELECT * FROM file('{rows}', Parquet)")


def ask(path: str, queries: list[str], seconds: float) -> list[float]:
    """The seconds of each query that two threads have asked."""
    found: list[float] = []

    def client(number: int) -> None:
        connection = chdb.connect(path)
        connection.query("SET max_threads = 1")
        asked, until = number, time.perf_counter() + seconds
        while (begun := time.perf_counter()) < until:
            connection.query(queries[asked % len(queries)], "TabSeparated").bytes()
            found.append(time.perf_counter() - begun)
            asked += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(os.cpu_count() or 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def main() -> None:
    """Measure, and tell the queries per second and their CPU."""
    asked = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as path:
        keeper = chdb.connect(path)
        copy_tables(keeper, asked["queries"])
        ask(path, asked["queries"], 1.0)
        wall, cpu = time.perf_counter(), time.process_time()
        found = ask(path, asked["queries"], asked["seconds"])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        keeper.close()
    sys.stdout.write(json.dumps({"queries": len(found), "seconds": wall, "cpu_seconds": cpu}) + "\n")


if __name__ == "__main__":
    main()
