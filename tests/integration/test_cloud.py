"""Tests of template, functions and roles in the local cloud, from MQTT to the tables and back."""

from __future__ import annotations

import json
import os
import queue
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import paho.mqtt.client as mqtt
import psutil
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from device_sim.aws.cost import cost
from device_sim.aws.errors import PortTakenError, StartError
from device_sim.aws.gateways import GatewayCredentials
from device_sim.aws.local import LocalCloud
from device_sim.aws.store import CloudStore
from tests.waiting import until
from wire import codec, profile, topics
from wire.acknowledgement import Acknowledgement
from wire.model import AGGREGATE_COLUMNS, Aggregates, Anomalies, Anomaly, Batch, Notice, Phase, Series
from wire.topics import Lane

START_MS = 1_750_000_000_000


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud.start(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture
def store(cloud: LocalCloud) -> CloudStore:
    return CloudStore(cloud)


class Gateway:
    """A gateway's MQTT connection, with what it is sent."""

    def __init__(self, credentials: GatewayCredentials, client_id: str | None = None) -> None:
        self.name = credentials.name
        self.acks: queue.Queue[Acknowledgement] = queue.Queue()
        self.alerts: queue.Queue[dict[str, Any]] = queue.Queue()
        self.ended = threading.Event()
        self._ready = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id or self.name)
        client.tls_set(str(credentials.ca), str(credentials.cert), str(credentials.key))
        client.on_connect = self._subscribe
        client.on_subscribe = lambda *_: self._ready.set()
        client.on_disconnect = lambda *_: self.ended.set()
        client.message_callback_add(topics.ack(self.name), self._ack)
        client.message_callback_add(topics.alerts(self.name), self._alert)
        self.client = client
        self._host, self._port = credentials.host, credentials.port

    def _subscribe(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(topics.ack(self.name), 0), (topics.alerts(self.name), 1)])

    def _ack(self, client: Any, data: Any, message: mqtt.MQTTMessage) -> None:
        self.acks.put(Acknowledgement.decode(bytes(message.payload)))

    def _alert(self, client: Any, data: Any, message: mqtt.MQTTMessage) -> None:
        self.alerts.put(json.loads(message.payload))

    def send(self, batch: Batch, lane: Lane = Lane.BULK) -> bytes:
        data = codec.encode(batch)
        self.publish(topics.ingest(self.name, lane), data)
        return data

    def publish(self, topic: str, data: bytes) -> None:
        self.client.publish(topic, data, qos=1).wait_for_publish(10)

    def acknowledged(self, epoch: int, sequence: int) -> Acknowledgement:
        while True:
            ack = self.acks.get(timeout=30)
            if ack.epoch == epoch and ack.covers(sequence):
                return ack

    @contextmanager
    def connected(self) -> Iterator[Gateway]:
        self.client.connect(self._host, self._port)
        self.client.loop_start()
        try:
            until(lambda: self._ready.is_set() or self.ended.is_set(), "connected or refused", 60)
            assert not self.ended.is_set(), "refused"
            yield self
        finally:
            self.client.disconnect()
            self.client.loop_stop()


@contextmanager
def gateway(cloud: LocalCloud, name: str) -> Iterator[Gateway]:
    with Gateway(cloud.provision_gateway(name)).connected() as connected:
        yield connected


def aggregates(seed: int, rows: int = 60, start_ms: int = START_MS) -> Aggregates:
    rng = np.random.default_rng(seed)
    series = (Series("pump1.temperature", "Cel", 0.01), Series("pump1.pressure", "bar"), Series("pump1/flow", "l/s"))
    mean = rng.normal(20.0, 1.0, rows).round(2)
    return Aggregates(
        series,
        np.arange(rows, dtype=np.int64) % 3,
        start_ms + seed * 10_000_000 + np.arange(rows, dtype=np.int64) // 3 * 10_000,
        np.full(rows, 10_000, np.int64),
        rng.integers(1, 11, rows),
        mean,
        mean - 0.5,
        mean + 0.5,
        rng.random(rows),
        np.where(rng.random(rows) < 0.2, np.nan, rng.random(rows)),
    )


def as_rows(rows: Aggregates) -> list[tuple[Any, ...]]:
    names = [rows.series[at].name for at in rows.series_index]
    columns = [getattr(rows, name).tolist() for name in AGGREGATE_COLUMNS[1:]]
    return sorted(zip(names, *columns, strict=True), key=repr)


def report(phase: Phase, time_ms: int, score: float = 1.5, series: str = "pump1.temperature") -> Anomaly:
    return Anomaly(series, phase, START_MS, time_ms, score, "spike", "up", 31.0, 20.0, unit="Cel")


def test_a_batch_is_stored_and_acknowledged_over_mqtt(cloud: LocalCloud, store: CloudStore) -> None:
    with gateway(cloud, "gw-stored") as gw:
        data = gw.send(Batch(gw.name, 7, 1, aggregates(1)))
        assert gw.acknowledged(7, 1) == Acknowledgement(7, 1)
    assert repr(as_rows(store.aggregates(gw.name))) == repr(as_rows(codec.decode(data).rows))  # type: ignore[arg-type]
    (receipt,) = store.batches(gw.name)
    assert (receipt.lane, receipt.epoch, receipt.sequence) == ("bulk", 7, 1)
    assert (receipt.data, receipt.rows, receipt.holds) == (data, 60, "aggregates")
    assert gw.name in store.gateways()


def test_a_missing_profile_is_requested_and_its_batch_stored_afterwards(cloud: LocalCloud, store: CloudStore) -> None:
    known = profile.learn(aggregates(1))
    with gateway(cloud, "gw-profile") as gw:
        short = codec.shorten(codec.pack(aggregates(2, rows=3)), known)
        data = codec.seal(gw.name, 7, 1, short)
        gw.publish(topics.ingest(gw.name, Lane.BULK), data)
        assert gw.acks.get(timeout=30) == Acknowledgement(7, 0, (), (known.version,))
        gw.publish(topics.ingest(gw.name, Lane.BULK), codec.encode_profile(gw.name, 7, 2, known))
        gw.acknowledged(7, 2)
        gw.publish(topics.ingest(gw.name, Lane.BULK), data)
        assert gw.acknowledged(7, 1) == Acknowledgement(7, 2)
    stored = codec.decode(data, lambda *_: known).rows
    assert repr(as_rows(store.aggregates(gw.name))) == repr(as_rows(stored))  # type: ignore[arg-type]
    assert [receipt.holds for receipt in store.batches(gw.name)] == ["aggregates", "profile"]


def test_a_repeated_batch_is_stored_once_and_acknowledged_again(cloud: LocalCloud, store: CloudStore) -> None:
    with gateway(cloud, "gw-twice") as gw:
        for lane in (Lane.URGENT, Lane.BULK):
            gw.send(Batch(gw.name, 7, 1, aggregates(2)), lane)
            gw.acknowledged(7, 1)
    (receipt,) = store.batches(gw.name)
    assert receipt.lane == "urgent"
    assert len(store.aggregates(gw.name)) == 60
    assert until(lambda: store.about(gw.name).get("duplicates"), "the duplicate is counted") == 1


def test_many_batches_out_of_order_are_all_stored_and_acknowledged(cloud: LocalCloud, store: CloudStore) -> None:
    order = np.random.default_rng(5).permutation(60) + 1
    with gateway(cloud, "gw-many") as gw:
        for sequence in order.tolist():
            gw.client.publish(topics.ingest(gw.name, Lane.BULK), codec.encode(_small(gw.name, sequence)), qos=1)
        while (ack := gw.acks.get(timeout=60)).cumulative < 60:
            pass
    assert ack == Acknowledgement(9, 60)
    assert [receipt.sequence for receipt in store.batches(gw.name)] == list(range(1, 61))
    assert len(as_rows(store.aggregates(gw.name))) == len(set(map(repr, as_rows(store.aggregates(gw.name))))) == 60 * 6


def _small(name: str, sequence: int) -> Batch:
    return Batch(name, 9, sequence, aggregates(sequence, rows=6))


def test_an_invalid_batch_becomes_a_dead_letter_and_others_are_stored(cloud: LocalCloud, store: CloudStore) -> None:
    with gateway(cloud, "gw-poison") as gw:
        good = codec.encode(Batch(gw.name, 3, 1, aggregates(3)))
        gw.publish(topics.ingest(gw.name, Lane.BULK), good[:-9] + b"flipped!!")
        gw.publish(topics.ingest(gw.name, Lane.BULK), codec.encode(Batch("gw-other", 3, 1, aggregates(3))))
        gw.publish(topics.ingest(gw.name, Lane.BULK), good)
        gw.acknowledged(3, 1)
    letters = until(lambda: _letters(cloud, gw.name, 2), "both are among the dead letters")
    assert sorted(letter["reason"] for letter in letters) == ["codec", "gateway"]
    assert {letter["topic"] for letter in letters} == {f"strandline/v1/{gw.name}/bulk"}
    assert len(store.batches(gw.name)) == 1
    assert store.batches("gw-other") == []
    figures = until(lambda: _rejects(store, gw.name, 2), "both are counted")
    assert (figures["rejected_codec"], figures["rejected_gateway"]) == (1, 1)


def _letters(cloud: LocalCloud, name: str, wanted: int) -> list[dict[str, str]] | None:
    answer = cloud.client("sqs").receive_message(
        QueueUrl=cloud.outputs["IngestDeadLettersUrl"],
        MaxNumberOfMessages=10,
        VisibilityTimeout=0,
        MessageAttributeNames=["All"],
    )
    found = []
    for message in answer.get("Messages", []):
        attributes = {k: v["StringValue"] for k, v in message["MessageAttributes"].items()}
        if attributes.get("gateway") == name:
            found.append(attributes | {"topic": json.loads(message["Body"])["topic"]})
    return found if len(found) >= wanted else None


def _rejects(store: CloudStore, name: str, wanted: int) -> dict[str, Any] | None:
    figures = store.about(name)
    return figures if sum(v for k, v in figures.items() if k.startswith("rejected_")) >= wanted else None


def test_an_anomaly_opens_and_resolves_an_alert_published_to_all_channels(cloud: LocalCloud, store: CloudStore) -> None:
    received = _subscribe_to_alerts(cloud)
    bus = _subscribe_to_bus(cloud)
    with gateway(cloud, "gw-alert") as gw:
        onset = Batch(gw.name, 4, 1, Anomalies((report(Phase.ONSET, START_MS + 1_000),)))
        gw.send(onset, Lane.URGENT)
        gw.send(onset, Lane.URGENT)
        firing = gw.alerts.get(timeout=30)
        assert firing["type"] == "io.strandline.alert.firing.v1"
        assert firing["subject"] == "pump1.temperature"
        assert firing["data"]["state"] == "firing"
        gw.send(Batch(gw.name, 4, 2, Anomalies((report(Phase.END, START_MS + 9_000, 2.0),))), Lane.URGENT)
        resolved = gw.alerts.get(timeout=30)
        assert (resolved["type"], resolved["data"]["ended_ms"]) == ("io.strandline.alert.resolved.v1", START_MS + 9_000)
        gw.acknowledged(4, 2)
    (alert,) = store.alerts(gw.name)
    assert (alert["state"], alert["score"], alert["cause"]) == ("resolved", 2.0, "spike")
    assert [a.phase for a in store.anomalies(gw.name)] == [Phase.ONSET, Phase.END]
    # A standard queue keeps no order.
    ids = {firing["id"], resolved["id"]}
    assert {json.loads(body)["id"] for body in _bodies(cloud, received, 2)} == ids
    assert {json.loads(body)["detail"]["id"] for body in _bodies(cloud, bus, 2)} == ids
    assert gw.alerts.empty()


def _subscribe_to_alerts(cloud: LocalCloud) -> str:
    url = cloud.client("sqs").create_queue(QueueName="received")["QueueUrl"]
    arn = _arn(cloud, url)
    cloud.client("sns").subscribe(
        TopicArn=cloud.outputs["AlertsTopicArn"],
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true", "FilterPolicy": json.dumps({"gateway": ["gw-alert"]})},
    )
    _allow(cloud, url, arn, "sns.amazonaws.com")
    return str(url)


def _subscribe_to_bus(cloud: LocalCloud) -> str:
    url = cloud.client("sqs").create_queue(QueueName="bus")["QueueUrl"]
    arn, bus = _arn(cloud, url), cloud.outputs["AlertsBusName"]
    pattern = {"source": ["io.strandline"], "resources": ["strandline:gateway/gw-alert"]}
    cloud.client("events").put_rule(Name="all", EventBusName=bus, EventPattern=json.dumps(pattern))
    cloud.client("events").put_targets(Rule="all", EventBusName=bus, Targets=[{"Id": "1", "Arn": arn}])
    _allow(cloud, url, arn, "events.amazonaws.com")
    return str(url)


def _allow(cloud: LocalCloud, url: str, arn: str, service: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def _arn(cloud: LocalCloud, url: str) -> str:
    answer = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


def _bodies(cloud: LocalCloud, url: str, wanted: int) -> list[str]:
    bodies: list[str] = []

    def receive() -> bool:
        sqs = cloud.client("sqs")
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            bodies.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(bodies) >= wanted

    until(receive, f"{wanted} in {url}")
    return bodies


def test_a_notice_shows_in_the_gateways_figures(cloud: LocalCloud, store: CloudStore) -> None:
    with gateway(cloud, "gw-notice") as gw:
        gw.send(Batch(gw.name, 5, 1, Notice(START_MS, {"io.strandline.Aggregator": {"late": 3}})))
        gw.acknowledged(5, 1)
    assert store.about(gw.name)["counters"] == {"io.strandline.Aggregator": {"late": 3}}


def test_a_gateway_cannot_publish_under_another_name(cloud: LocalCloud, store: CloudStore) -> None:
    cloud.provision_gateway("gw-victim")
    with gateway(cloud, "gw-thief") as gw:
        gw.client.publish(
            topics.ingest("gw-victim", Lane.BULK), codec.encode(Batch("gw-victim", 1, 1, aggregates(1))), 1
        )
        assert gw.ended.wait(60)
    assert store.batches("gw-victim") == []


def test_a_gateway_cannot_connect_as_another(cloud: LocalCloud) -> None:
    stolen = Gateway(cloud.provision_gateway("gw-honest"), client_id="gw-somebody")
    with pytest.raises(AssertionError, match="refused"), stolen.connected():
        pass


def test_the_api_gives_gateways_series_aggregates_and_alerts(cloud: LocalCloud) -> None:
    with gateway(cloud, "gw-api") as gw:
        sent = aggregates(0)
        gw.send(Batch(gw.name, 6, 1, sent))
        gw.send(Batch(gw.name, 6, 2, Anomalies((report(Phase.ONSET, START_MS + 1_000),))), Lane.URGENT)
        gw.alerts.get(timeout=30)
        gw.acknowledged(6, 2)
        status, body = cloud.call_api("GET", "/v1/gateways")
        assert status == 200
        assert gw.name in [entry["gateway"] for entry in body["items"]]
        of_gateway = f"/v1/gateways/{gw.name}"
        status, body = cloud.call_api("GET", of_gateway)
        assert [(e["epoch"], e["cumulative"], e["missing"]) for e in body["epochs"]] == [(f"{6:016x}", 2, [])]
        assert body["alerts"]["warning"] == 1
        status, body = cloud.call_api("GET", f"{of_gateway}/series")
        names = ["pump1.pressure", "pump1.temperature", "pump1/flow"]
        assert [entry["series"] for entry in body["items"]] == names
        status, body = cloud.call_api("GET", f"{of_gateway}/latest")
        assert [entry["series"] for entry in body["items"]] == names
        span = f"from={START_MS + 20_000}&to={START_MS + 60_000}"
        for name in ("pump1.temperature", "pump1/flow"):
            path = f"{of_gateway}/aggregates?series={quote(name, safe='')}&{span}&resolution=raw"
            status, body = cloud.call_api("GET", path)
            assert status == 200, body
            rows = sent.take(np.array([sent.series[at].name == name for at in sent.series_index]).nonzero()[0][2:6])
            assert body["columns"]["start_ms"] == rows.start_ms.tolist()
            assert body["columns"]["mean"] == rows.mean.tolist()
        status, body = cloud.call_api("GET", f"{of_gateway}/aggregates?series=pump1.pressure&from=soon&limit=0")
        assert (status, len(body["problems"])) == (400, 2)
        assert cloud.call_api("GET", f"{of_gateway}/aggregates?series=none")[0] == 404
        assert cloud.call_api("GET", "/v1/gateways/gw-nobody")[0] == 404
        status, body = cloud.call_api("GET", f"/v1/alerts?gateway={gw.name}&state=all")
        (alert,) = body["items"]
        assert (alert["gateway_silent"], alert["gateway_last_seen_ms"] > START_MS) == (False, True)
        assert alert["id"] in [entry["id"] for entry in cloud.call_api("GET", "/v1/alerts?state=firing")[1]["items"]]
        status, body = cloud.call_api("POST", f"/v1/alerts/{alert['id']}/acknowledge", {"comment": "seen"})
        assert (status, body["state"]) == (200, "acknowledged")
        assert body["acknowledged_by"] == cloud.call_api("GET", "/v1/me")[1]["user"]
        assert gw.alerts.get(timeout=30)["type"] == "io.strandline.alert.acknowledged.v1"
        assert cloud.call_api("POST", "/v1/alerts/abcd/acknowledge", {})[0] == 400


def test_the_api_rejects_requests_without_credentials(cloud: LocalCloud) -> None:
    status, _ = cloud.call_api("GET", "/v1/gateways", signed=False)
    assert status in (401, 403)


def test_telemetry_over_http_is_stored_once_by_its_id(cloud: LocalCloud, store: CloudStore) -> None:
    now_ms = time.time_ns() // 1_000_000
    readings = [
        {"series": "meter.power", "time": now_ms - 1000 * at, "value": 5.5 + at, "unit": "W"} for at in range(3)
    ]
    body = {"id": "first", "gateway": "http-1", "readings": readings}
    path = "/v1/telemetry"
    assert cloud.call_api("POST", path, body) == (202, {"accepted": 3, "duplicates": 0, "faults": []})
    assert cloud.call_api("POST", path, body) == (202, {"accepted": 0, "duplicates": 3, "faults": []})
    assert cloud.call_api("POST", path, body | {"readings": readings[:1]})[0] == 409
    assert cloud.call_api("POST", "/v1/gateways/http-2/telemetry", body)[0] == 400
    wrong = {"id": "second", "gateway": "http-1", "readings": [{"series": "meter.power", "time": 1, "value": "high"}]}
    status, answer = cloud.call_api("POST", path, wrong)
    assert (status, answer["accepted"], answer["faults"][0]["problem"].startswith("time: 1")) == (202, 0, True)
    rows = store.aggregates("http-1")
    assert rows.mean.tolist() == [7.5, 6.5, 5.5]
    assert [receipt.lane for receipt in store.batches("http-1")] == ["http"]


def test_the_api_estimates_when_a_series_reaches_its_stored_limit(cloud: LocalCloud) -> None:
    now = time.time_ns() // 1_000_000
    times = [now - (120 - at) * 60_000 for at in range(120)]
    readings = [
        {"series": "tank.level", "time": at, "value": 1 + 0.01 * n + 0.02 * (n % 3)} for n, at in enumerate(times)
    ]
    assert cloud.call_api("POST", "/v1/gateways/http-7/telemetry", {"readings": readings})[0] == 202
    path = "/v1/gateways/http-7/forecast?series=tank.level"
    assert cloud.call_api("GET", path)[0] == 400
    assert cloud.call_api("PUT", "/v1/gateways/http-7/limits?series=tank.level", {"high": 2.6})[0] == 200
    status, answer = cloud.call_api("GET", path)
    assert status == 200
    (entry,) = answer["limits"]
    assert entry["limit"] == 2.6
    assert entry["estimate"]["early_ms"] > now
    assert entry["estimate"]["late_ms"] <= answer["until_ms"]
    assert cloud.call_api("GET", f"{path}&low=0.5")[1]["limits"][0]["reason"] == "away"
    assert cloud.call_api("GET", "/v1/gateways/http-7/forecast?series=other&high=1")[0] == 404
    assert cloud.call_api("GET", path, signed=False)[0] in (401, 403)
    program = "from strandline.cli import main; main()"
    asked = ["forecast", "--gateway", "http-7", "--series", "tank.level"]
    command = [sys.executable, "-c", program, *asked]
    done = subprocess.run(command, env=os.environ | cloud.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("http-7 tank.level  high 2.6  reached about ")
    lost = [*command[:-1], "tank.depth", "--high", "1"]
    done = subprocess.run(lost, env=os.environ | cloud.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "gateway http-7 has no series tank.depth" in done.stderr


def test_usage_is_counted_and_priced(cloud: LocalCloud, store: CloudStore) -> None:
    with gateway(cloud, "gw-usage") as gw:
        gw.send(Batch(gw.name, 8, 1, aggregates(1)))
        gw.acknowledged(8, 1)
    usage = until(lambda: u if (u := store.usage())["ingest_invocations"] > 0 else None, "an invocation is metered")
    assert usage["ingest_gb_s"] > 0
    assert usage["write_units"] > usage["batches"] > 0
    bill = cost(usage | {"readings": 1_000})
    assert bill["total_usd"] == pytest.approx(sum(bill["items"].values()))
    assert bill["usd_per_million_readings"] == pytest.approx(bill["total_usd"] * 1_000)


def test_no_listener_is_bound_beyond_loopback(cloud: LocalCloud) -> None:
    emulator = psutil.Process(cloud.pid)
    listening = {c.laddr for c in emulator.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert {address.port for address in listening} == {cloud.mqtt_port, int(cloud.endpoint_url.rsplit(":", 1)[1])}
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} for the local AWS cannot be used"):
            LocalCloud.start(tmp_path, http_port=port)
        with pytest.raises(PortTakenError, match=f"port {port} for the local AWS IoT broker"):
            LocalCloud.start(tmp_path, mqtt_port=port)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="cannot write in"):
        LocalCloud.start(tmp_path / "file" / "below")


def test_stopping_leaves_no_process_and_no_open_port(tmp_path: Path) -> None:
    with LocalCloud.start(tmp_path) as cloud:
        assert cloud.call_api("GET", "/v1/gateways")[0] == 200
        family = [psutil.Process(cloud.pid), *psutil.Process(cloud.pid).children(recursive=True)]
        assert len(family) > 1
    assert psutil.wait_procs(family, timeout=60)[1] == []
    with pytest.raises(OSError, match="refused"), socket.create_connection((cloud.mqtt_host, cloud.mqtt_port), 2):
        pass


def test_the_emulator_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from device_sim.aws.local import LocalCloud\n"
        "cloud = LocalCloud.start(Path(sys.argv[1])); cloud.call_api('GET', '/v1/gateways')\n"
        "print(cloud.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        emulator = psutil.Process(int(parent.stdout.readline()))
        family = [emulator, *emulator.children(recursive=True)]
        parent.kill()
    assert len(family) > 1
    assert psutil.wait_procs(family, timeout=60)[1] == []


def test_the_brokers_certificate_is_checked_by_its_authority(cloud: LocalCloud) -> None:
    context = ssl.create_default_context(cafile=str(cloud.ca))
    with (
        socket.create_connection((cloud.mqtt_host, cloud.mqtt_port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.version() in ("TLSv1.2", "TLSv1.3")


def test_credentials_are_readable_by_their_owner_only(cloud: LocalCloud) -> None:
    assert cloud.provision_gateway("gw-key").key.stat().st_mode & 0o077 == 0
