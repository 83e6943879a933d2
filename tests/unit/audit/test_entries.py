"""What is kept of a question: never its literals, and no text that is not of the form it has to have."""

import json

import pytest

from headwater.audit.entries import Entry, Outcome, canonical, fingerprint

AT = "2026-01-02T03:04:05.000006+00:00"


def test_the_kept_text_is_the_same_for_the_same_facts():
    entry = Entry("ann", "mcp", "query", datasets=("fct_sales",), rows=3, outcome=Outcome.ALLOWED)
    assert canonical(entry, AT) == canonical(entry, AT)
    told = json.loads(canonical(entry, AT))
    assert list(told) == sorted(told)
    assert told["at"] == AT
    assert told["rows"] == 3


@pytest.mark.parametrize(
    "entry",
    [
        Entry("Ann O'Neill <ann@example.com>", "mcp", "query"),
        Entry("ann", "mcp", "DROP TABLE x; --"),
        Entry("ann", "mcp", "query", purpose="because Mr. Smith of 12 High Street asked"),
        Entry("ann", "mcp", "query", datasets=("where name = 'Smith'",)),
        Entry("ann", "mcp", "query", source="Smith's phone\n"),
        Entry("ann", "mcp", "query", reason="Cannot parse 'Smith' as Int64"),
        Entry("ann", "mcp", "query", target='{"name": "Smith"}'),
        Entry("ann", "mcp", "query", statement="SELECT 'Smith'"),
    ],
)
def test_a_text_of_another_form_is_not_kept(entry):
    told = canonical(entry, AT)
    assert "?" in told
    assert "Smith" not in told
    assert "Neill" not in told


def test_control_characters_and_lone_surrogates_do_not_break_the_text():
    told = canonical(Entry("a\x00b", "mcp", "query", rows_filter="x = '\ud800'"), AT)
    assert told.isascii()
    assert "\x00" not in told


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT * FROM t WHERE name = 'Smith'", "select"),
        ("SELECT 1", "SELECT 1 + 1"),
        ("SELECT a FROM t", "SELECT b FROM t"),
    ],
)
def test_other_statements_have_other_fingerprints(one, other):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "other",
    [
        "SELECT * FROM t WHERE name = 'Jones' AND n IN (3, 4.5e6)",
        "SELECT *  FROM t\n WHERE name = 'O''Brien' AND n IN (77, 0x1f)",
        "SELECT * FROM t WHERE name = 'a\\'b' AND n IN (1, 2) -- of Smith",
        "SELECT * FROM t /* Smith */ WHERE name = $tag$it's$tag$ AND n IN (1,\t2)",
    ],
)
def test_literals_comments_and_white_space_do_not_change_the_fingerprint(other):
    assert fingerprint("SELECT * FROM t WHERE name = 'Smith' AND n IN (1, 2)") == fingerprint(other)


def test_digits_within_names_are_no_literals():
    assert fingerprint("SELECT q1 FROM t2") != fingerprint("SELECT q2 FROM t1")
