"""When a Kafka Connect worker is started, and what it is told."""

from pathlib import Path

import pytest

from headwater.embedded import connect, processes, stack
from headwater.embedded.service import ProcessSpec
from headwater.embedded.services import SERVICES, unneeded
from headwater.embedded.status import status
from headwater.settings import Settings, get_settings

ACCOUNTS = Path(__file__).parents[2] / "datasets" / "accounts" / "accounts.yaml"


@pytest.fixture
def project(settings, monkeypatch, tmp_path) -> Path:
    """A project of its own without contracts."""
    monkeypatch.setenv("HEADWATER_PROJECT_DIR", str(tmp_path / "project"))
    get_settings.cache_clear()
    return tmp_path / "project"


def add_contract(project: Path, text: str) -> None:
    path = project / "schemas" / "contracts" / "accounts" / "accounts.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_it_is_left_out_where_no_contract_is_captured(project):
    assert unneeded(get_settings(), connect.SERVICE) == "no contract captures changes"
    assert [one.state for one in status(get_settings(), ["connect"]) if one.name == "connect"] == ["left out"]


def test_a_captured_contract_needs_it(project):
    add_contract(project, ACCOUNTS.read_text())
    assert unneeded(get_settings(), connect.SERVICE) == ""


def test_wrong_contracts_do_not_keep_the_stack_from_starting(project):
    add_contract(project, ACCOUNTS.read_text().replace("primaryKeyPosition: 1", "primaryKeyPosition: one"))
    assert "headwater contract check" in unneeded(get_settings(), connect.SERVICE)


def test_what_was_started_by_name_is_kept(project):
    settings = get_settings()
    processes.run_dir(settings).mkdir(parents=True)
    processes.pid_file(settings, "connect").touch()
    assert unneeded(settings, connect.SERVICE) == ""


def test_every_other_service_is_always_needed(project):
    assert [name for name, one in SERVICES.items() if unneeded(get_settings(), one)] == ["connect"]


def test_up_says_what_it_leaves_out(project, monkeypatch):
    monkeypatch.setattr(stack, "named", lambda names: [connect.SERVICE])
    told = []
    assert stack.up([], lambda name, text: told.append((name, text))) == []
    assert ("connect", "left out: no contract captures changes") in told


def test_its_password_comes_by_the_environment(settings, monkeypatch):
    monkeypatch.setenv("HEADWATER_POSTGRES_PASSWORD", "hidden")
    spec: ProcessSpec = connect.processes(Settings())[0]
    assert spec.environment["HEADWATER_POSTGRES_PASSWORD"] == "hidden"
    assert "hidden" not in " ".join(spec.command)


def test_its_heap_is_a_setting(settings, monkeypatch):
    monkeypatch.setenv("HEADWATER_CONNECT_MEMORY", "3g")
    assert "-Xmx3g" in connect.processes(Settings())[0].command
