"""Tests of the uplink over MQTT with mosquitto: no batch is lost or stored twice over cut connections."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from device_sim.chaos.certificates import Authority
from device_sim.chaos.proxy import Line, Network
from device_sim.simulation.sensor_broker import find_mosquitto, free_port
from edge_components.common.delivery import PublishBackoff
from edge_components.common.handover import RetryPolicy
from edge_components.common.health import Counters
from edge_components.common.lifecycle import Runtime
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.loop import Loop
from edge_components.common.ports import SystemClock
from edge_components.forwarder.cloud_link import session
from edge_components.forwarder.cloud_link.settings import read_settings
from edge_components.forwarder.component import Forwarder
from edge_components.forwarder.config import Config
from edge_components.forwarder.spool.recovery import open_spool
from edge_components.forwarder.spool.spool import Spool
from tests.fakes import FakeBus
from tests.integration.test_mqtt_source import PLUGIN, mosquitto, tls
from tests.waiting import until
from wire import codec, topics
from wire.acknowledgement import Acknowledgement, SequenceSet
from wire.model import Aggregates, Anomalies, Anomaly, Batch, Phase, Series
from wire.topics import Lane

pytestmark = pytest.mark.skipif(
    find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"
)
GATEWAY, SENDER = "gw-test", 99
QUICK = RetryPolicy(first_s=0.02, longest_s=0.1)


class Gateway:
    """Forwarder on a real loop and clock; the nucleus' local bus is a fake."""

    def __init__(self, work: Path, epoch: int, **mqtt: Any) -> None:
        values = {"commit_ms": 0, "batch_max_age_s": 0.1, "notice_interval_s": 0.0, "profile_interval_s": 0.0}
        limits = {"retry_first_s": 0.2, "retry_longest_s": 0.5, "send_per_s": 100.0, "backfill_per_s": 100.0}
        settings = read_settings({"host": "127.0.0.1", "tls": False, **mqtt})
        self.config = Config(**values, **limits, uplink="mqtt", mqtt=settings)  # type: ignore[arg-type]
        self.bus, self.counters = FakeBus(), Counters()
        log, clock = logging.getLogger("strandline.test"), SystemClock()
        limited_log = RateLimitedLog(self.counters, log, clock)
        self.loop = Loop(log, limited_log, clock)
        self.runtime = Runtime(
            GATEWAY, self.bus, clock, self.counters, log, limited_log, self.loop, work, random.Random(epoch)
        )
        self.spool: Spool
        self.forwarder: Forwarder
        self._path, self._epoch, self._killed = work / "spool.sqlite3", epoch, False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway")
        self._thread.start()
        assert self._ready.wait(30)

    def offer(self, sequence: int, rows: Aggregates | Anomalies) -> None:
        """Deliver a batch as the anomaly detector does."""
        payload = codec.encode(Batch(GATEWAY, SENDER, sequence, rows), 7_000)
        self.loop.post(lambda: self.bus.deliver(topics.SCORED, payload))

    def await_stored(self, sequence: int) -> None:
        """Wait until the spool has acknowledged a batch of the sender."""

        def stored() -> bool:
            acks = self.bus.on(topics.SCORED_ACK)
            return bool(acks) and Acknowledgement.decode(acks[-1]).covers(sequence)

        until(stored, "the spool stores the batch", 30)

    def waiting(self) -> int:
        """Return the number of batches and of rows in the spool, read on the loop's thread."""
        counted: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.loop.post(lambda: counted.put(sum(self.spool.counts().values()) + len(list(self.spool.pending()))))
        return counted.get(timeout=30)

    def kill(self) -> None:
        """End as after a power cut: nothing is committed, and no DISCONNECT is sent."""
        self._killed = True
        self._end()

    def stop(self) -> None:
        """Stop as the nucleus does."""
        self._end()

    def _end(self) -> None:
        self.loop.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _open(self) -> Spool:
        self.spool = open_spool(self._path, self._epoch, self.config.spool_max_bytes, self._epoch)
        return self.spool

    def _run(self) -> None:
        self.forwarder = Forwarder(self.config, self.runtime, self._open, lambda: 10**12)
        self.forwarder.start()
        self._ready.set()
        self.loop.run((self.forwarder.tick,))
        if self._killed:
            self.forwarder._link.close()
            self.spool.abandon()
        else:
            self.forwarder.close()


class Cloud:
    """Cloud behind a broker: stores each batch once, and acknowledges.

    With ``lose`` it loses that share of its acknowledgements, and each one before the first repeated batch.
    """

    def __init__(self, port: int, lose: float = 0.0) -> None:
        self.batches: dict[tuple[int, int], Batch] = {}
        self.topics: Counter[str] = Counter()
        self.repeated = 0
        self._lose, self._rng = lose, random.Random(7)
        self._received: dict[int, SequenceSet] = {}
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="cloud", protocol=paho.MQTTv5)
        self._client.on_message = self._store
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([("strandline/v1/+/urgent", 1), ("strandline/v1/+/bulk", 1)])
        self._client.loop_start()
        assert self._subscribed.wait(30)

    def rows(self) -> Counter[tuple[str, int]]:
        """Return how often each series and time was stored."""
        stored: Counter[tuple[str, int]] = Counter()
        for batch in list(self.batches.values()):
            if isinstance(batch.rows, Aggregates):
                names = [batch.rows.series[at].name for at in batch.rows.series_index]
                stored.update(zip(names, batch.rows.start_ms.tolist(), strict=True))
        return stored

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _store(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        batch = codec.decode(bytes(message.payload))
        self.topics[message.topic] += 1
        key = (batch.epoch, batch.sequence)
        if key in self.batches:
            self.repeated += 1
            assert len(self.batches[key].rows) == len(batch.rows)
        self.batches[key] = batch
        received = self._received.setdefault(batch.epoch, SequenceSet())
        received.add(batch.sequence)
        if not self._lose or (self.repeated and self._rng.random() >= self._lose):
            ack = received.acknowledgement(batch.epoch)
            self._client.publish(topics.ack(GATEWAY), ack.encode(), qos=1)


def aggregates(n: int, start: int) -> Aggregates:
    """Return rows of two series whose times no other rows have."""
    series = (Series("pump-1.temperature", "Cel", 0.01), Series("pump-1.pressure", "bar", 0.001))
    index = np.arange(n) % 2
    times = 1_700_000_000_000 + 1000 * (start + np.arange(n))
    value = np.round(np.random.default_rng(start).normal(20, 5, n), 3)
    full = np.full(n, 1000), np.full(n, 5)
    return Aggregates(series, index, times, *full, value, value - 1, value + 1, np.full(n, 0.5), np.full(n, 0.25))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    with mosquitto(tmp_path / "broker", "allow_anonymous true", "max_inflight_messages 10") as port:
        yield port


@contextlib.contextmanager
def cutting(line: Line, seed: int) -> Iterator[Counter[str]]:
    """Cut the connections of a line at random times until the end of the block."""
    done, counts, rng = threading.Event(), Counter[str](), random.Random(seed)

    def cut() -> None:
        while not done.wait(rng.uniform(0.02, 0.2)):
            if line.connections:
                line.cut()
                counts["cuts"] += 1

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield counts
    finally:
        done.set()
        thread.join(30)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_every_row_is_stored_once_over_cuts_lost_acknowledgements_and_a_power_cut(
    tmp_path: Path, broker: int, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RETRY", QUICK)
    monkeypatch.setattr(PublishBackoff, "_POLICY", QUICK)
    batches, rows = 24, 200
    expected: Counter[tuple[str, int]] = Counter()
    with Network() as network:
        line = network.proxy("127.0.0.1", broker)
        line.conditions.bytes_per_s = 400_000  # cuts meet packets that are half transferred
        cloud = Cloud(broker, lose=0.3)
        gateway = Gateway(tmp_path, 1, port=line.port, version=version)
        try:
            with cutting(line, seed=len(version)) as counts:
                for sequence in range(1, batches + 1):
                    offered = aggregates(rows, rows * sequence)
                    names = [offered.series[at].name for at in offered.series_index]
                    expected.update(zip(names, offered.start_ms.tolist(), strict=True))
                    gateway.offer(sequence, offered)
                    gateway.await_stored(sequence)
                    if sequence == batches // 2:
                        until(lambda: counts["cuts"] >= 3, "three cuts", 30)
                        gateway.kill()
                        gateway = Gateway(tmp_path, 2, port=line.port, version=version)
                until(lambda: counts["cuts"] >= 8, "eight cuts", 30)
            last = gateway
            until(lambda: last.waiting() == 0, lambda: last.counters.snapshot(), 60)
        finally:
            gateway.stop()
            cloud.close()
    assert cloud.rows() == expected
    assert cloud.repeated > 0
    assert gateway.counters["mqtt_disconnected"] > 0
    assert gateway.counters["mqtt_connected"] > 1
    assert gateway.counters["errors"] == 0


def test_anomalies_and_rows_have_topics_of_their_own_and_the_certificate_is_required(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    identity = authority.gateway(GATEWAY)
    files = {"ca_file": str(authority.ca), "cert_file": str(identity.cert), "key_file": str(identity.key)}
    plain = free_port()
    lines = (*tls(authority), "require_certificate true", f"listener {plain} 127.0.0.1", "allow_anonymous true")
    with mosquitto(tmp_path / "broker", *lines) as port:
        cloud = Cloud(plain)
        gateway = Gateway(tmp_path, 1, tls=True, host="localhost", port=port, **files)
        try:
            gateway.offer(1, aggregates(10, 0))
            onset = Anomaly("pump-1.temperature", Phase.ONSET, 1_700_000_000_000, 1_700_000_001_000, 2.5, "spike")
            gateway.offer(2, Anomalies((onset,)))
            until(lambda: gateway.counters["batches_acknowledged"] == 2, lambda: gateway.counters.snapshot(), 30)
        finally:
            gateway.stop()
            cloud.close()
        stranger = Gateway(tmp_path / "other", 1, tls=True, host="localhost", port=port, ca_file=str(authority.ca))
        try:
            until(lambda: stranger.counters["mqtt_tls_failed"] >= 1, lambda: stranger.counters.snapshot(), 30)
        finally:
            stranger.stop()
    assert set(cloud.topics) == {topics.published(GATEWAY, str(Lane.URGENT)), topics.published(GATEWAY, str(Lane.BULK))}
    assert gateway.forwarder.health()["uplink"]["broker"] == f"localhost:{port}"


@pytest.mark.skipif(PLUGIN is None, reason="mosquitto's dynamic security plugin is not installed")
def test_a_rejected_subscription_is_retried_while_batches_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SUBSCRIBE_SECONDS", 0.1)
    rule = {"acltype": "subscribeLiteral", "topic": topics.ack(GATEWAY), "priority": 1, "allow": False}
    access = {"publishClientSend": True, "publishClientReceive": True, "subscribe": True, "unsubscribe": True}
    policy = {
        "defaultACLAccess": access,
        "anonymousGroup": "everyone",
        "groups": [{"groupname": "everyone", "roles": [{"rolename": "limited"}], "clients": []}],
        "roles": [{"rolename": "limited", "acls": [rule]}],
        "clients": [],
    }
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    lines = ("allow_anonymous true", f"plugin {PLUGIN}", f"plugin_opt_config_file {tmp_path / 'policy.json'}")
    with mosquitto(tmp_path / "broker", *lines) as port:
        cloud = Cloud(port)
        gateway = Gateway(tmp_path, 1, port=port)
        try:
            gateway.offer(1, aggregates(10, 0))
            until(lambda: cloud.batches, "the batch is stored", 30)
            until(lambda: gateway.counters["mqtt_subscription_rejected"] >= 3, lambda: gateway.counters.snapshot(), 30)
        finally:
            gateway.stop()
            cloud.close()
    assert gateway.counters["mqtt_connected"] == 1
    assert "Not authorized" in str(gateway.forwarder.health()["uplink"]["refused_subscriptions"])


def test_it_waits_for_a_broker_and_for_credentials_and_uses_them_when_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RETRY", QUICK)
    port, secret = free_port(), tmp_path / "secret"
    gateway = Gateway(tmp_path, 1, port=port, username="u", password_file=str(secret))
    try:
        until(lambda: gateway.counters["mqtt_credentials_failed"], lambda: gateway.counters.snapshot(), 30)
        secret.write_text("wrong")
        until(lambda: gateway.counters["mqtt_unreachable"], lambda: gateway.counters.snapshot(), 30)
        with mosquitto(tmp_path / "broker", "allow_anonymous false", port=port):
            until(lambda: gateway.counters["mqtt_refused"], lambda: gateway.counters.snapshot(), 30)
        with mosquitto(tmp_path / "open", "allow_anonymous true", port=port):
            until(lambda: gateway.counters["mqtt_connected"], lambda: gateway.counters.snapshot(), 30)
    finally:
        gateway.stop()
