"""The pages name files and commands that there are."""

import importlib
import re
from pathlib import Path

import pytest
import typer

from headwater.cli import COMMANDS

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"(?:^|[`$] ?|\s{4})headwater ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_to_a_file(page):
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_every_page_is_reached_from_the_readme():
    reached, todo = set(), [PROJECT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        todo += [(page.parent / link).resolve() for link in LINK.findall(page.read_text())]
    decisions = {page for page in PAGES if page.parent.name == "adr"}  # the README names their folder
    assert set(PAGES) - decisions - reached == set()


def commands_of(noun: str) -> set[str]:
    """The verbs of a noun; empty for a command of its own."""
    entry = COMMANDS[noun]
    app = typer.main.get_command(importlib.import_module(entry.module).app)
    found = app.commands[entry.verb] if entry.verb and hasattr(app, "commands") else app
    return set(getattr(found, "commands", ()))


def test_every_command_of_the_pages_exists():
    named = {pair for page in PAGES for pair in COMMAND.findall(page.read_text())}
    assert ("contract", "apply") in named
    assert {noun for noun, _ in named} <= set(COMMANDS)
    assert [
        (noun, verb) for noun, verb in sorted(named) if (verbs := commands_of(noun)) and verb and verb not in verbs
    ] == []
