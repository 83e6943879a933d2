import pytest

from headwater.embedded.services import SERVICES, named
from headwater.errors import ConfigurationError


def names(*wanted):
    return [service.name for service in named(wanted)]


def test_no_name_means_every_service():
    assert names() == [
        "postgres",
        "kafka",
        "registry",
        "clickhouse",
        "connect",
        "spark",
        "jobs",
        "airflow",
        "mcp",
        "api",
    ]


def test_what_a_service_needs_comes_with_it():
    assert names("registry") == ["kafka", "registry"]
    assert names("mcp") == ["postgres", "clickhouse", "mcp"]
    assert names("api") == ["postgres", "kafka", "registry", "clickhouse", "api"]


def test_an_unknown_service_is_told_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"kafak.*one of postgres, kafka"):
        named(["kafak"])


def test_processes_and_ports_are_each_of_one_service_only(settings):
    specs = [spec for service in SERVICES.values() for spec in service.processes(settings)]
    ports = [port for spec in specs for port in spec.ports]
    assert len({spec.name for spec in specs}) == len(specs)
    assert len(set(ports)) == len(ports) == 10


def test_no_password_is_on_a_command_line(settings):
    from headwater.embedded.secrets import GENERATED, ensure_secrets

    settings = ensure_secrets(settings)
    secrets = [getattr(settings, name).get_secret_value() for name in GENERATED]
    for service in SERVICES.values():
        for spec in service.processes(settings):
            assert not [secret for secret in secrets if secret in " ".join(spec.command)], spec.name


@pytest.mark.parametrize(
    ("variable", "value", "service"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "broker.example:9092", "kafka"),
        ("REGISTRY_URL", "https://registry.example", "registry"),
        ("POSTGRES_HOST", "db.example", "postgres"),
        ("CLICKHOUSE_HOST", "ch.example", "clickhouse"),
        ("CONNECT_URL", "http://connect.example:8083", "connect"),
    ],
)
def test_a_server_of_the_users_own_takes_the_place_of_the_embedded_one(settings, monkeypatch, variable, value, service):
    from headwater.settings import Settings

    assert not SERVICES[service].elsewhere(settings)
    monkeypatch.setenv(f"HEADWATER_{variable}", value)
    assert SERVICES[service].elsewhere(Settings())


def test_looking_at_the_services_makes_nothing(settings):
    for service in SERVICES.values():
        service.processes(settings)
        service.address(settings)
        service.data(settings)
    assert not settings.home.exists()
