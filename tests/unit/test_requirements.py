"""requirements.txt is what the lock says."""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_every_requirement_is_the_version_of_the_lock():
    locked = {
        package["name"]: package["version"] for package in tomllib.loads((PROJECT / "uv.lock").read_text())["package"]
    }
    required = dict(
        re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", (PROJECT / "requirements.txt").read_text(), re.M)
    )
    assert len(required) > 100
    assert {name: locked.get(name) for name in required} == required


def test_every_dependency_of_the_project_is_required():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["embedded"]]
    names = {re.sub(r"[._]", "-", re.match(r"[A-Za-z0-9._-]+", line).group().lower()) for line in wanted}
    required = set(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==", (PROJECT / "requirements.txt").read_text(), re.M))
    assert names <= required


def test_names_no_host():
    assert "://" not in (PROJECT / "requirements.txt").read_text()
