"""Bodies that cannot be read, without any service (what can is tested on the real broker)."""

import pytest

from headwater.api.bodies import read_events
from headwater.api.problems import EventFault, Problem

JSON = "application/json; charset=utf-8"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1,]", b"NaN", b"\xff", b"[" * 100_000, b"9" * 10_000, b"1E+99999999999999999999999", b'"\\ud8"'],
)
def test_what_is_not_json_is_a_problem_and_not_a_fault(body):
    with pytest.raises(Problem) as refused:
        read_events(body, JSON, {}, 10)
    assert (refused.value.status, refused.value.kind) == (400, "malformed-body")


def test_lines_keep_their_places():
    sent = read_events(b'{"a": 1}\r\n\n[1\n2', "application/x-ndjson", {}, 10)
    assert sent.events == [(0, {"a": 1}), (2, 2)]
    assert sent.faults == [EventFault(1, "", "json", "the line is not JSON")]


@pytest.mark.parametrize(("body", "kind"), [(b"[1,2,3]", JSON), (b"1\n2\n3", "application/x-ndjson")])
def test_more_events_than_allowed_are_refused(body, kind):
    assert read_events(body, kind, {}, 3).count == 3
    with pytest.raises(Problem) as refused:
        read_events(body, kind, {}, 2)
    assert refused.value.status == 413
