"""A catalog that does not answer says so, whatever is asked of it."""

import socket

import pytest
from tests.conftest import environment
from typer.testing import CliRunner

from headwater.contracts import commands
from headwater.lake.catalog import CatalogUnavailableError, get_catalog


@pytest.fixture
def nobody(tmp_path):
    """Settings whose Postgres is a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with environment(HEADWATER_HOME=str(tmp_path), HEADWATER_POSTGRES_PORT=str(port)):
            yield port


def test_where_nobody_listens(nobody):
    with pytest.raises(CatalogUnavailableError, match=rf"127.0.0.1:{nobody}/catalog: .*refused") as told:
        get_catalog()
    assert "headwater up postgres" in told.value.remedy
    assert told.value.retryable


def test_a_command_passes_it_on(nobody):
    result = CliRunner().invoke(commands.app, ["plan", "--target", "lake"])
    assert isinstance(result.exception, CatalogUnavailableError)


def test_a_rest_catalog_of_which_nobody_listens(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        rest = {"HEADWATER_CATALOG_TYPE": "rest", "HEADWATER_CATALOG_URI": uri, "HEADWATER_CATALOG_TOKEN": "hush"}
        with (
            environment(HEADWATER_HOME=str(tmp_path), **rest),
            pytest.raises(CatalogUnavailableError, match=f"{uri}.*does not answer.*refused") as told,
        ):
            get_catalog()
    assert told.value.retryable
    assert "hush" not in str(told.value)
