"""What a ClickHouse server needs besides the views: the definer, and per role its rights, quota and settings profile.

chDB, the engine of the embedded endpoint, has no CREATE ROLE; there the endpoint does the same (`warehouse/embedded`).
These statements are held by golden files; they have not been run on a server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from headwater.policy.masks import KEYS_DATABASE
from headwater.policy.model import ATTRIBUTES_SETTING, Caller, Role

DEFINER = "headwater_policy"
"""The user as whom views run: it may read the tables, and nobody can log in as it."""

SOURCES = ("gold", "live", KEYS_DATABASE)


def definer_statements() -> Iterator[str]:
    """The definer and what it reads; before the views."""
    yield f"CREATE USER IF NOT EXISTS {DEFINER} IDENTIFIED WITH no_password HOST NONE"
    for database in SOURCES:
        yield f"GRANT SELECT ON {database}.* TO {DEFINER}"


def role_statements(role: Role) -> Iterator[str]:
    """The role with the right to read its own database and nothing else, its caps and its quota; after the views."""
    name, limits = role.database, role.limits
    yield f"CREATE ROLE IF NOT EXISTS {name}"
    yield f"REVOKE ALL ON *.* FROM {name}"
    yield f"GRANT SELECT ON {name}.* TO {name}"
    yield (
        f"CREATE SETTINGS PROFILE OR REPLACE {name} SETTINGS readonly = 1 CONST, "
        f"max_result_rows = {limits.rows} MAX {limits.rows}, max_result_bytes = {limits.bytes} MAX {limits.bytes}, "
        f"max_execution_time = {limits.seconds} MAX {limits.seconds}, "
        f"use_query_cache = 0 CONST, enable_analyzer = 1 CONST TO {name}"
    )
    yield (
        f"CREATE QUOTA OR REPLACE {name} KEYED BY user_name FOR INTERVAL 1 hour MAX "
        f"queries = {limits.queries_per_hour}, result_rows = {limits.rows * limits.queries_per_hour} TO {name}"
    )


def user_statements(caller: Caller) -> Iterator[str]:
    """What a user that is there already gets: its role, its database, its attributes, which it cannot change."""
    role, attributes = caller.role.database, attributes_json(caller)
    value = attributes.replace("\\", "\\\\").replace("'", "\\'")
    yield f"GRANT {role} TO `{caller.name}`"
    yield (
        f"ALTER USER `{caller.name}` DEFAULT ROLE {role} DEFAULT DATABASE {role} "
        f"SETTINGS {ATTRIBUTES_SETTING} = '{value}' CONST"
    )


def attributes_json(caller: Caller) -> str:
    """The caller's attributes as the views read them."""
    return json.dumps({key: list(caller.attributes[key]) for key in sorted(caller.attributes)}, ensure_ascii=False)
