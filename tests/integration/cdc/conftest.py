"""A worker beside the shared stack, and a captured database for the tests of one module."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cdc import ACCOUNTS, CapturedDatabase, ChangeReader, captured_database
from tests.conftest import environment

from headwater.settings import Settings, get_settings


@pytest.fixture(scope="module")
def project(connect: Settings, tmp_path_factory) -> Iterator[Path]:
    """A project with one contract, which captures bank.accounts of the database cdc_test."""
    folder = tmp_path_factory.mktemp("project")
    contracts = folder / "schemas" / "contracts" / "accounts"
    contracts.mkdir(parents=True)
    (contracts / "accounts.yaml").write_text(ACCOUNTS.read_text())
    with environment(HEADWATER_PROJECT_DIR=str(folder), HEADWATER_POSTGRES_SOURCE_DATABASE="cdc_test"):
        yield folder


@pytest.fixture(scope="module")
def bank(project: Path) -> Iterator[CapturedDatabase]:
    with captured_database(get_settings()) as found:
        yield found


@pytest.fixture(scope="module")
def reader(bank: CapturedDatabase) -> Iterator[ChangeReader]:
    """Of the dataset's topic, after the first `apply`; each test goes on behind the one before."""
    bank.apply()
    found = ChangeReader(bank.settings, bank.dataset.topic)
    yield found
    found.close()
