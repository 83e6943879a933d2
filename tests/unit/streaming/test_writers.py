"""Schemas of a subject, and the reader schema."""

from typing import Any

from headwater.streaming.writers import SubjectSchemas, reader_schema

CONTRACT = {"type": "record", "name": "Sale", "fields": [{"name": "event_id", "type": "string"}]}


class Versions:
    """A subject as the registry tells it, and how often it was asked for a version."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, Any]] = {1: (11, {"v": 1})}
        self.asked: list[int] = []

    def versions(self, subject: str) -> list[int]:
        return sorted(self.known)

    def version(self, subject: str, version: int) -> tuple[int, Any]:
        self.asked.append(version)
        return self.known[version]


def test_a_version_is_fetched_once():
    registry = Versions()
    schemas = SubjectSchemas(registry, "sales-value")
    assert schemas.refresh() == {11: {"v": 1}}
    registry.known[2] = (12, {"v": 2})
    assert schemas.refresh() == {11: {"v": 1}, 12: {"v": 2}}
    assert registry.asked == [1, 2]


def test_reads_what_the_contract_declares():
    assert reader_schema(CONTRACT, {1: CONTRACT}) == CONTRACT


def test_keeps_a_field_that_only_a_producer_knows():
    writer = {**CONTRACT, "fields": [*CONTRACT["fields"], {"name": "till", "type": "int"}]}
    assert reader_schema(CONTRACT, {1: writer})["fields"][1] == {
        "name": "till",
        "type": ["null", "int"],
        "default": None,
    }


def test_null_is_the_first_branch_of_an_added_field():
    writer = {**CONTRACT, "fields": [{"name": "till", "type": ["int", "null"]}]}
    assert reader_schema(CONTRACT, {1: writer})["fields"][1]["type"] == ["null", "int"]


def test_a_schema_that_is_no_record_adds_nothing():
    assert reader_schema(CONTRACT, {1: "string"}) == CONTRACT
