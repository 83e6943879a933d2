"""The released Avro schemas of a stream: `schemas/avro/<dataset>/v<N>.avsc`, written here and never changed again.

`versions.lock` beside them holds each file's SHA-256, so that an edited release is noticed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from headwater.contracts.avro import AvroSchema, avro_schema
from headwater.contracts.compatibility import read_problems, without_docs
from headwater.contracts.model import Dataset
from headwater.errors import ContractError
from headwater.settings import get_settings

LOCK = "versions.lock"


@dataclass(frozen=True, slots=True)
class Release:
    """One released version of a dataset's schema."""

    version: int
    schema: AvroSchema
    path: Path


def releases(dataset: Dataset, directory: Path | None = None) -> list[Release]:
    """Released versions, oldest first. Raises `ContractError` where one was changed, lost or slipped in."""
    folder = (directory or get_settings().avro_dir) / dataset.name
    lock = folder / LOCK
    locked = dict(line.split() for line in lock.read_text().splitlines()) if lock.exists() else {}
    found = {path.stem: path for path in folder.glob("v*.avsc")}
    if set(found) != set(locked):
        odd = ", ".join(sorted(set(found) ^ set(locked)))
        raise ContractError(
            f"released versions and {LOCK} differ: {odd}", where=str(folder), remedy="restore both from git"
        )
    for version, path in found.items():
        if _digest(path.read_bytes()) != locked[version]:
            raise ContractError(
                "a released schema was changed",
                where=str(path),
                remedy="restore it from git, and change the contract instead",
            )
    ordered = sorted((int(version[1:]), path) for version, path in found.items())
    return [Release(n, json.loads(path.read_text(encoding="utf-8")), path) for n, path in ordered]


def newest_release(dataset: Dataset, directory: Path | None = None) -> Release:
    """The newest released version. Raises `ContractError` where there is none."""
    if found := releases(dataset, directory):
        return found[-1]
    raise ContractError(
        f"dataset {dataset.name} has no released schema",
        where=str(dataset.path),
        remedy="run `headwater contract generate`",
    )


def next_release(dataset: Dataset, directory: Path | None = None) -> Release | None:
    """The version the contract asks for now; None where the newest release is it.

    Raises `ContractError` where it could not read what an earlier version wrote, or Iceberg lacks the promotion.
    """
    directory = directory or get_settings().avro_dir
    former, wanted = releases(dataset, directory), avro_schema(dataset)
    if former and without_docs(former[-1].schema) == without_docs(wanted):
        return None
    problems = [f"v{old.version}: {p}" for old in former for p in read_problems(wanted, old.schema)]
    if problems:
        raise ContractError(
            "the contract's schema cannot read what was released: " + "; ".join(problems),
            where=str(dataset.path),
            remedy="undo the change, add columns as optional, or declare a new dataset for the new shape",
        )
    version = former[-1].version + 1 if former else 1
    return Release(version, wanted, directory / dataset.name / f"v{version}.avsc")


def release(dataset: Dataset, directory: Path | None = None) -> Release | None:
    """Write the version the contract asks for, if it is new; gives what was written. Raises as `next_release`."""
    new = next_release(dataset, directory)
    if new is None:
        return None
    new.path.parent.mkdir(parents=True, exist_ok=True)
    text = render(new.schema)
    new.path.write_text(text, encoding="utf-8")
    with (new.path.parent / LOCK).open("a", encoding="utf-8") as lock:
        lock.write(f"v{new.version} {_digest(text.encode())}\n")
    return new


def render(schema: AvroSchema) -> str:
    """The text of an .avsc file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
