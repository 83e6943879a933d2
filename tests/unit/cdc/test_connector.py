"""The connector that contracts ask for."""

import dataclasses
import json
from pathlib import Path

import pytest

from headwater.cdc.connector import Capture, as_text, capture_of, captured_tables, connector_config
from headwater.contracts.loader import load_contracts, load_file
from headwater.contracts.model import Contracts, Dataset
from headwater.errors import ConfigurationError, ContractError
from headwater.settings import Settings, get_settings

ACCOUNTS = Path(__file__).parents[2] / "datasets" / "accounts" / "accounts.yaml"
GOLDEN = Path(__file__).parent / "golden" / "connector.json"


@pytest.fixture
def settings(monkeypatch, tmp_path) -> Settings:
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path))
    monkeypatch.setenv("HEADWATER_PORT_BASE", "19000")
    monkeypatch.setenv("HEADWATER_POSTGRES_PASSWORD", "not-to-be-seen")
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def accounts() -> Dataset:
    return load_file(ACCOUNTS)


@pytest.fixture(scope="module")
def branches(accounts) -> Dataset:
    """A second captured table, with a key of two columns."""
    keys = [dataclasses.replace(column, primary_key=True) for column in accounts.columns[:2]]
    return dataclasses.replace(
        accounts, name="branches", source_name="bank.branches", columns=(*keys, *accounts.columns[2:])
    )


def test_the_configuration_is_the_golden_one(settings, accounts, branches):
    config = connector_config(settings, Capture("source", (accounts, branches)))
    assert as_text(config) == GOLDEN.read_text()


def test_no_password_is_in_it(settings, accounts):
    text = as_text(connector_config(settings, Capture("source", (accounts,))))
    assert "not-to-be-seen" not in text
    assert json.loads(text)["database.password"] == "${env:HEADWATER_POSTGRES_PASSWORD}"


def test_a_user_of_its_own_comes_with_a_password_of_its_own(settings, accounts):
    config = connector_config(settings, Capture("source", (accounts,), "reader"))
    assert (config["database.user"], config["database.password"]) == ("reader", "${env:HEADWATER_CAPTURE_PASSWORD}")


def test_the_captured_tables_can_be_read_back(settings, accounts, branches):
    capture = Capture("source", (accounts, branches))
    assert captured_tables(connector_config(settings, capture)) == ("bank.accounts", "bank.branches")
    assert captured_tables({}) == ()


def test_the_key_has_the_sources_names(settings, branches):
    config = connector_config(settings, Capture("source", (branches,)))
    assert config["message.key.columns"] == r"bank\.branches:account_id,owner_name"


def test_every_table_goes_into_its_datasets_topic(settings, accounts, branches):
    config = connector_config(settings, Capture("source", (accounts, branches)))
    routes = {
        config[f"transforms.{name}.regex"]: config[f"transforms.{name}.replacement"]
        for name in config["transforms"].split(",")
    }
    assert routes == {
        r"source\.bank\.accounts": "accounts.accounts",
        r"source\.bank\.branches": "accounts.branches",
    }


@pytest.mark.parametrize(
    ("database", "slot", "prefix"),
    [("source", "headwater_source", "source"), ("Shop-2", "headwater_shop_2", "Shop_2")],
)
def test_names_are_such_as_postgres_and_avro_allow(database, slot, prefix):
    capture = Capture(database, ())
    assert (capture.slot, capture.prefix) == (slot, prefix)


def test_two_datasets_cannot_read_one_table(accounts):
    with pytest.raises(ContractError, match="bank.accounts is captured by two datasets"):
        Capture("source", (accounts, dataclasses.replace(accounts, name="other")))


def test_only_captured_datasets_are_chosen(settings, accounts, branches):
    contracts = Contracts({**load_contracts().datasets, "branches": branches, "accounts": accounts})
    assert [one.name for one in capture_of(settings, contracts).datasets] == ["accounts", "branches"]
    assert [one.name for one in capture_of(settings, contracts, ["branches"]).datasets] == ["branches"]
    with pytest.raises(ContractError, match="'households' are not captured.*captured are: accounts, branches"):
        capture_of(settings, contracts, ["households"])
    with pytest.raises(ContractError, match="there is no dataset 'nobody'"):
        capture_of(settings, contracts, ["nobody"])


def test_a_registry_that_is_not_apicurio_is_told(settings, accounts, monkeypatch):
    monkeypatch.setenv("HEADWATER_REGISTRY_URL", "https://registry.example")
    with pytest.raises(ConfigurationError, match="Apicurio"):
        connector_config(Settings(), Capture("source", (accounts,)))


def test_a_registry_with_a_password_is_given_a_reference(settings, accounts, monkeypatch):
    monkeypatch.setenv("HEADWATER_REGISTRY_USERNAME", "somebody")
    monkeypatch.setenv("HEADWATER_REGISTRY_PASSWORD", "hidden")
    config = connector_config(Settings(), Capture("source", (accounts,)))
    assert config["value.converter.apicurio.registry.auth.username"] == "somebody"
    assert config["key.converter.apicurio.registry.auth.password"] == "${env:HEADWATER_REGISTRY_PASSWORD}"
    assert "hidden" not in as_text(config)
