"""Tests of the link over MQTT on a fake session: settings, IoT Hub's names and tokens, states, renewals."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from edge_components import forwarder
from edge_components.common.config import load, table
from edge_components.common.errors import BusError, ConfigError, ConnectionLostError
from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.mqtt.failures import Failure
from edge_components.forwarder.cloud_link import iot_hub
from edge_components.forwarder.cloud_link.mqtt import LONGEST_RENEWAL_SECONDS, RENEWAL_SECONDS, MqttLink
from edge_components.forwarder.cloud_link.settings import MqttLinkSettings, read_settings
from edge_components.forwarder.config import Config
from tests.fakes import FakeClock
from wire.topics import Lane

HUB = {"service": "iot_hub", "host": "hub.azure-devices.net", "sas_key_file": "/keys/device"}


class FakeSession:
    """Session that records publications; ``room`` is the number that it accepts."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.room = 100
        self.started = self.reconnections = self.closings = 0

    def start(self) -> None:
        self.started += 1

    def publish(self, topic: str, payload: bytes) -> bool:
        if self.room <= len(self.published):
            return False
        self.published.append((topic, payload))
        return True

    def reconnect(self) -> None:
        self.reconnections += 1

    def close(self) -> None:
        self.closings += 1


class Rig:
    """Link on a fake session and clock."""

    def __init__(self, **values: Any) -> None:
        self.session, self.clock, self.counters = FakeSession(), FakeClock(), Counters()
        log = RateLimitedLog(self.counters, logging.getLogger("strandline.test"), self.clock)
        settings = read_settings({"host": "broker.example", **values})
        self.link = MqttLink(settings, "gw-1", lambda _events: self.session, self.clock, log)
        self.received: list[tuple[str, bytes]] = []
        self.subscription = self.link.start(lambda topic, payload: self.received.append((topic, payload)))


def test_batches_are_published_only_while_the_connection_exists() -> None:
    rig = Rig()
    with pytest.raises(ConnectionLostError, match=r"broker.example:8883: not connected yet"):
        rig.link.publish("t", b"1")
    rig.link.connected("MQTT 5")
    rig.link.publish("t", b"2")
    rig.link.failed(Failure("mqtt_disconnected", "the connection is lost: reset"))
    with pytest.raises(ConnectionLostError, match="reset"):
        rig.link.publish("t", b"3")
    assert rig.session.published == [("t", b"2")]
    assert (rig.counters["mqtt_connected"], rig.counters["mqtt_disconnected"]) == (1, 1)


def test_unconfirmed_publications_are_limited() -> None:
    rig = Rig()
    rig.link.connected("MQTT 5")
    rig.session.room = 1
    rig.link.publish("t", b"1")
    with pytest.raises(BusError, match="does not confirm"):
        rig.link.publish("t", b"2")


def test_it_starts_once_and_passes_messages_on_until_it_is_closed() -> None:
    rig = Rig()
    assert rig.link.start(lambda *_: None) is rig.subscription
    assert rig.session.started == 1
    rig.link.received("ack", b"a")
    rig.link.close()
    rig.link.received("ack", b"b")
    rig.link.failed(Failure("mqtt_disconnected", "closed"))
    assert rig.received == [("ack", b"a")]
    assert rig.session.closings == 1
    assert rig.counters["mqtt_disconnected"] == 0


def test_missing_acknowledgements_renew_the_connection_at_a_limited_and_falling_rate() -> None:
    rig = Rig()
    rig.subscription.renew("not connected")
    rig.link.connected("MQTT 5")
    rig.subscription.renew("too early")
    assert rig.session.reconnections == 0
    waits = []
    for _ in range(6):
        began = rig.clock.monotonic()
        expected = rig.session.reconnections + 1
        while rig.session.reconnections < expected:
            rig.clock.advance(1.0)
            rig.subscription.renew("no acknowledgement")
        waits.append(rig.clock.monotonic() - began)
        rig.link.connected("MQTT 5")
    assert waits == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]
    assert (RENEWAL_SECONDS, LONGEST_RENEWAL_SECONDS) == (30.0, 300.0)
    rig.link.received("ack", b"a")
    rig.clock.advance(RENEWAL_SECONDS)
    rig.subscription.renew("no acknowledgement")
    assert rig.session.reconnections == 7
    assert rig.counters["renewals_requested"] == 7


def test_the_health_report_has_the_failure_and_a_rejected_subscription() -> None:
    rig = Rig()
    assert rig.link.health() == {"connected": False, "broker": "broker.example:8883", "failure": "not connected yet"}
    assert not rig.subscription.active
    rig.link.connected("MQTT 5")
    assert rig.subscription.active
    rig.link.subscribed("strandline/v1/gw-1/ack", "Not authorized")
    assert rig.link.health()["refused_subscriptions"] == {"strandline/v1/gw-1/ack": "Not authorized"}
    assert not rig.subscription.active
    rig.link.subscribed("strandline/v1/gw-1/ack", "")
    assert rig.link.health() == {"connected": True, "broker": "broker.example:8883"}
    assert rig.subscription.active
    assert rig.counters["mqtt_subscription_rejected"] == 1


@pytest.mark.parametrize(("lane", "name"), [(Lane.URGENT, "urgent"), (Lane.BULK, "bulk"), (Lane.BACKFILL, "bulk")])
def test_topics_follow_the_templates_or_the_hub(lane: Lane, name: str) -> None:
    assert Rig().link.topic(lane) == f"strandline/v1/gw-1/{name}"
    assert Rig(batch_topic="site/{lane}/{gateway}/up").link.topic(lane) == f"site/{name}/gw-1/up"
    events = "devices/gw-1/messages/events/%24.ct=application%2Foctet-stream&lane="
    assert Rig(**HUB).link.topic(lane) == events + name
    messages, methods = read_settings(HUB).acknowledgements("gw-1")
    assert (messages, methods) == ("devices/gw-1/messages/devicebound/#", "$iothub/methods/POST/#")
    assert read_settings({"ack_topic": "site/{gateway}/down"}).acknowledgements("gw-1") == ("site/gw-1/down",)


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
    [
        ("$iothub/methods/POST/acknowledge/?$rid=7", b'"YWNr"', ("$iothub/methods/res/200/?$rid=7", b"ack")),
        ("$iothub/methods/POST/acknowledge/?$rid=7", b"{}", ("$iothub/methods/res/400/?$rid=7", b"")),
        ("$iothub/methods/POST/acknowledge/?$rid=7", b'"%"', ("$iothub/methods/res/400/?$rid=7", b"")),
        ("$iothub/methods/POST/acknowledge/?$rid=7", b"\xff", ("$iothub/methods/res/400/?$rid=7", b"")),
        ("$iothub/methods/POST/reboot/?$rid=8", b'"YWNr"', ("$iothub/methods/res/404/?$rid=8", b"")),
        ("devices/gw-1/messages/devicebound/", b"ack", None),
    ],
)
def test_a_direct_method_is_answered_and_has_the_acknowledgement(
    topic: str, payload: bytes, expected: tuple[str, bytes] | None
) -> None:
    assert iot_hub.called_method(topic, payload) == expected


def test_a_token_is_signed_for_the_device_and_expires() -> None:
    key = bytes(range(32))
    token = iot_hub.sas_token("hub.azure-devices.net", "gw-1", key, 1_700_000_000)
    kind, _, fields = token.partition(" ")
    parts = {name: values[0] for name, values in parse_qs(fields).items()}
    assert kind == "SharedAccessSignature"
    assert (parts["sr"], parts["se"]) == ("hub.azure-devices.net/devices/gw-1", "1700000000")
    encoded = fields.partition("sr=")[2].partition("&")[0]
    assert unquote(encoded) == parts["sr"]
    signed = hmac.new(key, f"{encoded}\n1700000000".encode(), hashlib.sha256).digest()
    assert base64.b64decode(parts["sig"]) == signed
    assert iot_hub.username("hub.azure-devices.net", "gw-1") == "hub.azure-devices.net/gw-1/?api-version=2021-04-12"


@pytest.mark.parametrize(("text", "problem"), [("%%%", "not base64"), ("c2hvcnQ=", "5 bytes")])
def test_a_key_that_is_unusable_is_described_without_its_content(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        iot_hub.read_key(text)
    assert text not in str(raised.value)
    assert iot_hub.read_key(base64.b64encode(b"k" * 32).decode() + "\n") == b"k" * 32


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"host": "a b"}, "mqtt.host: 'a b' is not allowed, expected a host name or address"),
        ({"port": 0}, "mqtt.port: 0 is not allowed, expected a whole number from 1 to 65535"),
        ({"topic": "x"}, "mqtt.topic: unknown key, did you mean ack_topic?"),
        ({"service": "google"}, "mqtt.service: 'google' is not allowed, expected one of broker, iot_hub"),
        ({"cert_file": "/a"}, "mqtt.cert_file, key_file: both or neither"),
        ({"tls": False, "cert_file": "/a", "key_file": "/b"}, "mqtt.cert_file: only with tls true"),
        ({"password_file": "/a"}, "mqtt.password_file: only with username"),
        ({"sas_key_file": "/a"}, "mqtt.sas_key_file: only with service iot_hub"),
        ({"batch_topic": "a/#"}, "mqtt.batch_topic: 'a/#' is not allowed, expected a topic without + and #"),
        ({"batch_topic": "a/{site}"}, "mqtt.batch_topic: 'a/{site}' is not allowed"),
        ({"ack_topic": "a/{lane}"}, "mqtt.ack_topic: 'a/{lane}' is not allowed, expected a topic without {lane}"),
        ({"ack_topic": ""}, "mqtt.batch_topic, ack_topic: '' is not allowed"),
        ({**HUB, "tls": False}, "mqtt.tls: False is not allowed, expected true with service iot_hub"),
        ({**HUB, "version": "5"}, "mqtt.version: '5' is not allowed, expected auto or 3.1.1 with service iot_hub"),
        ({**HUB, "sas_key_file": ""}, "mqtt.sas_key_file, cert_file: one of them is required with service iot_hub"),
        ({**HUB, "username": "u"}, "mqtt.username: only with service broker"),
        ({**HUB, "batch_topic": "x"}, "mqtt.batch_topic: only with service broker"),
    ],
)
def test_each_invalid_setting_is_named_with_its_value_and_the_allowed_ones(
    values: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load(Config, {"uplink": "mqtt", "mqtt": {"host": "h", **values}})
    assert problem in str(raised.value)


def test_the_uplink_over_mqtt_needs_a_host_and_a_cloud_that_acknowledges() -> None:
    with pytest.raises(ConfigError) as raised:
        load(Config, {"uplink": "mqtt", "ack": "nucleus"})
    assert raised.value.problems == (
        "mqtt.host: '' is not allowed, expected a host name or address with uplink mqtt",
        "ack: 'nucleus' is not allowed, expected cloud with uplink mqtt",
    )
    with pytest.raises(ConfigError, match="mqtt: 'h' is not allowed, expected an object"):
        load(Config, {"mqtt": "h"})
    assert load(Config, {"mqtt": {"tls": "false", "port": "1883"}}).mqtt == MqttLinkSettings(tls=False, port=1883)


def test_the_table_in_the_readme_is_the_settings() -> None:
    readme = (Path(forwarder.__file__).parent / "README.md").read_text()
    shown = readme.partition("<!-- mqtt -->\n")[2].partition("<!-- /mqtt -->")[0]
    assert shown.strip() == table(MqttLinkSettings).strip()
