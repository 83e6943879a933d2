"""Settings of read-only users: what is allowed, what is capped, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.limits import Limits, judge_reader_settings

LIMITS = Limits(reader_rows=100, reader_seconds=10)


def test_the_caps_hold_without_any_wish() -> None:
    assert judge_reader_settings({}, LIMITS) == LIMITS.reader_caps()


def test_a_cap_can_be_lowered_and_not_raised() -> None:
    assert judge_reader_settings({"max_result_rows": "5"}, LIMITS)["max_result_rows"] == "5"
    for value in ("101", "0", "-1", "inf", "nan"):
        with pytest.raises(EndpointError) as caught:
            judge_reader_settings({"max_result_rows": value}, LIMITS)
        assert caught.value.name == "SETTING_CONSTRAINT_VIOLATION"


@pytest.mark.parametrize("name", ["output_format_json_quote_64bit_integers", "session_timezone", "join_use_nulls"])
def test_harmless_settings_pass(name: str) -> None:
    assert judge_reader_settings({name: "1"}, LIMITS)[name] == "1"


@pytest.mark.parametrize(
    "name",
    ["allow_ddl", "dialect", "format_schema", "output_format_schema", "additional_table_filters", "log_comment_x",
     "allow_experimental_eval_table_function", "max_memory_usage_for_user", "profile", "allow_introspection_functions"],
)  # fmt: skip
def test_other_settings_are_refused(name: str) -> None:
    with pytest.raises(EndpointError) as caught:
        judge_reader_settings({name: "1"}, LIMITS)
    assert (caught.value.name, caught.value.code) == ("READONLY", 164)


@pytest.mark.parametrize("name", ["transform_null_in", "final", "enable_analyzer"])
def test_who_reads_views_may_not_change_what_they_say(name: str) -> None:
    assert judge_reader_settings({name: "1"}, LIMITS)[name] == "1"
    with pytest.raises(EndpointError, match=name):
        judge_reader_settings({name: "1"}, replace(LIMITS, member=True))


@pytest.mark.parametrize(("asked", "most"), [("", "20"), ("0", "20"), ("7", "7"), ("30", "20")])
def test_an_answer_that_breaks_off_is_limited_to_the_row(asked: str, most: str) -> None:
    wanted = {"result_overflow_mode": "break", "max_result_rows": "20", **({"limit": asked} if asked else {})}
    assert judge_reader_settings(wanted, LIMITS)["limit"] == most
    assert "limit" not in judge_reader_settings({"max_result_rows": "20"}, LIMITS)
    with pytest.raises(EndpointError, match="limit"):
        judge_reader_settings({**wanted, "limit": "-1"}, LIMITS)


def test_who_reads_views_has_the_engines_blocks() -> None:
    assert "max_block_size" not in judge_reader_settings({"max_block_size": "9"}, replace(LIMITS, member=True))


def test_readonly_stays_one() -> None:
    assert "readonly" not in judge_reader_settings({"readonly": "1"}, LIMITS)
    for value in ("0", "2"):
        with pytest.raises(EndpointError, match="readonly"):
            judge_reader_settings({"readonly": value}, LIMITS)
