"""Settings of read-only users: what is allowed, what is capped, what is refused."""

from __future__ import annotations

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


def test_readonly_stays_one() -> None:
    assert "readonly" not in judge_reader_settings({"readonly": "1"}, LIMITS)
    for value in ("0", "2"):
        with pytest.raises(EndpointError, match="readonly"):
            judge_reader_settings({"readonly": value}, LIMITS)
