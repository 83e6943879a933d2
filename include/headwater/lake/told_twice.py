"""A catalog that has committed and whose answer is lost on the way must not be asked to commit again.

Iceberg's JDBC catalog sends its UPDATE a second time when the connection breaks while it waits. If the first had been
carried out, the second finds no row, because the table has moved on: Iceberg takes its own commit for somebody else's.
A MERGE then finds a conflict with itself and cleans up: it deletes the manifest list of the snapshot that the table now
names, and nobody can read the table any more (seen with Iceberg 1.12; `JdbcClientPool` has no setting against it).

So Postgres tells the two apart. A trigger looks at every UPDATE of the catalog that changed no row; where the table
already is what the statement wants to make it, it was carried out before, and it fails with an error of its own. To
Iceberg that is an unknown outcome: it neither tries again nor deletes. Whoever commits then asks the table
(`commits`, `streaming.sink`). The trigger sees values only if the driver writes them into the statement's text:
`preferQueryMode=simple` (`sessions`).
"""

from __future__ import annotations

import logging

from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

TRIGGER = "headwater_told_twice"
ERROR = "HW017"
"""SQLSTATE of a commit that was carried out before."""
_THERE = "SELECT 1 FROM pg_trigger WHERE tgname = :trigger AND tgrelid = to_regclass('iceberg_tables')"
_FUNCTION = """
CREATE OR REPLACE FUNCTION headwater_told_twice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed) AND EXISTS (
        SELECT FROM iceberg_tables
        WHERE position(quote_literal(metadata_location) IN current_query()) > 0
          AND position(quote_literal(previous_metadata_location) IN current_query()) > 0
    ) THEN
        RAISE EXCEPTION 'this commit was made before; its answer was lost' USING ERRCODE = 'HW017';
    END IF;
    RETURN NULL;
END $$
"""
_CREATE = """
CREATE OR REPLACE TRIGGER headwater_told_twice AFTER UPDATE ON iceberg_tables
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION headwater_told_twice()
"""

log = logging.getLogger(__name__)


def tell_apart(engine: Engine) -> None:
    """Have the catalog's Postgres recognise a commit that comes twice. Once for each catalog; repeating it is cheap.

    Where the user may not make a trigger, the log says so, and the catalog is as Iceberg has it.
    """
    with engine.begin() as connection:
        if connection.execute(text(_THERE), {"trigger": TRIGGER}).first() is not None:
            return
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:trigger))"), {"trigger": TRIGGER})
            connection.execute(text(_FUNCTION))
            connection.execute(text(_CREATE))
    except ProgrammingError as error:
        remedy = "run it as the owner of iceberg_tables, or a commit whose answer is lost may be made twice"
        log.warning("the catalog's trigger %s cannot be made: %s; %s", TRIGGER, error.orig, remedy)
