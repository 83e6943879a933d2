"""`.env.example` and the settings say the same."""

import re
from pathlib import Path

from headwater.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def listed() -> dict[str, str]:
    return dict(re.findall(r"^#HEADWATER_(\w+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))


def test_lists_every_setting_and_no_other():
    assert sorted(listed()) == sorted(name.upper() for name in Settings.model_fields)


def test_shows_the_defaults():
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory or field.default is None else field.default
        if hasattr(default, "get_secret_value"):
            default = default.get_secret_value()
        shown = str(default).lower() if isinstance(default, bool) else "" if default == Path() else str(default)
        assert listed()[name.upper()] == shown, name


def test_an_empty_value_is_the_same_as_none(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.setenv(f"HEADWATER_{name.upper()}", "")
    assert Settings().java_home is None
    assert Settings().kafka_port == Settings().port_base + 92
