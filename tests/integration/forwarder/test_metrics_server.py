"""The server of the metrics answers on the loopback interface while a port is set."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from device_sim.aws.process import DIRECT
from edge_components.forwarder.metrics_server import MetricsServer
from edge_components.forwarder.prometheus import CONTENT_TYPE, exposition
from tests.integration.source_peers import free_port


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    made = MetricsServer()
    yield made
    made.close()


def get(port: int, path: str) -> tuple[int, str, bytes]:
    try:
        with DIRECT.open(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def test_the_newest_text_is_served_until_the_port_is_taken_back(server: MetricsServer) -> None:
    port = free_port()
    server.listen(port)
    server.text = exposition("gw", {"Forwarder": {"acknowledgements": 3}}, {})
    assert get(port, "/metrics") == (200, CONTENT_TYPE, server.text)
    assert get(port, "/")[0] == 404
    server.listen(port)  # the same port again changes nothing
    assert get(port, "/metrics?x=1")[0] == 200
    server.listen(0)
    assert server.port == 0
    with pytest.raises(urllib.error.URLError):
        get(port, "/metrics")


def test_a_port_that_is_in_use_is_an_error(server: MetricsServer) -> None:
    port = free_port()
    server.listen(port)
    other = MetricsServer()
    with pytest.raises(OSError, match="in use"):
        other.listen(port)
    assert other.port == 0
