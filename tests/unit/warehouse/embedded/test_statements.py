"""Reading a statement's outline: where an INSERT's data begins, formats, settings, forbidden functions."""

from __future__ import annotations

import pytest

from headwater.warehouse.embedded import statements
from headwater.warehouse.embedded.errors import EndpointError


@pytest.mark.parametrize(
    ("text", "head", "input_format", "data"),
    [
        ("INSERT INTO t VALUES (1)", "INSERT INTO t ", "Values", " (1)"),
        ("INSERT INTO t FORMAT CSV\n1,2\n", "INSERT INTO t ", "CSV", "1,2\n"),
        ("INSERT INTO t FORMAT CSV \r\n1\n", "INSERT INTO t ", "CSV", "1\n"),
        ("INSERT INTO t FORMAT CSV\n\n1\n", "INSERT INTO t ", "CSV", "\n1\n"),
        ("insert into t(a,`values`) values(1)", "insert into t(a,`values`) ", "Values", "(1)"),
        ("INSERT INTO values FORMAT TSV\n1", "INSERT INTO values ", "TSV", "1"),
        ("INSERT INTO d.values (a) VALUES (1)", "INSERT INTO d.values (a) ", "Values", " (1)"),
        (
            "/* FORMAT x */ INSERT INTO t -- VALUES\n FORMAT Native\n\0\1",
            "/* FORMAT x */ INSERT INTO t -- VALUES\n ",
            "Native",
            "\0\1",
        ),
        ("INSERT INTO t SETTINGS async_insert=1 FORMAT CSV\n1", "INSERT INTO t SETTINGS async_insert=1 ", "CSV", "1"),
    ],
)
def test_head_and_data_of_an_insert(text: str, head: str, input_format: str, data: str) -> None:
    found = statements.insert_head(text, complete=True)
    assert found is not None
    assert (found.sql, found.format, text[found.data_start :]) == (head, input_format, data)


@pytest.mark.parametrize(
    "text", ["SELECT 1", "INSERT INTO t SELECT 1", "INSERT INTO t WITH x AS (SELECT 1) SELECT 1", "INSERT INTO"]
)
def test_what_is_no_insert_with_data(text: str) -> None:
    assert statements.insert_head(text, complete=True) is None


def test_a_format_name_at_the_end_of_what_came_so_far_is_not_believed() -> None:
    assert statements.insert_head("INSERT INTO t FORMAT JSON", complete=False) is None
    found = statements.insert_head("INSERT INTO t FORMAT JSONEachRow\n", complete=False)
    assert found is not None
    assert found.format == "JSONEachRow"


def test_from_infile_is_refused() -> None:
    with pytest.raises(EndpointError, match="infile"):
        statements.insert_head("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV", complete=True)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("SELECT 1 format JSON;", "JSON"),
        ("SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "JSON"),
        ("SELECT 1", None),
        ("SELECT 'FORMAT JSON'", None),
        ("SELECT 1 -- FORMAT JSON", None),
        ("SELECT * FROM (SELECT 1 FORMAT JSON)", None),
        ("SELECT format('{}', 1)", None),
    ],
)
def test_output_format(sql: str, expected: str | None) -> None:
    assert statements.output_format(sql) == expected


@pytest.mark.parametrize(
    ("sql", "rest", "settings"),
    [
        ("SELECT 1 SETTINGS max_threads = 1", "SELECT 1 ", {"max_threads": "1"}),
        (
            "SELECT 1 SETTINGS a = 'it''s', b = -1, c = true FORMAT CSV",
            "SELECT 1  FORMAT CSV",
            {"a": "it's", "b": "-1", "c": "1"},
        ),
        ("SELECT settings FROM t", "SELECT settings FROM t", {}),
        ("SELECT * FROM (SELECT 1 SETTINGS a = 1)", "SELECT * FROM (SELECT 1 SETTINGS a = 1)", {}),
        ("SELECT 1 SETTINGS a = {'x': 1}", "SELECT 1 SETTINGS a = {'x': 1}", {}),
    ],
)
def test_settings_clause(sql: str, rest: str, settings: dict[str, str]) -> None:
    assert statements.split_settings(sql) == (rest, settings)


def test_settings_of_subqueries_are_found() -> None:
    sql = "SELECT * FROM (SELECT 1 SETTINGS a = 1, b = {}) WHERE 1 IN (SELECT 2 SETTINGS c = 'x')"
    assert list(statements.nested_settings(sql)) == [("a", "1"), ("b", "{"), ("c", "x")]


def test_a_clause_before_a_union_is_judged_too():
    sql = "SELECT 1 SETTINGS a = 'x' UNION ALL SELECT settings FROM t WHERE k = 1 SETTINGS b = 2"
    left, last = statements.split_settings(sql)
    assert last == {"b": "2"}
    assert list(statements.nested_settings(left)) == [("a", "x")]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file('x')",
        "SELECT `file` ('x')",
        "SELECT FILE('x')",
        "SELECT * APPLY file FROM t",
        "SELECT * APPLY(file) FROM t",
        "SELECT * FROM python(x)",
        "SELECT * FROM eval('x')",
        "SELECT `f\\x69le`('x')",
        "SELECT “file”('x')",
    ],
)
def test_forbidden_functions(sql: str) -> None:
    assert statements.may_call_forbidden(sql)
    with pytest.raises(EndpointError, match="switched off"):
        statements.refuse_forbidden_functions(sql)


@pytest.mark.parametrize(
    "sql", ["SELECT file FROM t", "SELECT 'file(1)'", "SELECT profile(1)", "SELECT 1 -- file('x')"]
)
def test_names_that_only_look_forbidden(sql: str) -> None:
    statements.refuse_forbidden_functions(sql)


@pytest.mark.parametrize("text", ["it's", "a\\b", "x', readonly = '0", "\\'"])
def test_quoted_text_is_one_literal(text: str) -> None:
    (token,) = statements.tokens(statements.quote(text))
    assert token.kind == "string"
    assert statements.unquote(token.text) == text
