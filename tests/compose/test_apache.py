"""The stack with Apache in Caddy's place."""
import pytest

from images import docker
from kit.visitor import Visitor
from kit.wait import until
from test_stack import World


@pytest.fixture(scope="module")
def world(images, any_compose):
    from conftest import TAG
    made = World(any_compose, TAG, files=("docker-compose.yml", "docker-compose.apache.yml"))
    yield made
    made.close()


def test_all_kinds_of_visitors_while_a_broker_is_killed(world):
    world.project.healthy()
    assert world.project.inspect(world.project.ids("front")[0])["Config"]["Image"] == "httpd:2.4"

    def event():
        before, holder = world.attached(), world.project.holder()
        docker("kill", holder)
        until(lambda: world.attached() > before, "the client to attach elsewhere")
        docker("start", holder)
    world.while_it_goes_on(event)


def test_metrics_are_not_for_those_outside(world):
    assert world.answers("/tunnels/-/metrics") == 403
    page = world.project("exec", "-T", "front", "bash", "-c",
                         "exec 3<>/dev/tcp/127.0.0.1/2015 && printf 'GET /tunnels/-/metrics HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3")
    assert "pipegate_handler_" in page


def test_plain_http_is_sent_to_https(world):
    with Visitor(("127.0.0.1", world.project.http)) as visitor:
        visitor.send(b"GET /tunnels/x?y=%20 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        response = visitor.response()
    assert (response.status, response.value("Location")) == (301, "https://localhost/tunnels/x?y=%20")
