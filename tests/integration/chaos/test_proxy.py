"""Tests of the proxies between real sockets on loopback."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_sim.chaos.certificates import Authority
from device_sim.chaos.downlink import AcknowledgementFault
from device_sim.chaos.errors import ChaosError
from device_sim.chaos.packets import publish
from device_sim.chaos.proxy import HOST, Line, Network

SECONDS = 10.0
ACK = publish("strandline/v1/gw/ack", b"{}")
OTHER = publish("strandline/v1/gw/alerts", b"{}")


class Echo:
    """A server that sends back what it gets, with TLS if it is given a context."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._server = socket.create_server((HOST, 0))
        self.port = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._connections: list[socket.socket] = []
        self._threads[0].start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SECONDS)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self._connections.append(connection)
                thread = threading.Thread(target=self._echo, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _echo(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:
            connection = self._context.wrap_socket(plain, server_side=True) if self._context else plain
            with connection:
                while data := connection.recv(4096):
                    connection.sendall(data)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def line(network: Network) -> Iterator[Line]:
    echo = Echo()
    yield network.proxy(HOST, echo.port)
    echo.close()


def connect(line: Line) -> socket.socket:
    return socket.create_connection((line.host, line.port), timeout=SECONDS)


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            break
        data += piece
    return data


def test_data_are_forwarded_unchanged(line: Line) -> None:
    with connect(line) as client:
        client.sendall(b"x" * 20_000)
        assert receive(client, 20_000) == b"x" * 20_000
        assert line.connections == 1


def test_a_cut_ends_connections_and_new_ones_are_accepted(line: Line) -> None:
    with connect(line) as client:
        client.sendall(b"1")
        assert receive(client, 1) == b"1"
        line.cut()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    with connect(line) as client:
        client.sendall(b"2")
        assert receive(client, 1) == b"2"


def test_connections_are_rejected_until_the_proxy_accepts_on_the_same_port_again(line: Line) -> None:
    port = line.port
    line.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(line).close()
    line.accept()
    assert line.port == port
    with connect(line) as client:
        client.sendall(b"3")
        assert receive(client, 1) == b"3"


@pytest.mark.parametrize("direction", ["up_dead", "down_dead"])
def test_a_blocked_direction_buffers_data_until_it_is_unblocked(line: Line, direction: str) -> None:
    with connect(line) as client:
        client.sendall(b"1")
        assert receive(client, 1) == b"1"
        setattr(line.conditions, direction, True)
        client.sendall(b"2")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        setattr(line.conditions, direction, False)
        client.settimeout(SECONDS)
        assert receive(client, 1) == b"2"


def test_a_slow_line_delays_data(line: Line) -> None:
    with connect(line) as client:
        line.conditions.latency_s = 0.1
        began = time.monotonic()
        client.sendall(b"1")
        assert receive(client, 1) == b"1"
        assert time.monotonic() - began >= 0.2, "once up and once down"


def test_a_connection_is_closed_if_its_target_is_unreachable(network: Network) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
    with connect(network.proxy(HOST, port)) as client, contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""


def test_a_port_in_use_is_an_error(line: Line) -> None:
    line.refuse()
    with socket.create_server((HOST, line.port)), pytest.raises(ChaosError, match=str(line.port)):
        line.accept()
    line.accept()


@pytest.fixture
def secured(network: Network, tmp_path: Path) -> Iterator[tuple[Line, ssl.SSLContext]]:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    contexts = []
    for authority in (ours, theirs):
        pair = authority.server()
        contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        contexts[-1].load_cert_chain(pair.cert, pair.key)
    serve, far = contexts
    echo = Echo(far)
    onward = ssl.create_default_context(cafile=theirs.ca)
    yield network.proxy(HOST, echo.port, serve=serve, connect=onward), ssl.create_default_context(cafile=ours.ca)
    echo.close()


def test_tls_is_terminated_and_acknowledgements_are_disturbed(
    secured: tuple[Line, ssl.SSLContext],
) -> None:
    line, context = secured
    with connect(line) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
        client.sendall(ACK + OTHER)
        assert receive(client, len(ACK + OTHER)) == ACK + OTHER
        line.conditions.acknowledgements = AcknowledgementFault.LOSE
        client.sendall(ACK + OTHER)
        assert receive(client, len(OTHER)) == OTHER
        line.conditions.acknowledgements = AcknowledgementFault.DOUBLE
        client.sendall(ACK)
        assert receive(client, 2 * len(ACK)) == 2 * ACK
        line.conditions.acknowledgements, line.conditions.delay_s = AcknowledgementFault.DELAY, 0.2
        began = time.monotonic()
        client.sendall(ACK + OTHER)
        assert receive(client, len(OTHER + ACK)) == OTHER + ACK
        assert time.monotonic() - began >= 0.2
    assert dict(line.applied) == {
        AcknowledgementFault.LOSE: 1,
        AcknowledgementFault.DOUBLE: 1,
        AcknowledgementFault.DELAY: 1,
    }


def test_a_stream_that_is_not_mqtt_is_cut(secured: tuple[Line, ssl.SSLContext]) -> None:
    line, context = secured
    with connect(line) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
        client.sendall(b"\x00\x00")
        with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
            assert client.recv(1) == b""
