"""What is put on record of a request; tests/faults/serving/test_fault_26 asks a real one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from headwater.api.reading.answers import Asked, Standpoint
from headwater.audit.entries import Entry, Outcome, fingerprint
from headwater.contracts.loader import load_contracts
from headwater.identity.authenticating import Authenticated
from headwater.identity.store import Identity
from headwater.policy.loader import load_policy
from headwater.policy.model import Surface
from headwater.serving.answering import Answering, Request
from headwater.serving.asking import Asking

SQL = "SELECT toInt32(store_name) FROM gold.dim_store WHERE store_id = 4"


class Broken:
    """What knows the state of the tables, and does not answer."""

    def recent(self):
        raise ConnectionError

    def of(self, tables):
        raise ConnectionError


@pytest.fixture
def kept() -> list[Entry]:
    return []


@pytest.fixture
def asking(kept) -> Asking:
    caller = load_policy().caller("ann", ("store_managers",), {"stores": [1]})
    known = Authenticated(Identity("ann", "person", ("store_managers",), {}), ("*",), "key")
    gate = SimpleNamespace(spend=lambda *_: None, auditor=SimpleNamespace(record=kept.append))
    return Asking(caller, known, "v1", Surface.API, "query", caller.role.purposes[0], "127.0.0.1", gate)


def test_a_question_to_the_sidecar_that_fails_is_recorded_with_what_it_would_have_read(asking, kept):
    answering = Answering(load_contracts(), None, Broken())
    with pytest.raises(ConnectionError), asking:
        answering.answer(asking, Request(SQL))
    (entry,) = kept
    assert (entry.outcome, entry.reason, entry.rows) == (Outcome.FAILED, "ConnectionError", None)
    assert (entry.datasets, entry.rows_filter) == (("dim_store",), "dim_store: store_id IN user.stores")
    assert entry.statement == fingerprint(SQL)


def test_a_statement_that_is_refused_is_recorded_as_a_fingerprint(asking, kept):
    answering = Answering(load_contracts(), None, Broken())
    with pytest.raises(Exception, match="url"), asking:
        answering.answer(asking, Request("SELECT * FROM url('http://x')"))
    assert (kept[0].outcome, kept[0].statement) == (Outcome.FAILED, fingerprint("SELECT * FROM url('http://x')"))


def test_a_question_to_the_api_that_fails_is_recorded_with_what_it_would_have_read(asking, kept):
    asked = Asked(SQL, {}, ("gold.dim_store",), replay=SQL, limit=10)
    with pytest.raises(ConnectionError), asking:
        Standpoint(asking, Broken(), load_contracts()).judged(asked)
    assert (kept[0].datasets, kept[0].statement) == (("dim_store",), fingerprint(SQL))


def test_a_dataset_that_has_no_rows_in_clickhouse_is_recorded_too(asking, kept):
    with asking:
        asking.answered(datasets=("coupon_redemptions", "gold.dim_store"), rows=3)
    assert kept[0].datasets == ("coupon_redemptions", "dim_store")
