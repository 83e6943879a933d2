"""`headwater api key create|list|revoke`: who may send events, to what, and how many a minute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from headwater.api.keys import DEFAULT_EVENTS_PER_MINUTE, ApiKey, ApiKeys
from headwater.api.tables import api_database
from headwater.audit.by_command import on_record
from headwater.console import Json, console, noun, say, table
from headwater.contracts.loader import load_contracts
from headwater.contracts.model import Kind
from headwater.errors import TerminalError
from headwater.settings import get_settings

app = noun("Keys of the ingestion API.")
keys = noun("Who may send events, to what, and how many a minute.")
app.add_typer(keys, name="key")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Who it is for.")],
    dataset: Annotated[list[str] | None, typer.Option(help="A stream it may send to; repeat. Without: all.")] = None,
    events_per_minute: Annotated[int, typer.Option(min=1, help="Its quota.")] = DEFAULT_EVENTS_PER_MINUTE,
    as_json: Json = False,
) -> None:
    """Make a key; it is shown now and never again."""
    streams = [stream.name for stream in load_contracts().of_kind(Kind.STREAM)]
    for one in dataset or []:
        if one not in streams:
            raise TerminalError(f"'{one}' is no stream dataset", remedy=f"known are: {', '.join(streams)}")
    with on_record("api.key.create", name), _keys() as kept:
        text, key = kept.create(name, dataset or [], events_per_minute)
    say(as_json, {"key": text, **asdict(key)}, text)


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """All keys, without their secrets."""
    with _keys() as kept:
        found = kept.all()
    say(as_json, [asdict(key) for key in found], lambda: _print(found))


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `headwater api key list` shows it.")],
    as_json: Json = False,
) -> None:
    """Have a key refused from now on."""
    with on_record("api.key.revoke", key_id), _keys() as kept:
        key = kept.revoke(key_id)
    say(as_json, asdict(key), f"{key.key_id} ({key.name}) is revoked")


@contextmanager
def _keys() -> Iterator[ApiKeys]:
    database = api_database(get_settings())
    try:
        yield ApiKeys(database)
    finally:
        database.close()


def _print(found: list[ApiKey]) -> None:
    rows = table("id", "name", "datasets", "events/min", "created", "revoked")
    for key in found:
        revoked = f"{key.revoked_at:%F %T}" if key.revoked_at else ""
        datasets = ", ".join(key.datasets) or "all"
        rows.add_row(key.key_id, key.name, datasets, str(key.events_per_minute), f"{key.created_at:%F %T}", revoked)
    console().print(rows)
