"""The environment of this process and of those that it starts: what is no setting, or is meant as one and is none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from dotenv import dotenv_values

from headwater.settings import PREFIX, Settings

NO_SETTINGS = ("PROCESS", "PROCESS_OF", "SCREENSHOTS")
"""Variables `HEADWATER_…` that are marks of the stack's processes, or for the tests (with `HEADWATER_TEST_*`)."""


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that the platform starts: this process's own, with `extra` over it.

    Python keeps there what it has compiled, also where it was told not to: a start costs half without compiling.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | dict(extra)


def extend_environment(extra: Mapping[str, str]) -> None:
    """Set variables of this process, for a library in it that takes them from nowhere else."""
    os.environ.update(extra)


def replace_environment(whole: Mapping[str, str]) -> None:
    """Take another process's environment over, and nothing of this one's: in a job that was forked for a client."""
    os.environ.clear()
    os.environ.update(whole)


def search_path() -> str:
    """PATH of this process."""
    return os.environ.get("PATH", "")


def is_submitted() -> bool:
    """Whether `spark-submit` has started this process, and a JVM beside it."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def inherited_java_home() -> str:
    """JAVA_HOME of this process, or an empty string."""
    return os.environ.get("JAVA_HOME", "")


class UnknownSetting(NamedTuple):
    """A variable with the platform's prefix that no setting has: where it stands, and the setting nearest to it."""

    name: str
    place: str
    meant: str


def unknown_settings(settings: Settings) -> Iterator[UnknownSetting]:
    """The misspelt settings of the process environment and of `.env`, which would otherwise pass in silence."""
    known = [name.upper() for name in Settings.model_fields]
    dotenv = settings.project_dir / ".env"
    in_file = dotenv_values(dotenv) if dotenv.is_file() else {}
    places: dict[str, Iterable[str]] = {"the environment": os.environ, str(dotenv): in_file}
    for place, variables in places.items():
        for variable in map(str.upper, variables):
            name = variable.removeprefix(PREFIX)
            if name != variable and name not in (*known, *NO_SETTINGS) and not name.startswith("TEST_"):
                near = get_close_matches(name, known, 1, 0.7)
                yield UnknownSetting(variable, place, f"{PREFIX}{near[0]}" if near else "")
