"""A question in GraphQL that is too deep or too dear is refused before anything is read."""

from __future__ import annotations

import pytest

from headwater.api.graphql import SCHEMA

CHEAP = '{ dataset(name: "a") { rows(first: 1000) { rows } } }'


class Untouched:
    """A context in which nothing may be read."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked for")


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("{ datasets { items { upstream { upstream { upstream { upstream { upstream { name } } } } } } } }", "depth"),
        ("{ datasets(first: 50) { items { rows(first: 1000) { rows } } } }", "this costs"),
        ("query Q($n: Int!) { datasets(first: $n) { items { rows { rows } } } }", "this costs"),
        ("{ " + " ".join(f'd{n}: dataset(name: "a") {{ name }}' for n in range(30)) + " }", "aliases"),
        ("{ datasets { items { ...A } } } fragment A on Dataset { rows(first: 900) { rows } }", "this costs"),
        ("{ " + "datasets { next } " * 1500 + "}", "token"),
    ],
)
def test_too_deep_or_too_dear(question, says):
    found = SCHEMA.execute_sync(question, context_value=Untouched(), variable_values={"n": 1})
    assert found.data is None
    assert says in str(found.errors)


def test_fragments_that_hold_themselves_end():
    question = "{ datasets { items { ...A } } } fragment A on Dataset { name ...A }"
    assert SCHEMA.execute_sync(question, context_value=Untouched()).errors


def test_one_page_of_rows_is_cheap():
    found = SCHEMA.execute_sync(CHEAP, context_value=Untouched())
    assert "was asked for" in str(found.errors)
