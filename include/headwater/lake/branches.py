"""Branches of an Iceberg table: where a build is written and judged before readers see it.

The branch is called `build`; whoever holds the table's lock owns it, so one that is found was left by a killed build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyiceberg.catalog import Catalog

from headwater.errors import RetryableError
from headwater.lake.sessions import CATALOG
from headwater.lake.snapshots import head_id

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BRANCH = "build"


class FastForwardRefused(RetryableError):
    """Main has moved since the branch was begun, so the branch is built on what is no longer the newest."""


def branch_identifier(table: str) -> str:
    """How Spark names the branch of `<namespace>.<table>`, for reading and writing."""
    return f"{CATALOG}.{table}.branch_{BRANCH}"


def begin(spark: SparkSession, catalog: Catalog, table: str) -> int | None:
    """Make the branch at main's head, and return that snapshot (None: nothing has been committed yet)."""
    # Not CREATE OR REPLACE: Iceberg refuses to replace a branch while main has no snapshot.
    drop(catalog, table)
    spark.sql(f"ALTER TABLE {CATALOG}.{table} CREATE BRANCH {BRANCH}")
    return head_id(catalog.load_table(table), BRANCH)


def drop(catalog: Catalog, table: str) -> None:
    """Remove the branch, if there is one. Its snapshots go when the table's snapshots are next expired."""
    loaded = catalog.load_table(table)
    if BRANCH in loaded.metadata.refs:
        loaded.manage_snapshots().remove_branch(BRANCH).commit()


def fast_forward(spark: SparkSession, catalog: Catalog, table: str) -> int:
    """Move main to the branch's head and return it. Raises `FastForwardRefused` where main has moved meanwhile.

    A catalog that moved main and then lost its answer is recognised: main is where it was to go.
    """
    target = head_id(catalog.load_table(table), BRANCH)
    try:
        spark.sql(f"CALL {CATALOG}.system.fast_forward('{table}', 'main', '{BRANCH}')").collect()
    except Exception as error:
        if target is not None and head_id(catalog.load_table(table)) == target:
            return target
        if "is not an ancestor" in str(error) or "CommitFailed" in str(error):
            raise FastForwardRefused(
                "main has moved while the branch was built", where=table, remedy="build it again on the new main"
            ) from error
        raise
    head = head_id(catalog.load_table(table))
    if head is None or head != target:
        raise FastForwardRefused(
            f"main is at {head} after the fast-forward to {target}", where=table, remedy="run again"
        )
    return head
