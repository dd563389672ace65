"""Tests of the Greengrass bus on the socket of the local nucleus, through a proxy that can cut connections."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from awsiot.greengrasscoreipc import model

from device_sim.greengrass.process import NucleusProcess
from edge_components.common import ipc_client
from edge_components.common.errors import BusError, ConnectionLostError, NoNucleusError, UnauthorizedError
from edge_components.common.health import Counters
from edge_components.common.ipc import GreengrassBus
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.loop import Loop
from edge_components.common.ports import SystemClock
from tests.integration.nucleus_site import Site
from tests.waiting import until


class Proxy:
    """A UNIX socket in front of another; ``cut`` ends all connections, ``path`` can be removed and made again."""

    def __init__(self, path: Path, behind: str) -> None:
        self.path, self._behind = path, behind
        self._pairs: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.open()

    def open(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections, and end those that there are."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.path.unlink(missing_ok=True)
        self.cut()

    def cut(self) -> None:
        pairs, self._pairs = self._pairs, []
        for one in pairs:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                front, _ = listener.accept()
            except OSError:
                return
            back = socket.socket(socket.AF_UNIX)
            back.connect(self._behind)
            self._pairs += [front, back]
            for source, target in ((front, back), (back, front)):
                threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError), source:
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


class Bench:
    """A bus with its loop, driven by the test's thread."""

    def __init__(self) -> None:
        self.counters, clock, log = Counters(), SystemClock(), logging.getLogger("test")
        limited_log = RateLimitedLog(self.counters, log, clock)
        self.loop = Loop(log, limited_log, clock)
        self.given_up = False
        self.bus = GreengrassBus(self.loop, clock, limited_log, random.Random(1), self._give_up)
        self.messages: list[bytes] = []

    def _give_up(self) -> None:
        self.given_up = True

    def keep(self, _topic: str, payload: bytes) -> None:
        self.messages.append(payload)

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        def work() -> None:
            self.bus.tick()
            self.loop._make_calls(0.05)

        until(condition, what, seconds, work)


@pytest.fixture(scope="module")
def nucleus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NucleusProcess]:
    with Site(tmp_path_factory.mktemp("site")).start() as process:
        yield process


@pytest.fixture
def proxy(nucleus: NucleusProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    info = json.loads(nucleus.cli_info.read_text())
    made = Proxy(tmp_path / "ipc.socket", info["socket"])
    monkeypatch.setenv(ipc_client.SOCKET, str(made.path))
    monkeypatch.setenv(ipc_client.TOKEN, info["token"])
    yield made
    made.close()


@pytest.fixture
def bench(proxy: Proxy) -> Iterator[Bench]:
    made = Bench()
    made.bus.connect()
    yield made
    made.bus.close()


def test_messages_are_received_in_order(bench: Bench) -> None:
    subscription = bench.bus.subscribe("test/a", bench.keep)
    bench.until(lambda: subscription.active, "the subscription")
    for number in range(20):
        bench.bus.publish("test/a", b"%d" % number)
    bench.until(lambda: len(bench.messages) == 20, "the messages")
    assert bench.messages == [b"%d" % number for number in range(20)]


def test_a_renewed_subscription_continues_without_a_gap(bench: Bench) -> None:
    subscription = bench.bus.subscribe("test/a", bench.keep)
    bench.until(lambda: subscription.active, "the subscription")
    schedule = subscription.schedule  # type: ignore[attr-defined]
    schedule._opened_at -= 60.0
    subscription.renew("test")
    bench.until(lambda: bench.counters["subscriptions_renewed"] == 1, "the renewal")
    bench.bus.publish("test/a", b"after")
    bench.until(lambda: bench.messages == [b"after"], "the message, once")


def test_a_lost_connection_is_restored_with_all_subscriptions(bench: Bench, proxy: Proxy) -> None:
    subscription = bench.bus.subscribe("test/a", bench.keep)
    bench.until(lambda: subscription.active, "the subscription")
    proxy.cut()
    bench.until(lambda: not subscription.active, "the loss")
    with pytest.raises(ConnectionLostError):
        bench.bus.publish("test/a", b"lost")
    bench.until(lambda: subscription.active, "the subscription on a new connection")
    bench.bus.publish("test/a", b"again")
    bench.until(lambda: bench.messages == [b"again"], "the message")
    assert bench.counters["connections_lost"] == 1
    assert not bench.given_up


def test_a_temporarily_absent_nucleus_is_waited_for(bench: Bench, proxy: Proxy) -> None:
    subscription = bench.bus.subscribe("test/a", bench.keep)
    bench.until(lambda: subscription.active, "the subscription")
    proxy.close()
    bench.until(lambda: bench.counters["connections_failed"] >= 2, "failed attempts")
    proxy.open()
    bench.until(lambda: subscription.active, "the subscription on a new connection")


def test_the_process_ends_after_a_time_if_the_nucleus_rejects_its_token(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ipc_client.TOKEN, "unknown")
    monkeypatch.setattr("edge_components.common.connection_schedule.REFUSED_SECONDS", 0.5)
    bench = Bench()
    with pytest.raises(BusError, match="refuses"):
        bench.bus.connect()
    bench.until(lambda: bench.given_up, "the end")
    assert bench.counters["connections_failed"] >= 2


def test_without_a_socket_in_the_environment_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ipc_client.SOCKET, raising=False)
    with pytest.raises(NoNucleusError, match="started by the Greengrass nucleus"):
        Bench().bus.connect()


def test_errors_name_the_operation_and_have_a_text(bench: Bench) -> None:
    with pytest.raises(BusError) as caught:
        bench.bus._call("get_configuration", model.GetConfigurationRequest(key_path=["no", "such"]), "read x")
    assert str(caught.value).startswith("read x: ")
    assert "None" not in str(caught.value)


def test_a_closed_bus_raises_its_own_error_and_logs_no_traceback(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.bus.subscribe("test/a", bench.keep)
    bench.bus.close()
    with pytest.raises(ConnectionLostError):
        bench.bus.publish("test/a", b"late")
    bench.bus.tick()
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    ("payload", "text"),
    [({"_message": "offline"}, "ServiceError: offline"), ({"message": "m"}, "ServiceError: m"), ({}, "ServiceError")],
)
def test_the_text_of_an_error_is_found_where_each_nucleus_puts_it(payload: dict[str, str], text: str) -> None:
    kind = ipc_client._Shapes().find_shape_type("aws.greengrass#ServiceError")
    assert kind is not None
    error = kind._from_payload(payload)  # type: ignore[attr-defined]
    assert ipc_client.described(error) == text
    assert str(ipc_client.translate(error, "subscribe")) == f"subscribe: {text}"


def test_an_unauthorized_error_is_recognized() -> None:
    kind = ipc_client._Shapes().find_shape_type("aws.greengrass#UnauthorizedError")
    assert kind is not None
    error = kind._from_payload({"_message": "no"})  # type: ignore[attr-defined]
    assert isinstance(ipc_client.translate(error, "subscribe"), UnauthorizedError)


def test_a_component_whose_nucleus_was_killed_ends(bench: Bench, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy.close()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    bench.until(lambda: bench.given_up, "the end")
