import socket

import pytest

from headwater.embedded import preflight
from headwater.embedded.errors import DiskFull, PortTaken
from headwater.embedded.health import http_body, is_free, listens
from headwater.embedded.service import ProcessSpec, Service


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def service(*ports: int) -> Service:
    spec = ProcessSpec("thing", ("true",), lambda: False, ports=ports)
    return Service("thing", "Thing", lambda settings: [spec], lambda settings: "")


def test_a_taken_port_is_told_with_its_holder_and_the_remedy(settings, listener):
    with pytest.raises(PortTaken, match=rf"{listener} \(thing; held by pid \d+, .*HEADWATER_PORT_BASE"):
        preflight.check_ports(settings, [service(listener)])


def test_free_ports_pass(settings, listener):
    free = next(port for port in range(30_000, 31_000) if is_free(port))
    preflight.check_ports(settings, [service(free)])


def test_a_port_is_free_again_although_old_connections_linger():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            client.recv(1)
    assert is_free(port)


def test_too_little_disk_is_told_with_the_remedy(settings):
    settings.min_free_disk_gb = 10**6
    with pytest.raises(DiskFull, match=r"GB are free, 1000000.0 GB are needed.*HEADWATER_HOME"):
        preflight.check_disk(settings, [])


def test_the_disk_is_looked_at_where_the_home_will_be(settings):
    assert not settings.home.exists()
    preflight.check_disk(settings, [])
    assert preflight.existing(settings.home).exists()


def test_health_questions_about_nothing_are_answered_no():
    port = next(port for port in range(30_000, 31_000) if is_free(port))
    assert not listens(port)
    assert http_body(f"http://127.0.0.1:{port}/") is None
