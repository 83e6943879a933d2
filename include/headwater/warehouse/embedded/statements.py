"""What the endpoint must know of a statement before the engine gets it; the engine's own parser has the last word.

A tokenizer after ClickHouse's lexer, and on it: where an INSERT ends and its data begins, the FORMAT clause, the
SETTINGS clause, and calls of functions that no grant governs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from headwater.warehouse.embedded.errors import EndpointError

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<comment>--[^\n]* | \#[ !][^\n]* | /\*.*?\*/)
    | (?P<string>'(?:[^'\\]|\\.|'')*' | ‘[^’]*’ | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<quoted>`(?:[^`\\]|\\.|``)*` | "(?:[^"\\]|\\.|"")*" | “[^”]*”)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<number>\d[\w.]*)
    | (?P<punctuation>.)""",
    re.X | re.S,
)

FORBIDDEN_FUNCTIONS = frozenset({"file", "python", "eval"})
"""No grant governs these in the engine: the scalar `file` reads any file, `python` any object of this process."""

_NEXT_SELECT = frozenset({"UNION", "EXCEPT", "INTERSECT"})
_SUSPICIOUS = re.compile(r"file|python|eval|[`\"“][^`\"”]*\\", re.I)


@dataclass(frozen=True)
class Token:
    """A token that counts (no space, no comment), with its place in the text and its depth of parentheses."""

    kind: str
    text: str
    start: int
    end: int
    depth: int

    @property
    def upper(self) -> str:
        """The word in capitals; empty for what is not a bare word."""
        return self.text.upper() if self.kind == "word" else ""


def tokens(sql: str) -> Iterator[Token]:
    """The tokens of `sql`, lazily: data behind an INSERT need not be text that can be tokenized."""
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or ""
        if kind == "tag":
            kind = "string"
        if kind in ("space", "comment"):
            continue
        text = match.group()
        if text in (")", "]", "}") and kind == "punctuation":
            depth -= 1
        yield Token(kind, text, match.start(), match.end(), depth)
        if text in ("(", "[", "{") and kind == "punctuation":
            depth += 1


@dataclass(frozen=True)
class InsertHead:
    """An INSERT that brings data: the statement without its FORMAT clause, the format, where the data begins."""

    sql: str
    format: str
    data_start: int


def insert_head(sql: str, *, complete: bool) -> InsertHead | None:
    """The head of an INSERT with data, or None if `sql` (as far as it has come) is none.

    With `complete` false more text may follow, so a format name that ends with the text is not believed yet.
    Raises UNSUPPORTED_METHOD for FROM INFILE, which would read this machine's files.
    """
    stream = tokens(sql)
    if (first := next(stream, None)) is None or first.upper != "INSERT":
        return None
    previous = first
    for token in stream:
        if token.depth == 0:
            if previous.upper == "FROM" and token.upper == "INFILE":
                raise EndpointError("UNSUPPORTED_METHOD", "Query has infile and was send directly to server.")
            if token.upper in ("SELECT", "WITH"):
                return None
            if token.upper == "VALUES" and previous.upper not in ("INTO", "TABLE") and previous.text != ".":
                return InsertHead(sql[: token.start], "Values", token.end)
            if previous.upper == "FORMAT" and token.kind == "word":
                if token.upper == "VALUES" or complete or token.end < len(sql):
                    return InsertHead(sql[: previous.start], token.text, _skip_to_data(sql, token.end))
                return None
        previous = token
    return None


def _skip_to_data(sql: str, position: int) -> int:
    """Blanks and one line break may stand between the format's name and the data, as in ClickHouse's parser."""
    while position < len(sql) and sql[position] in " \t\f":
        position += 1
    if sql[position : position + 1] == "\r":
        position += 1
    return position + 1 if sql[position : position + 1] == "\n" else position


def output_format(sql: str) -> str | None:
    """The format of a FORMAT clause at the end of a query, or None."""
    found, previous = None, None
    for token in tokens(sql):
        if token.depth == 0 and previous is not None and previous.upper == "FORMAT" and token.kind == "word":
            found = token.text
        elif found and token.depth == 0 and token.upper in ("SELECT", "FROM", "WHERE", "UNION"):
            found = None
        previous = token
    return found


def split_settings(sql: str) -> tuple[str, dict[str, str]]:
    """The query without its own (outermost, last) SETTINGS clause, and that clause's names and values.

    Only literal values are understood; anything else is left in the text for the engine to judge.
    """
    found = list(tokens(sql))
    for index in range(len(found) - 1, 0, -1):
        if found[index].upper == "SETTINGS" and found[index].depth == 0:
            settings, last = _read_settings(found, index + 1)
            if settings:
                return sql[: found[index].start] + sql[last:], settings
    return sql, {}


def nested_settings(sql: str) -> Iterator[tuple[str, str]]:
    """Name and value of every setting in a SETTINGS clause that `split_settings` has left; of what is no literal, the
    first token.
    """
    found = list(tokens(sql))
    for index, token in enumerate(found):
        if token.upper != "SETTINGS" or index + 2 >= len(found) or found[index + 2].text != "=":
            continue
        for place in range(index + 1, len(found) - 1):
            if found[place].depth < token.depth or found[place].upper in _NEXT_SELECT:
                break
            if found[place].depth == token.depth and found[place + 1].text == "=":
                yield found[place].text, unquote(found[min(place + 2, len(found) - 1)].text)


def _read_settings(found: list[Token], index: int) -> tuple[dict[str, str], int]:
    settings: dict[str, str] = {}
    end = 0
    while index + 2 < len(found) and found[index + 1].text == "=":
        name, index = found[index].text, index + 2
        sign = ""
        if found[index].text == "-" and index + 1 < len(found):
            sign, index = "-", index + 1
        value = found[index]
        if value.kind not in ("string", "number", "word"):
            return {}, 0
        settings[name] = sign + unquote(value.text)
        end = value.end
        if index + 1 >= len(found) or found[index + 1].text != ",":
            break
        index += 2
    return settings, end


def unquote(text: str) -> str:
    """The value of a simple string literal; other text as it is."""
    if len(text) < 2 or text[0] != "'":
        return {"true": "1", "false": "0"}.get(text.lower(), text)
    return re.sub(r"\\(.)|''", lambda match: match.group(1) or "'", text[1:-1])


def quote(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_name(name: str) -> str:
    """A quoted identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def estimates(sql: str) -> bool:
    """Whether an EXPLAIN ESTIMATE may be in it, as a statement, a subquery or a table function."""
    if "explain" not in sql.lower():
        return False
    before = ""
    for token in tokens(sql):
        if token.text.strip('`"').lower() == "viewexplain" or (before, token.upper) == ("EXPLAIN", "ESTIMATE"):
            return True
        before = token.upper
    return False


def may_call_forbidden(sql: str) -> bool:
    """A cheap first look: False means that no forbidden function can be meant."""
    return _SUSPICIOUS.search(sql) is not None


def refuse_forbidden_functions(sql: str) -> None:
    """Raise ACCESS_DENIED if the (engine-normalized) text calls a function of `FORBIDDEN_FUNCTIONS`, or APPLYs it."""
    before: list[str] = ["", ""]
    found = list(tokens(sql))
    for index, token in enumerate(found):
        if token.kind in ("word", "quoted"):
            name = token.text if token.kind == "word" else token.text[1:-1]
            follows = found[index + 1].text if index + 1 < len(found) else ""
            applied = before[-1] == "APPLY" or (before[-1] == "(" and before[-2] == "APPLY")
            named = name.lower() in FORBIDDEN_FUNCTIONS or (token.kind == "quoted" and "\\" in name)
            if named and (follows == "(" or applied):
                raise EndpointError(
                    "ACCESS_DENIED", f"Not enough privileges. The function `{name}` is switched off on this endpoint."
                )
        before = [before[-1], token.upper or token.text]
