"""Types that a schema takes from other subjects are put where they are first used."""

from __future__ import annotations

import fastavro

from headwater.contracts.named_types import definitions, self_contained

VALUE = {
    "type": "record",
    "name": "Value",
    "namespace": "db.t",
    "fields": [{"name": "x", "type": ["null", "db.Money"]}],
}
MONEY = {"type": "record", "name": "Money", "namespace": "db", "fields": [{"name": "cents", "type": "long"}]}
ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "namespace": "db.t",
    "fields": [
        {"name": "before", "type": ["null", "Value"]},
        {"name": "after", "type": ["null", "db.t.Value"]},
        {"name": "all", "type": {"type": "array", "items": "db.Money"}},
    ],
}


def test_each_is_defined_once_and_then_named() -> None:
    whole = self_contained(ENVELOPE, {"db.t.Value": VALUE, "db.Money": MONEY})
    before, after, listed = (field["type"] for field in whole["fields"])
    assert before[1]["fields"][0]["type"] == ["null", MONEY]
    assert after == ["null", "db.t.Value"]
    assert listed == {"type": "array", "items": "db.Money"}
    assert fastavro.parse_schema(whole)["name"] == "db.t.Envelope"


def test_what_needs_nothing_stays_as_it_is() -> None:
    assert self_contained(VALUE, {}) == VALUE
    assert self_contained("long", {"long.x": MONEY}) == "long"


def test_a_definition_that_is_there_is_not_put_in_again() -> None:
    own = {**ENVELOPE, "fields": [{"name": "before", "type": VALUE}, {"name": "after", "type": "Value"}]}
    assert self_contained(own, {"db.t.Value": VALUE, "db.Money": MONEY})["fields"][1]["type"] == "Value"


def test_definitions_have_full_names() -> None:
    assert set(definitions(self_contained(ENVELOPE, {"db.t.Value": VALUE, "db.Money": MONEY}))) == {
        "db.t.Envelope", "db.t.Value", "db.Money",
    }  # fmt: skip
