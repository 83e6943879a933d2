"""What `up` does for sidecar and API before they start."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import pytest

from headwater.embedded.policy import ensure_policy
from headwater.policy import applying
from headwater.settings import get_settings
from headwater.warehouse import client


@pytest.mark.parametrize("embedded", [True, False])
def test_a_server_of_somebodys_own_is_left_alone(monkeypatch, caplog, embedded):
    done: list[bool] = []
    monkeypatch.setattr(client, "writer", nullcontext)
    monkeypatch.setattr(applying, "is_embedded", lambda client: embedded)
    monkeypatch.setattr(applying, "applied", lambda client: None)
    monkeypatch.setattr(applying, "apply", lambda client, policy, contracts, *, embedded: done.append(embedded))
    with caplog.at_level(logging.WARNING):
        ensure_policy(get_settings())
    assert done == ([True] if embedded else [])
    assert ("headwater policy apply" in caplog.text) is not embedded
