"""What a surface says of its caller, and what nobody else can say."""

import pytest
from pydantic import SecretStr

from headwater.errors import ConfigurationError
from headwater.identity import vouching
from headwater.identity.store import Identity
from headwater.identity.vouching import vouch, vouched
from headwater.policy.model import Surface
from headwater.settings import Settings

ANN = Identity("ann", "person", ("store_managers",), {"stores": (1, 2), "region": ("north",)}, has_password=False)


def settings(key: str = "k" * 64) -> Settings:
    return Settings(surface_key=SecretStr(key))


def test_what_is_vouched_for_arrives():
    found = vouched(settings(), vouch(settings(), ANN, Surface.API))
    assert found is not None
    assert (found.identity, found.surface) == (ANN, Surface.API)


@pytest.mark.parametrize("at", [5, 40, -2])
def test_a_changed_text_is_nobody(at):
    text = vouch(settings(), ANN, Surface.API)
    changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
    assert vouched(settings(), changed) is None


def test_another_key_is_nobody():
    assert vouched(settings("x" * 64), vouch(settings(), ANN, Surface.API)) is None


def test_without_a_key_nobody_vouches_and_nobody_is_believed():
    with pytest.raises(ConfigurationError, match="surface key"):
        vouch(settings(""), ANN, Surface.API)
    assert vouched(settings(""), vouch(settings(), ANN, Surface.API)) is None


def test_it_ends(monkeypatch):
    text = vouch(settings(), ANN, Surface.API)
    later = vouching.time.time() + vouching.GOOD_SECONDS + 1
    monkeypatch.setattr(vouching.time, "time", lambda: later)
    assert vouched(settings(), text) is None


@pytest.mark.parametrize("text", ["", "hv_", "hv_e30.", "hw_" + "0" * 12 + "_" + "a" * 43, "hv_é." + "a" * 43])
def test_other_texts_are_nobody(text):
    assert vouched(settings(), text) is None
