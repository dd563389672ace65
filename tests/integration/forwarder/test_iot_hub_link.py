"""Tests of the uplink to Azure IoT Hub against the stand-in of its endpoint for devices."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_sim.azure.device_endpoint import DeviceEndpoint
from device_sim.chaos.certificates import Authority
from edge_components.common.delivery import PublishBackoff
from edge_components.forwarder.cloud_link import session
from tests.integration.forwarder.test_mqtt_link import GATEWAY, QUICK, Gateway, aggregates
from tests.waiting import until
from wire import codec
from wire.acknowledgement import SequenceSet

KEY = bytes(range(32))
HOST = "localhost"


class Hub:
    """The endpoint, and a cloud that stores each message once and acknowledges it."""

    def __init__(self, authority: Authority) -> None:
        server = authority.server()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.cert, server.key)
        self.stored: dict[tuple[int, int], int] = {}
        self.properties: list[dict[str, str]] = []
        self.received = SequenceSet()
        self.by_message = True
        self.endpoint = DeviceEndpoint(HOST, context, {GATEWAY: KEY}, self._receive)

    def await_rows(self, number: int) -> None:
        """Wait until the cloud has stored a number of rows."""
        until(lambda: sum(self.stored.values()) >= number, lambda: self.endpoint.refused, 30)

    def _receive(self, device: str, properties: dict[str, str], payload: bytes) -> None:
        batch = codec.decode(payload)
        assert (device, batch.gateway) == (GATEWAY, GATEWAY)
        self.properties.append(properties)
        self.stored[batch.epoch, batch.sequence] = len(batch.rows)
        self.received.add(batch.sequence)
        if self.by_message:
            self.endpoint.send(device, self.received.acknowledgement(batch.epoch).encode())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


@pytest.fixture
def hub(authority: Authority) -> Iterator[Hub]:
    made = Hub(authority)
    with made.endpoint:
        yield made


def connect(tmp_path: Path, hub: Hub, authority: Authority, key: bytes = KEY, epoch: int = 1) -> Gateway:
    secret = tmp_path / "device.key"
    secret.write_text(base64.b64encode(key).decode())
    files = {"ca_file": str(authority.ca), "sas_key_file": str(secret)}
    return Gateway(tmp_path, epoch, service="iot_hub", tls=True, host=HOST, port=hub.endpoint.port, **files)


def test_batches_are_stored_and_acknowledged_over_cut_connections(
    tmp_path: Path, hub: Hub, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RETRY", QUICK)
    monkeypatch.setattr(PublishBackoff, "_POLICY", QUICK)
    gateway = connect(tmp_path, hub, authority)
    try:
        for sequence in range(1, 7):
            gateway.offer(sequence, aggregates(100, 100 * sequence))
            gateway.await_stored(sequence)
            hub.await_rows(100 * sequence)
            hub.endpoint.cut(GATEWAY)
        until(lambda: gateway.waiting() == 0, lambda: gateway.counters.snapshot(), 30)
    finally:
        gateway.stop()
    assert sum(hub.stored.values()) == 600
    assert hub.properties[0] == {"$.ct": "application/octet-stream", "lane": "bulk"}
    assert hub.endpoint.refused == []
    assert gateway.counters["mqtt_connected"] > 1


def test_a_token_is_renewed_before_it_expires(
    tmp_path: Path, hub: Hub, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TOKEN_USED", 1.5 / 3600)
    gateway = connect(tmp_path, hub, authority)
    try:
        until(lambda: gateway.counters["mqtt_token_renewed"] >= 2, lambda: gateway.counters.snapshot(), 60)
        until(lambda: gateway.counters["mqtt_connected"] >= 3, lambda: gateway.counters.snapshot(), 60)
        gateway.offer(1, aggregates(10, 0))
        until(lambda: hub.stored, lambda: gateway.counters.snapshot(), 30)
    finally:
        gateway.stop()
    assert gateway.counters["mqtt_disconnected"] == 0
    assert hub.endpoint.refused == []


def test_another_key_is_refused_until_the_file_has_the_right_one(
    tmp_path: Path, hub: Hub, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RETRY", QUICK)
    gateway = connect(tmp_path, hub, authority, key=b"another key of 32 bytes for this")
    try:
        until(lambda: gateway.counters["mqtt_refused"], lambda: gateway.counters.snapshot(), 30)
        (tmp_path / "device.key").write_text("%%%")
        until(lambda: gateway.counters["mqtt_credentials_failed"], lambda: gateway.counters.snapshot(), 30)
        (tmp_path / "device.key").write_text(base64.b64encode(KEY).decode())
        until(lambda: gateway.counters["mqtt_connected"], lambda: gateway.counters.snapshot(), 30)
    finally:
        gateway.stop()
    assert set(hub.endpoint.refused) == {"the signature does not match"}


def test_an_acknowledgement_by_a_direct_method_frees_batches_and_is_answered(
    tmp_path: Path, hub: Hub, authority: Authority
) -> None:
    hub.by_message = False
    gateway = connect(tmp_path, hub, authority)
    try:
        gateway.offer(1, aggregates(10, 0))
        hub.await_rows(10)
        ((epoch, _),) = hub.stored
        payload = base64.b64encode(hub.received.acknowledgement(epoch).encode()).decode()
        assert hub.endpoint.call(GATEWAY, "reboot", b"{}") == 404
        assert gateway.waiting() > 0
        assert hub.endpoint.call(GATEWAY, "acknowledge", json.dumps(payload).encode()) == 200
        until(lambda: gateway.waiting() == 0, lambda: gateway.counters.snapshot(), 30)
    finally:
        gateway.stop()
    assert hub.endpoint.refused == []
