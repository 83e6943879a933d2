"""docker-compose.yaml and Dockerfile, as far as they can be judged without an engine."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from headwater.settings import Settings

PROJECT = Path(__file__).parents[2]
TEXT = (PROJECT / "docker-compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SETTINGS = {f"HEADWATER_{name.upper()}": field for name, field in Settings.model_fields.items()}


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_names_only_what_there_is(name):
    service = COMPOSE["services"][name]
    assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
    assert {one["source"] for one in service.get("configs", ())} <= set(COMPOSE["configs"])
    assert {volume.partition(":")[0] for volume in service.get("volumes", ())} <= set(COMPOSE["volumes"])
    assert {key for key in service.get("environment", {}) if key.startswith("HEADWATER_")} <= set(SETTINGS)
    awaited = [one for one, how in service.get("depends_on", {}).items() if how["condition"] == "service_healthy"]
    assert [one for one in awaited if "healthcheck" not in COMPOSE["services"][one]] == []


def test_what_is_asked_for_is_a_setting_and_every_secret_is_asked_for():
    asked = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert asked <= set(SETTINGS)
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    assert used == asked
    given = [pair for one in COMPOSE["services"].values() for pair in one.get("environment", {}).items()]
    secrets = [value for name, value in given if name.endswith(("PASSWORD", "SECRET", "_KEY"))]
    assert secrets
    assert [value for value in secrets if not re.fullmatch(r"\$\{\w+:\?set it in .env\}", value)] == []


def test_the_reader_may_read_what_it_is_said_to_read_and_nothing_else():
    reader = ElementTree.fromstring(COMPOSE["configs"]["reader"]["content"])
    assert reader.findtext("profiles/reader/readonly") == "1"
    granted = [
        re.fullmatch(r"GRANT SELECT ON (\w+)\.\*", one.text)[1] for one in reader.iterfind("users/reader/grants/query")
    ]
    assert granted == Settings.model_fields["clickhouse_reader_databases"].default.split(",")
    (agent,) = [one.text for one in reader.iterfind("users/agent/grants/query")]
    assert agent == f"GRANT SELECT ON role_{Settings.model_fields['clickhouse_agent_user'].default}.*"
    for limit, setting in (("rows", "rows"), ("bytes", "bytes"), ("execution_time", "seconds")):
        name = f"max_{'result_' if limit != 'execution_time' else ''}{limit}"
        assert int(reader.findtext(f"profiles/reader/{name}")) == (
            Settings.model_fields[f"clickhouse_reader_max_{setting}"].default
        )


def test_every_database_of_the_settings_is_made():
    made = {COMPOSE["services"]["postgres"]["environment"]["POSTGRES_DB"]}
    made |= set(re.findall(r"CREATE DATABASE (\w+);", COMPOSE["configs"]["databases"]["content"]))
    fields = [field for name, field in Settings.model_fields.items() if re.fullmatch(r"postgres_\w+_database", name)]
    assert made == {field.default for field in fields}


def test_the_image_copies_what_is_there_and_not_ignored():
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    lines = re.findall(r"^COPY (.+) \S+$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    copied = [name for line in lines for name in line.split()]
    assert "LICENSE" in copied
    assert [name for name in copied if not (PROJECT / name).exists() or name.removeprefix("./") in ignored] == []


PYTHON = [one["command"] for one in COMPOSE["services"].values() if one.get("command", [""])[0] == "python"]


@pytest.mark.parametrize("command", PYTHON, ids=lambda command: command[-1])
def test_what_the_image_runs_is_there(command):
    if command[1] == "-m":
        assert (PROJECT / "include" / command[2].replace(".", "/") / "__main__.py").exists()
    else:
        assert (PROJECT / command[1]).exists()
