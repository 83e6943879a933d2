"""`headwater table tag|branch`: name a snapshot, list the names, take one away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headwater.console import Json, say

if TYPE_CHECKING:
    from headwater.lake.names import RefKind

Name = Annotated[str, typer.Argument(help="The table, as gold.fct_sales; its name alone where one layer has it")]
At = Annotated[str, typer.Option("--at", help="The snapshot: an id, a name, or a time in UTC")]
Remove = Annotated[bool, typer.Option("--remove", help="Take the name away")]


def tag(
    name: Name,
    label: Annotated[str | None, typer.Argument(metavar="TAG", help="The tag; without it, all are listed")] = None,
    at: At = "main",
    remove: Remove = False,
    as_json: Json = False,
) -> None:
    """Name a snapshot, so that maintenance keeps it; list the names, or take one away."""
    from headwater.lake.names import RefKind

    kept = "it is kept, with its rows, until the tag is removed"
    _name(RefKind.TAG, name, label, at, remove, as_json, kept)


def branch(
    name: Name,
    label: Annotated[
        str | None, typer.Argument(metavar="BRANCH", help="The branch; without it, all are listed")
    ] = None,
    at: At = "main",
    remove: Remove = False,
    as_json: Json = False,
) -> None:
    """Begin a line of its own beside main, to try something on; list the branches, or take one away.

    Spark reads and writes it as lake.<table>.branch_<BRANCH>. Builds, loads and readers go on with main; `headwater
    table diff` compares the two. What is on a branch is kept until it is removed.
    """
    from headwater.lake.names import RefKind

    _name(RefKind.BRANCH, name, label, at, remove, as_json, "Spark writes it as lake.<table>.branch_<BRANCH>")


def _name(kind: RefKind, name: str, label: str | None, at: str, remove: bool, as_json: bool, note: str) -> None:
    from headwater.lake import names
    from headwater.lake.catalog import get_catalog
    from headwater.lake.references import open_table

    catalog = get_catalog()
    opened = open_table(catalog, name)
    if label is None:
        if remove:
            raise typer.BadParameter(f"say which {kind}", param_hint=kind.upper())
        found = names.names(opened, kind)
        lines = [f"{one}  {snapshot_id}" for one, snapshot_id in found.items()]
        say(as_json, found, "\n".join(lines) or f"there is no {kind}")
    elif remove:
        was = names.remove(catalog, opened, kind, label)
        say(as_json, {"removed": label, "snapshot_id": was}, f"removed; snapshot {was} may expire now")
    else:
        named = names.create(catalog, opened, kind, label, at).snapshot_id
        say(as_json, {str(kind): label, "snapshot_id": named}, f"{label} is snapshot {named}; {note}")
