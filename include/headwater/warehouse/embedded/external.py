"""External tables: data that a client sends along with its query, as files of a form.

Their structure is the client's text and becomes part of a CREATE statement, so nothing but names and types passes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.statements import Token, quote_name, tokens

SUFFIXES = ("_structure", "_types", "_format")
"""What a form's or URL's field adds to the name of the file that it describes."""

_FORMAT = re.compile(r"\w+")


@dataclass(frozen=True)
class ExternalTable:
    """A table the client sends along: its columns in ClickHouse's words, its format, its bytes."""

    name: str
    structure: str
    format: str
    data: bytes


def external_table(name: str, options: Mapping[str, str], data: bytes) -> ExternalTable:
    """The table of one file. Raises BAD_ARGUMENTS for a structure that is missing or more than names and types."""
    structure = options.get(f"{name}_structure", "")
    if not structure and (types := options.get(f"{name}_types", "")):
        structure = ", ".join(f"_{number} {kind}" for number, kind in enumerate(_at_top_commas(types), 1))
    if not structure:
        raise EndpointError(
            "BAD_ARGUMENTS",
            f"Neither structure nor types have not been provided for external table {quote_name(name)}. "
            "Use fields _structure or _types to do so.",
        )
    columns = [column for column in _at_top_commas(structure) if column]
    for column in columns:
        _check_column(name, column)
    chosen = options.get(f"{name}_format", "TabSeparated")
    if not _FORMAT.fullmatch(chosen):
        raise EndpointError("UNKNOWN_FORMAT", f"Unknown format {chosen}.")
    return ExternalTable(name, ", ".join(columns), chosen, data)


def _at_top_commas(text: str) -> list[str]:
    """The pieces between the commas that stand in no parentheses."""
    pieces, begin = [], 0
    for token in tokens(text):
        if token.text == "," and token.depth == 0:
            pieces.append(text[begin : token.start].strip())
            begin = token.end
    return [*pieces, text[begin:].strip()]


def _check_column(table: str, column: str) -> None:
    """One name, one type: a word, and at most one group of parentheses with balanced contents behind it."""
    found = list(tokens(column))
    named = len(found) >= 2 and found[0].kind in ("word", "quoted") and found[1].kind == "word"
    arguments = found[2:]
    grouped = not arguments or (
        arguments[0].text == "(" and _is_closing(arguments[-1]) and all(t.depth > 0 for t in arguments[1:-1])
    )
    if not (named and grouped and all(_is_harmless(token) for token in found) and _is_whole(column, found)):
        raise EndpointError(
            "BAD_ARGUMENTS",
            f"The structure of external table {quote_name(table)} must be names and types, got: {column[:200]}",
        )


def _is_closing(token: Token) -> bool:
    return token.text == ")" and token.depth == 0


def _is_harmless(token: Token) -> bool:
    """A name, a number, a text, or what stands between the arguments of a type."""
    return token.kind in ("word", "quoted", "string", "number") or token.text in ("(", ")", ",", "=", "-")


def _is_whole(column: str, found: list[Token]) -> bool:
    """Whether nothing but blanks stands between the tokens: a comment could hide the end of a statement."""
    rest = column
    for token in reversed(found):
        rest = rest[: token.start] + rest[token.end :]
    return not rest.strip()
