"""A question in GraphQL that is too deep or too dear is refused before anything is read."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from graphql import get_introspection_query

from headwater.api.graphql import SCHEMA, GraphQLModel, ask_graphql
from headwater.serving.asking import Denied

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


def chain(length: int, inside: str, kind: str = "Query", end: str = "__typename") -> str:
    """Fragments, each of which holds the next one as `inside` says."""
    links = [f"fragment F{n} on {kind} {{ {inside.format(f'...F{n + 1}')} }}" for n in range(length)]
    return " ".join([*links, f"fragment F{length} on {kind} {{ {end} }}"])


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("{ datasets { items { ...A } } } fragment A on Dataset { name ...A }", "holds itself"),
        ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", "holds itself"),
        ("{ ...A } fragment A on Query { __typename ... on Query { ...A } }", "holds itself"),
        ("{ __typename } fragment A on Query { datasets { next } ...A }", "holds itself"),
        ("{ ...A }", "no fragment A"),
        ("{ ...F0 } " + chain(100, "{0} {0}"), "selections"),
        ("{ ...F0 } " + chain(60, "{0} ... on Query {{ {0} }}"), "selections"),
        (
            '{ dataset(name: "a") { ...F0 } } ' + chain(60, "upstream {{ {0} }} downstream {{ {0} }}", "Dataset"),
            "costs",
        ),
        ("{ ...F0 } " + chain(150, "{0}"), "depth"),
        ("{ " + "... { " * 190 + "...F0 " + "} " * 191 + chain(2, "... {{ " * 90 + "{0} " + "}} " * 90), "depth"),
        ("{ datasets { items { " + "upstream { name } " * 480 + "} } }", "costs"),
        ("{ " + "__typename " * 1990 + "}", "aborted"),
        ("{ __schema " + "{ types { fields { type " * 40 + "{ name }" + " } } }" * 40 + " }", "depth"),
        ("{" + "datasets{" * 600 + "next" + "}" * 601, "nested"),
        ("{ dataset(name: " + "[" * 900 + "]" * 900 + ") { name } }", "nested"),
    ],
)
def test_no_shape_takes_longer_than_its_text(question, says):
    began = time.process_time()
    found = SCHEMA.execute_sync(question, context_value=Untouched())
    assert found.data is None
    assert says in str(found.errors)
    assert not any(isinstance(error.original_error, RecursionError | KeyError) for error in found.errors)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("first", ["-2000000000", "0", "null", "9" * 5000])
def test_what_cannot_be_meant_makes_nothing_cheaper(first):
    dear = "datasets(first: 50) { items { rows(first: 900) { rows } } }"
    question = f'{{ {dear} dataset(name: "a") {{ rows(first: {first}) {{ rows }} }} }}'
    assert "this costs" in str(SCHEMA.execute_sync(question, context_value=Untouched()).errors)


def test_fragments_that_hold_one_another_may_be_used():
    question = '{ dataset(name: "a") { ...A } } fragment A on Dataset { ...B } fragment B on Dataset { name }'
    assert "was asked for" in str(SCHEMA.execute_sync(question, context_value=Untouched()).errors)


def test_what_graphiql_asks_first_is_answered():
    assert SCHEMA.execute_sync(get_introspection_query(), context_value=Untouched()).errors is None


def test_a_call_is_decided_before_its_question_is_looked_at():
    class Closed:
        def call(self, _: object, tool: str) -> object:
            raise Denied([tool], "")

    request = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(reading=Closed())))
    with pytest.raises(Denied, match="graphql"):
        ask_graphql(request, GraphQLModel(query="no question at all"))


def test_one_page_of_rows_is_cheap():
    found = SCHEMA.execute_sync(CHEAP, context_value=Untouched())
    assert "was asked for" in str(found.errors)
