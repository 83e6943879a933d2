"""Settings that cannot be used, and settings that do not exist, are told by name."""

import subprocess
import sys

import pytest
from tests.conftest import environment

from headwater.embedded.doctor import examine
from headwater.environment import unknown_settings
from headwater.errors import ConfigurationError
from headwater.settings import Settings, get_settings


def test_a_wrong_value_is_told_with_its_name():
    with environment(HEADWATER_PORT_BASE="abc"), pytest.raises(ConfigurationError) as told:
        get_settings()
    assert "HEADWATER_PORT_BASE=abc cannot be used: input should be a valid integer" in str(told.value)
    assert ".env.example" in told.value.remedy


def test_every_wrong_value_is_told_at_once():
    with (
        environment(HEADWATER_PORT_BASE="80", HEADWATER_JAVA_INSTALL="maybe"),
        pytest.raises(ConfigurationError, match="HEADWATER_PORT_BASE=80.*; HEADWATER_JAVA_INSTALL=maybe"),
    ):
        get_settings()


def test_no_secret_is_told(monkeypatch):
    monkeypatch.setattr(
        Settings, "model_config", {**Settings.model_config, "str_max_length": 5}
    )  # secrets take any text, so one is made to be wrong
    Settings.model_rebuild(force=True)
    try:
        with environment(HEADWATER_POSTGRES_PASSWORD="hunter2000"), pytest.raises(ConfigurationError) as told:
            get_settings()
    finally:
        monkeypatch.undo()
        Settings.model_rebuild(force=True)
    assert "HEADWATER_POSTGRES_PASSWORD=… cannot be used" in str(told.value)
    assert "hunter2000" not in str(told.value)
    assert told.value.__cause__ is told.value.__context__ is None


def test_a_command_tells_it_without_a_traceback():
    with environment(HEADWATER_PORT_BASE="abc"):
        answer = subprocess.run(
            [sys.executable, "-m", "headwater.cli", "dataset", "list"], capture_output=True, text=True, timeout=60
        )
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: settings: HEADWATER_PORT_BASE=abc")
    assert "Traceback" not in answer.stderr


def test_a_misspelt_setting_is_found_wherever_it_stands(tmp_path):
    (tmp_path / ".env").write_text("HEADWATER_LAKE_URL=s3://lake\nPATHS=no\nHEADWATER_MCP_PORT=8000\n")
    with environment(HEADWATER_PROJECT_DIR=str(tmp_path), HEADWATER_PORT_BSE="20000", HEADWATER_TEST_PLATFORM="x"):
        found = {one.name: one for one in unknown_settings(get_settings())}
        assert set(found) == {"HEADWATER_PORT_BSE", "HEADWATER_LAKE_URL"}
        assert found["HEADWATER_PORT_BSE"].meant == "HEADWATER_PORT_BASE"
        assert found["HEADWATER_LAKE_URL"].place == str(tmp_path / ".env")
        (port, _) = [one for one in examine(get_settings()) if one.check == "settings"]
    assert (port.state, port.remedy) == ("note", "did you mean HEADWATER_PORT_BASE?")
