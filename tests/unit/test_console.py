"""How commands look: whole values where nobody reads along, one `--json` everywhere, nouns that are alike."""

import importlib
import json

import click
import pytest
import typer
from typer.testing import CliRunner

from headwater.cli import COMMANDS
from headwater.console import console, noun, say, table

LONG = "x" * 3_000
ANSWERS_OTHERWISE = {
    "logs": "prints what services wrote",
    "query": "has --format json",
    "demo": "shows steps and a report; the commands it names answer in JSON",
}


MODULES = sorted({entry.module for entry in COMMANDS.values()})


def app_of(module: str) -> typer.Typer:
    return importlib.import_module(module).app


def commands(group: click.Command, name: str = "") -> dict[str, click.Command]:
    """All commands below a group, by their last name."""
    below = getattr(group, "commands", None)
    if below is None:
        return {name: group}
    return {full: one for part, child in below.items() for full, one in commands(child, part).items()}


@pytest.mark.parametrize("module", MODULES)
def test_every_command_answers_in_json_with_the_same_words(module):
    for name, command in commands(typer.main.get_command(app_of(module)), module.split(".")[1]).items():
        helps = [option.help for option in command.params if "--json" in option.opts]
        assert helps == ([] if name in ANSWERS_OTHERWISE else ["Print one line of JSON instead."]), name


@pytest.mark.parametrize("module", MODULES)
def test_no_noun_offers_to_install_completion(module):
    assert "--install-completion" not in CliRunner().invoke(app_of(module), ["--help"]).stdout


def test_nothing_is_cut_off_where_there_is_no_terminal():
    app = noun("")

    @app.command()
    def show() -> None:
        rows = table("name", "value")
        rows.add_row("short", LONG)
        console().print(rows)
        console().print(LONG)

    lines = CliRunner().invoke(app).stdout.splitlines()
    assert lines[1].split() == ["short", LONG]
    assert lines[2:] == [LONG]


def test_json_is_one_line_and_text_is_not_made():
    app = noun("")

    @app.command()
    def show() -> None:
        say(True, {"a": [1, "é"]}, lambda: pytest.fail("the text was made"))

    assert json.loads(CliRunner().invoke(app).stdout) == {"a": [1, "é"]}
    assert CliRunner().invoke(app).stdout.count("\n") == 1


def test_the_examples_of_replay_stand_one_below_the_other():
    help_ = CliRunner().invoke(app_of("headwater.sources.commands"), ["replay", "--help"]).stdout
    examples = [line.strip() for line in help_.splitlines() if line.strip().startswith("headwater source replay")]
    assert len(examples) == 3
    assert "\\b" not in help_
