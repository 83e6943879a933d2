from headwater.embedded.secrets import GENERATED, ensure_secrets, secrets_file, write_private
from headwater.settings import get_settings


def values(settings):
    return {name: getattr(settings, name).get_secret_value() for name in GENERATED}


def test_every_secret_is_generated_once_and_kept(settings):
    first = values(ensure_secrets(settings))
    assert all(len(value) >= 32 for value in first.values())
    assert len(set(first.values())) == len(first)
    get_settings.cache_clear()
    assert values(ensure_secrets(get_settings())) == first


def test_only_the_owner_can_read_them(settings):
    ensure_secrets(settings)
    assert secrets_file(settings).stat().st_mode & 0o777 == 0o600


def test_what_the_user_has_set_is_left_alone(settings, monkeypatch):
    monkeypatch.setenv("HEADWATER_POSTGRES_PASSWORD", "mine")
    get_settings.cache_clear()
    after = ensure_secrets(get_settings())
    assert after.postgres_password.get_secret_value() == "mine"
    assert "POSTGRES_PASSWORD" not in secrets_file(settings).read_text()


def test_a_new_secret_joins_the_old_ones(settings):
    settings.home.mkdir(parents=True)
    write_private(secrets_file(settings), "HEADWATER_POSTGRES_PASSWORD=old\n")
    get_settings.cache_clear()
    after = ensure_secrets(get_settings())
    assert after.postgres_password.get_secret_value() == "old"
    assert after.clickhouse_password.get_secret_value()


def test_an_interrupted_write_does_not_stand_in_the_way(settings):
    settings.home.mkdir(parents=True)
    secrets_file(settings).with_name("secrets.env.new").write_text("half")
    ensure_secrets(settings)
    assert "half" not in secrets_file(settings).read_text()
