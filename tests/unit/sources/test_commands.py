"""`headwater source`: what it refuses before it touches a service, and what its help teaches."""

import json

import pytest
from typer.testing import CliRunner

from headwater.settings import get_settings
from headwater.sources.commands import app


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path))
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["replay", "transactions", "--rate", "5", "--speed", "2"], "not both"),
        (["replay", "transactions", "--from", "soon"], "%Y-%m-%d"),
        (["replay", "transactions", "--limit", "0"], "--limit"),
        (["drop", "--weeks", "9-3"], "FIRST-LAST"),
        (["drop", "--weeks", "1-54"], "FIRST-LAST"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_right(arguments, told):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert told in result.output


@pytest.mark.parametrize("command", ["load", "change", "replay", "drop", "break"])
def test_every_command_can_answer_in_json(command):
    assert "--json" in CliRunner().invoke(app, [command, "--help"]).output


def test_a_drop_says_which_files_hold_the_weeks(home):
    runner = CliRunner()
    first = runner.invoke(app, ["drop", "--weeks", "1-1", "--json"])
    (file,) = json.loads(first.stdout)["files"]
    assert file["path"] == str(home / "landing" / "promotions" / "promotions-w01-w01.parquet")
    assert file["written"] is True
    second = runner.invoke(app, ["drop", "--weeks", "1-1"])
    assert second.stdout.startswith("there")
