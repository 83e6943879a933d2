"""Write, audit, publish: rows are written to a branch, judged there, and only then become what readers see.

Whatever goes wrong before the fast-forward leaves main as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyiceberg.catalog import Catalog

from headwater.lake import branches
from headwater.lake.branches import FastForwardRefused
from headwater.lake.locks import TableLock

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TRIES = 3
"""A refusal means a writer that does not take the table's lock (a foreign tool): that is rare, and not for ever."""

log = logging.getLogger(__name__)


def publish(
    spark: SparkSession, catalog: Catalog, lock: TableLock, write: Callable[[str], None], audit: Callable[[str], None]
) -> int:
    """Call `write`, then `audit`, each with the branch's identifier, then publish; returns main's new snapshot.

    `audit` raises to stop the publication. A refused fast-forward drops the branch and starts over, `TRIES` times.
    """
    for attempt in range(1, TRIES + 1):
        branches.begin(spark, catalog, lock.table)
        try:
            target = branches.branch_identifier(lock.table)
            write(target)
            audit(target)
            lock.assert_held()
            return branches.fast_forward(spark, catalog, lock.table)
        except FastForwardRefused as error:
            if attempt == TRIES:
                raise
            log.warning("%s; try %d of %d", error, attempt + 1, TRIES)
        finally:
            branches.drop(catalog, lock.table)
    raise AssertionError("unreachable")
