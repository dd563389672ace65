"""Check of a broker: that it answers, the version of the protocol, and its limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge_components.common.config import load
from edge_components.sensor_reader.errors import SensorReaderError
from edge_components.sensor_reader.mqtt.settings import MqttSettings
from strandline.doctor.findings import Finding, Level

ANSWER_S = 5.0
GOOD_INFLIGHT = 100
"""A broker with a smaller in-flight window limits the readings/s and causes more writes to the disk."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a connection: ``failure`` is empty if it was accepted; ``properties`` are those of MQTT 5."""

    version: str
    failure: str
    properties: Mapping[str, int]


def check_broker(address: str, answers: Iterator[Answer]) -> Iterator[Finding]:
    """Return the findings about a broker; ``answers`` are those to attempts with MQTT 5 and then 3.1.1."""
    failures = []
    for answer in answers:
        if answer.failure:
            failures.append(f"MQTT {answer.version}: {answer.failure}")
            continue
        yield Finding("broker", Level.OK, f"{address} answers with MQTT {answer.version}")
        if answer.version != "5":
            yield Finding(
                "broker limits",
                Level.WARNING,
                f"no MQTT 5 ({'; '.join(failures)}): its limits cannot be read, and the gateway cannot ask for a "
                "larger in-flight window",
                "for mosquitto: max_inflight_messages 200 in its configuration, or a broker with MQTT 5",
            )
            return
        yield from _limits(answer.properties)
        return
    host, _, port = address.rpartition(":")
    refused = any("refuse" in failure.lower() or "author" in failure.lower() for failure in failures)
    mend = (
        "check --user and STRANDLINE_BROKER_PASSWORD" if refused else f"mosquitto_sub -h {host} -p {port} -t '#' -C 1"
    )
    yield Finding("broker", Level.ERROR, f"{address}: {'; '.join(failures)}", mend)


def _limits(properties: Mapping[str, int]) -> Iterator[Finding]:
    inflight = properties.get("ReceiveMaximum", 65_535)
    if inflight < GOOD_INFLIGHT:
        yield Finding(
            "broker in-flight",
            Level.WARNING,
            f"in-flight window of {inflight} messages, which limits readings/s and makes the gateway commit more often",
            "for mosquitto: max_inflight_messages 200 in its configuration, then sudo systemctl restart mosquitto",
        )
    else:
        yield Finding("broker in-flight", Level.OK, f"in-flight window of {inflight} messages")
    if properties.get("MaximumQoS", 2) < 1:
        yield Finding("broker QoS", Level.ERROR, "no QoS 1: readings can be lost", "use a broker with QoS 1")
    packet = properties.get("MaximumPacketSize")
    if packet is not None and packet < 16_384:
        text = f"packets of at most {packet} bytes"
        yield Finding("broker packets", Level.WARNING, text, "for mosquitto: max_packet_size in its configuration")
    yield Finding(
        "broker queue",
        Level.INFO,
        "a broker does not report how many messages it queues for a gateway that is away; mosquitto queues 1,000",
        "for mosquitto: max_queued_messages 100000 and persistence true",
    )


def connect(keys: Mapping[str, Any], password: str | None) -> Iterator[Answer]:
    """Attempt connections with MQTT 5 and 3.1.1; the caller stops when one succeeds. A session leaves nothing."""
    settings = load(MqttSettings, keys)
    for version in ("5", "3.1.1"):
        try:
            yield _connect(settings, password, version)
        except (OSError, SensorReaderError) as error:
            yield Answer(version, str(error), {})


def _connect(settings: MqttSettings, password: str | None, version: str) -> Answer:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    protocol = MQTTProtocolVersion.MQTTv5 if version == "5" else MQTTProtocolVersion.MQTTv311
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
    answered = threading.Event()
    found: list[Answer] = []

    def on_connect(_client: object, _data: object, _flags: object, reason: Any, properties: Any) -> None:
        values = properties.json() if properties is not None else {}
        found.append(Answer(version, str(reason) if reason.is_failure else "", values))
        answered.set()

    client.on_connect = on_connect
    client.connect_timeout = ANSWER_S
    if settings.username:
        client.username_pw_set(settings.username, password)
    if (context := settings.credential_files.load().context) is not None:
        client.tls_set_context(context)
    client.connect(settings.host, settings.port)
    client.loop_start()
    answered.wait(ANSWER_S)
    client.disconnect()
    client.loop_stop()
    return found[0] if found else Answer(version, f"no answer within {ANSWER_S:.0f} s", {})
