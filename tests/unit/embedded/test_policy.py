"""What `up` does for sidecar and API before they start."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import pytest

from headwater.audit import by_command
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
    monkeypatch.setattr(
        applying, "apply", lambda client, policy, contracts, *, embedded, mask_key: done.append(embedded)
    )
    recorded: list[str] = []
    monkeypatch.setattr(by_command, "on_record", lambda tool, *_, **__: nullcontext(recorded.append(tool)))
    with caplog.at_level(logging.WARNING):
        ensure_policy(get_settings())
    assert done == ([True] if embedded else [])
    assert recorded == (["policy.apply"] if embedded else [])
    assert ("headwater policy apply" in caplog.text) is not embedded
