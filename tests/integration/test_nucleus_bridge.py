"""Tests of the bridge to IoT Core, with mosquitto and client certificates."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import os
import queue
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from awsiot.greengrasscoreipc import model
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

from device_sim.greengrass.process import NucleusProcess
from tests.integration.nucleus_site import Listener, Site
from tests.waiting import until

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(
    MOSQUITTO is None, reason="mosquitto is not installed (apt-get install mosquitto): the bridge has no broker to meet"
)


@dataclass(frozen=True)
class Credentials:
    host: str
    port: int
    cert: Path
    key: Path
    ca: Path


class Authority:
    """Signs certificates for the broker and its clients."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.path = folder / "ca.pem"
        self.path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        cert_file, key_file = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        cert_file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert_file, key_file

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )


class Broker:
    """mosquitto that lets only clients with the authority's certificates in."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        server, server_key = authority.issue("server")
        cert, key = authority.issue("gw-test")
        self.credentials = Credentials("localhost", self._port, cert, key, authority.path)
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self._port} 127.0.0.1\ncafile {authority.path}\ncertfile {server}\nkeyfile {server_key}\n"
            # The test's folders are its user's alone, so the broker must stay that user.
            f"require_certificate true\nallow_anonymous true\nuser {getpass.getuser()}\n"
            f"persistence true\npersistence_location {folder}/\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._listens, "mosquitto listens")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), 1).close()
        except OSError:
            return False
        return True


class Cloud:
    """A client on the other side of the broker."""

    def __init__(self, broker: Broker, topic: str = "#") -> None:
        self.received: queue.Queue[tuple[str, bytes, int]] = queue.Queue()
        there = broker.credentials
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="cloud", clean_session=False)
        self._client.tls_set(str(there.ca), str(there.cert), str(there.key))
        self._client.on_message = lambda _c, _d, m: self.received.put((m.topic, bytes(m.payload), m.qos))
        subscribed: queue.Queue[bool] = queue.Queue()
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: subscribed.put(True)
        self._client.connect(there.host, there.port)
        self._client.loop_start()
        subscribed.get(timeout=60)

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, 1).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


CODE = """
def arrived(event):
    send("test/core", event.message.topic_name + "=" + event.message.payload.decode())

client.subscribe_to_iot_core(topic_name="gw-test/down/#", qos="1", on_stream_event=arrived)
send("test/ready", "")

def asked(event):
    try:
        client.publish_to_iot_core(topic_name="gw-test/up", qos="1", payload=event.binary_message.message)
        send("test/sent", "queued")
    except model.ServiceError as error:
        send("test/sent", str(error.message))

client.subscribe_to_topic(topic="test/send", on_stream_event=asked)
send("test/ready", "")
stay()
"""


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@contextlib.contextmanager
def started(folder: Path, broker: Broker, profile: str = "java") -> Iterator[tuple[NucleusProcess, Listener]]:
    """Give a nucleus whose component is ready, and a listener on its local topics."""
    proxy = {"operations": ["*"], "resources": ["+/up", "+/down/#"]}
    pubsub = {"operations": ["*"], "resources": ["test/*"]}
    access = {"aws.greengrass.ipc.mqttproxy": {"p": proxy}, "aws.greengrass.ipc.pubsub": {"p": pubsub}}
    site = Site(folder)
    site.component("io.test.Bridges", CODE, access=access)
    add, site.deploy = dict(site.deploy), {}
    with (
        site.start(iot=broker.credentials, profile=profile) as nucleus,
        contextlib.closing(Listener(nucleus, "test/#")) as listener,
    ):
        nucleus.wait_for(lambda one: any(line.get("connected") for line in one.lines), 15, "connected to IoT Core")
        listener.client.create_local_deployment(root_component_versions_to_add=add)
        until(lambda: len(listener.on("test/ready")) == 2, "the component is ready")
        yield nucleus, listener


def send(listener: Listener, text: str) -> None:
    message = model.PublishMessage(binary_message=model.BinaryMessage(message=text.encode()))
    listener.client.publish_to_topic(topic="test/send", publish_message=message)


def lose(broker: Broker, nucleus: NucleusProcess) -> None:
    """Take the broker away and wait until the nucleus has noticed."""
    broker.stop()
    until(lambda: any("IoT Core" in trouble for trouble in nucleus.new_failures()), "the loss is reported")


def queue_five(listener: Listener) -> None:
    for number in range(1, 6):
        send(listener, str(number))
        until(lambda: len(listener.on("test/sent")) == number, "it is queued")  # noqa: B023 # called at once
    assert set(listener.on("test/sent")) == {"queued"}


def test_messages_go_both_ways_with_the_gateways_certificate(tmp_path: Path, broker: Broker) -> None:
    with started(tmp_path, broker) as (_, listener), contextlib.closing(Cloud(broker, "gw-test/up")) as cloud:
        send(listener, "hello")
        assert cloud.received.get(timeout=60) == ("gw-test/up", b"hello", 1)
        cloud.publish("gw-test/down/a/b", b"yes")
        until(lambda: listener.on("test/core") == ["gw-test/down/a/b=yes"], "the cloud's message")


def test_queued_messages_arrive_in_order_after_a_reconnect_and_subscriptions_are_restored(
    tmp_path: Path, broker: Broker
) -> None:
    with started(tmp_path, broker) as (nucleus, listener):
        # The cloud's session outlives the broker, which so keeps what comes before the cloud is back.
        Cloud(broker, "gw-test/up").close()
        lose(broker, nucleus)
        queue_five(listener)
        broker.start()
        with contextlib.closing(Cloud(broker, "gw-test/up")) as cloud:
            received = [cloud.received.get(timeout=15)[1] for _ in range(5)]
            assert received == [b"1", b"2", b"3", b"4", b"5"]
            while not listener.on("test/core"):
                cloud.publish("gw-test/down", b"again")
            assert listener.on("test/core")[0] == "gw-test/down=again"


def test_nucleus_lite_queues_nothing_offline(tmp_path: Path, broker: Broker) -> None:
    with started(tmp_path, broker, "lite") as (nucleus, listener):
        lose(broker, nucleus)
        send(listener, "lost")
        until(lambda: bool(listener.on("test/sent")), "an answer")
        # The SDK's model reads ``message``, and nucleus lite sends ``_message``.
        assert listener.on("test/sent") == ["None"]


def test_java_answers_a_subscription_made_offline_when_the_gateway_connects(tmp_path: Path, broker: Broker) -> None:
    broker.stop()
    code = """
    send("test/began", "")
    client.subscribe_to_iot_core(
        topic_name="gw-test/down", qos="1", on_stream_event=lambda e: send("test/core", e.message.payload.decode()))
    send("test/ready", "")
    stay()
    """
    proxy = {"operations": ["*"], "resources": ["+/down"]}
    pubsub = {"operations": ["*"], "resources": ["test/*"]}
    site = Site(tmp_path)
    access = {"aws.greengrass.ipc.mqttproxy": {"p": proxy}, "aws.greengrass.ipc.pubsub": {"p": pubsub}}
    site.component("io.test.Boots", code, access=access)
    add, site.deploy = dict(site.deploy), {}
    options = ("--reconnect-seconds", "0.5")
    with (
        site.start(iot=broker.credentials, options=options) as nucleus,
        contextlib.closing(Listener(nucleus, "test/#")) as listener,
    ):
        listener.client.create_local_deployment(root_component_versions_to_add=add)
        until(lambda: bool(listener.on("test/began")), "the component begins")
        until(lambda: any("IoT Core" in trouble for trouble in nucleus.new_failures()), "the nucleus is offline")
        assert listener.on("test/ready") == []
        broker.start()
        until(lambda: bool(listener.on("test/ready")), "the subscription is answered")
        with contextlib.closing(Cloud(broker)) as cloud:
            cloud.publish("gw-test/down", b"hello")
            until(lambda: listener.on("test/core") == ["hello"], "the cloud's message")
        assert "ERRORED" not in {line.get("state") for line in nucleus.lines}


def test_a_restart_of_iotcored_silently_ends_subscriptions_and_publishing_continues(
    tmp_path: Path, broker: Broker
) -> None:
    with (
        started(tmp_path, broker, "lite") as (nucleus, listener),
        contextlib.closing(Cloud(broker, "gw-test/up")) as cloud,
    ):
        cloud.publish("gw-test/down", b"before")
        until(lambda: listener.on("test/core") == ["gw-test/down=before"], "the cloud's message")
        nucleus.restart_daemon("iotcored")

        def sent_again() -> bool:
            send(listener, "up")
            return "queued" in listener.on("test/sent")

        until(sent_again, "publishing succeeds again")
        assert cloud.received.get(timeout=60)[1] == b"up"
        cloud.publish("gw-test/down", b"after")
        sent = len(listener.on("test/sent"))
        send(listener, "later")
        until(lambda: len(listener.on("test/sent")) > sent, "the component continues")
        assert listener.on("test/core") == ["gw-test/down=before"]
        states = [line["state"] for line in nucleus.lines if line.get("component") == "io.test.Bridges"]
        assert states == ["INSTALLED", "STARTING", "RUNNING"]


def test_lite_rejects_a_publish_above_its_limit_of_unacknowledged_bytes(tmp_path: Path, broker: Broker) -> None:
    with started(tmp_path, broker, "lite") as (nucleus, listener):
        os.kill(broker.pid, signal.SIGSTOP)  # the connection stays, and nothing is acknowledged
        try:
            for number in range(1, 5):
                send(listener, "x" * 4_900)
                until(lambda: len(listener.on("test/sent")) == number, "an answer")  # noqa: B023 # called at once
            assert listener.on("test/sent") == ["queued", "queued", "queued", "None"]
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        assert "unacknowledged" in (nucleus.logs / "greengrass.log").read_text()
