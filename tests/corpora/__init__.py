"""Statements and texts that the tests send; the files beside this one are for people to read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Statement:
    """One statement of a corpus, with what the file says of it."""

    group: str
    sql: str
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def engine(self) -> str:
        return self.given.get("engine", "refused")


def statements(name: str, **places: str) -> list[Statement]:
    """All statements of a file; each `{place}` in them is filled in."""
    found = []
    for group, entries in yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")).items():
        for entry in entries:
            given = entry if isinstance(entry, dict) else {"sql": entry}
            sql = given["sql"]
            for place, text in places.items():
                sql = sql.replace(f"{{{place}}}", text)
            found.append(Statement(group, sql, given))
    return found


def injections() -> list[str]:
    """The texts that give orders."""
    return yaml.safe_load((FOLDER / "injections.yaml").read_text(encoding="utf-8"))
