"""Who may see bytes that no mask can be laid over: whoever sees the dataset whole and plain."""

from __future__ import annotations

import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.conftest import environment

from headwater.contracts.loader import load_dataset
from headwater.policy.loader import load_policy
from headwater.policy.model import Surface
from headwater.settings import get_settings
from headwater.streaming import quarantine_access
from headwater.streaming.quarantine_access import NotForYou, allowed
from headwater.warehouse.client import WarehouseUnavailableError


@pytest.fixture
def denials(monkeypatch):
    """What was put on record, and the settings to change."""
    found: list[str] = []
    policy = load_policy()
    monkeypatch.setattr(quarantine_access, "in_force", lambda: policy)
    monkeypatch.setattr(quarantine_access, "denied", lambda tool, reason, **_: found.append(f"{tool} {reason}"))
    return found


def of_group(monkeypatch, group: str) -> None:
    settings = get_settings().model_copy(update={"quarantine_group": group})
    monkeypatch.setattr(quarantine_access, "get_settings", lambda: settings)


def test_who_sees_everything_plainly_may(denials, monkeypatch):
    of_group(monkeypatch, "privacy")
    found = allowed(load_dataset("transactions"), "show", "ann")
    assert (found.who, found.purpose) == ("ann", "privacy_request")
    assert found.policy_version
    assert denials == []


@pytest.mark.parametrize(
    ("group", "dataset", "reason"),
    [
        ("analysts", "transactions", "dataset"),  # a masked column
        ("store_managers", "transactions", "dataset"),  # some rows
        ("marketing", "transactions", "dataset"),  # not theirs
        ("analysts", "coupon_redemptions", "dataset"),  # theirs, not in ClickHouse, and they see others masked
        ("agents", "transactions", "surface"),
    ],
)
def test_nobody_else_may_and_it_is_on_record(denials, monkeypatch, group, dataset, reason):
    of_group(monkeypatch, group)
    with pytest.raises(NotForYou, match="plainly"):
        allowed(load_dataset(dataset), "export", "ann")
    assert denials == [f"quarantine.export {reason}"]


def test_a_group_that_gives_no_role_lets_nobody_look(denials, monkeypatch):
    of_group(monkeypatch, "nobodies")
    with pytest.raises(quarantine_access.TerminalError, match="no role"):
        allowed(load_dataset("transactions"), "show", "ann")


def test_the_policy_that_counts_is_the_one_in_force_and_not_the_files(denials, monkeypatch):
    of_group(monkeypatch, "privacy")
    files = load_policy()
    role = files.roles["privacy_officer"]
    stricter = replace(role, surfaces=(Surface.API,))
    policy = replace(files, version="in force", roles={**files.roles, role.name: stricter})
    monkeypatch.setattr(quarantine_access, "in_force", lambda: policy)
    with pytest.raises(NotForYou):
        allowed(load_dataset("transactions"), "show", "ann")
    assert denials == ["quarantine.show surface"]


def test_without_clickhouse_nobody_may(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    home = str(tmp_path)
    with (
        environment(HEADWATER_HOME=home, HEADWATER_CLICKHOUSE_PORT=port, HEADWATER_CLICKHOUSE_READER_PASSWORD="x"),
        pytest.raises(WarehouseUnavailableError),
    ):
        allowed(load_dataset("transactions"), "show", "ann")


def test_a_dataset_without_a_table_is_for_the_roles_of_its_contract(denials, monkeypatch):
    of_group(monkeypatch, "privacy")
    named = SimpleNamespace(name="not_served", roles=["privacy_officer"])
    assert allowed(named, "show", "ann").who == "ann"
    with pytest.raises(NotForYou):
        allowed(SimpleNamespace(name="not_served", roles=["analyst"]), "show", "ann")
