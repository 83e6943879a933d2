"""`headwater contract plan|apply` on the running broker, registry, catalog and warehouse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.conftest import environment
from typer.testing import CliRunner

from headwater.contracts.commands import app
from headwater.contracts.loader import load_dataset
from headwater.contracts.registry import COMPATIBILITY, IncompatibleSchemaError, RegistryClient, SchemaNotFoundError
from headwater.lake.catalog import get_catalog
from headwater.settings import Settings, get_settings
from headwater.warehouse.client import writer

pytestmark = pytest.mark.integration

SAMPLE = Path(__file__).parents[2] / "unit" / "contracts" / "golden" / "contracts" / "sample" / "every_type.yaml"
Write = Callable[..., str]


@pytest.fixture
def write(stack: Settings, tmp_path: Path) -> Iterator[Write]:
    """Write the sample contract under an own name into a project of its own, texts replaced; gives its name."""
    name = f"sample_{uuid4().hex[:8]}"
    (tmp_path / "dags").mkdir()

    def contract(*texts: str) -> str:
        text = SAMPLE.read_text().replace("every_type", name)
        for old, new in zip(texts[::2], texts[1::2], strict=True):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / "schemas" / "contracts" / "sample" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name

    with ExitStack() as exits:
        exits.enter_context(environment(HEADWATER_PROJECT_DIR=str(tmp_path), HEADWATER_HOME=str(stack.home)))
        yield contract
        with writer() as client:
            client.command(f"DROP TABLE IF EXISTS live.{name}")


def run(*arguments: str, code: int = 0) -> Any:
    """A command's JSON answer."""
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == code, (result.output, result.exception)
    return json.loads(result.output)


def changes(*arguments: str) -> list[str]:
    return [c["what"].splitlines()[0] for c in run(*arguments)["changes"]]


def test_plan_says_what_apply_does_and_repeating_does_nothing(write: Write) -> None:
    name = write()
    run("generate")
    planned = changes("plan")
    assert planned == [
        f"create topic sample.{name} with 4 partitions",
        f"register sample.{name}-value v1",
        f"sample.{name}-value: set compatibility {COMPATIBILITY}",
        f"create table bronze.{name}",
        f"create table silver.{name}",
        f"create table silver.{name}_refused",
        *(w for w in planned if w.startswith("CREATE ")),
    ]
    assert planned[-1] == f"CREATE TABLE IF NOT EXISTS live.{name}"
    assert changes("apply") == planned
    assert changes("plan") == []
    assert changes("apply") == []
    assert run("check") == {"errors": []}


def test_a_new_column_reaches_every_target(write: Write) -> None:
    name = write()
    run("generate")
    run("apply")
    flag = "      - {name: flag, logicalType: boolean, physicalType: boolean}\n"
    write(flag, f"{flag}      - {{name: more, logicalType: string, physicalType: string}}\n")
    assert run("check", code=1)["errors"][0]["what"].endswith("(it would be v2)")
    run("generate")
    done = changes("apply")
    assert f"register sample.{name}-value v2" in done
    assert f"silver.{name}: add column more string" in done
    assert f"ALTER TABLE live.{name} ADD COLUMN more Nullable(String) AFTER flag" in done
    with RegistryClient(get_settings()) as registry:
        assert registry.versions(f"sample.{name}-value") == [1, 2]
    assert get_catalog().load_table(f"bronze.{name}").schema().find_field("more")
    assert changes("plan") == []


def test_what_loses_data_needs_the_flag(write: Write) -> None:
    name = write()
    run("generate")
    run("apply")
    with writer() as client:
        client.command(f"ALTER TABLE live.{name} ADD COLUMN handmade String")
    refused = CliRunner().invoke(app, ["apply"])
    assert refused.exit_code == 1
    assert "this would lose data" in str(refused.exception)
    assert changes("plan") == [f"ALTER TABLE live.{name} DROP COLUMN handmade"]
    assert changes("apply", "--allow-destructive") == [f"ALTER TABLE live.{name} DROP COLUMN handmade"]


def test_a_schema_that_was_not_released_is_not_registered(write: Write) -> None:
    write()
    result = CliRunner().invoke(app, ["apply"])
    assert result.exit_code == 1
    assert "run `headwater contract generate`" in str(result.exception)


def test_the_registry_itself_refuses_an_incompatible_producer(write: Write) -> None:
    name = write()
    run("generate")
    run("apply")
    dataset = load_dataset(name)
    with RegistryClient(get_settings()) as registry:
        (schema_id, schema), *_ = registry.ids(dataset.subject).items()
        assert registry.lookup(dataset.subject, schema) == schema_id
        assert registry.register(dataset.subject, schema) == schema_id
        broken = {**schema, "fields": [*schema["fields"], {"name": "must", "type": "long"}]}
        with pytest.raises(IncompatibleSchemaError):
            registry.register(dataset.subject, broken)
        with pytest.raises(SchemaNotFoundError):
            registry.version(dataset.subject, 99)
        assert registry.versions("nobody-knows-it-value") == []
