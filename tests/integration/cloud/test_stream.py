"""Batches of a gateway through a Kinesis stream in the place of the bulk queue, from MQTT to the stored rows.

The emulator's mapping repeats a batch whose invocation fails, and ignores failed records that the function names; the
model of device_sim/aws/stream.py, with which tests/unit/cloud/test_stream.py runs ingest, repeats them as AWS does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from device_sim.aws.local import LocalCloud
from edge_components.common.version import VERSION
from tests.unit.cloud.fakes import aggregates
from wire import codec, topics
from wire.acknowledgement import Acknowledgement
from wire.model import Batch, Notice
from wire.topics import Lane

GATEWAY = "gw-stream"
BATCHES = 5


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    parameters = {"KinesisMode": "PROVISIONED", "KinesisShards": "2"}
    with LocalCloud.start(tmp_path_factory.mktemp("stream"), parameters=parameters) as running:
        yield running


def test_batches_of_a_gateway_pass_the_stream_in_order_and_are_stored_and_acknowledged(cloud: LocalCloud) -> None:
    credentials = cloud.provision_gateway(GATEWAY)
    acknowledged: list[Acknowledgement] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=GATEWAY)
    client.tls_set(str(credentials.ca), str(credentials.cert), str(credentials.key))
    client.on_connect = lambda client, *_: client.subscribe(topics.ack(GATEWAY), 1)
    client.on_subscribe = lambda client, *_: _publish(client)
    client.on_message = lambda _client, _data, message: acknowledged.append(
        Acknowledgement.decode(bytes(message.payload))
    )
    client.connect(credentials.host, credentials.port)
    client.loop_start()
    try:
        deadline = time.monotonic() + 60
        while not any(one.covers(BATCHES + 1) for one in acknowledged) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        client.disconnect()
        client.loop_stop()
    assert any(one.covers(BATCHES + 1) for one in acknowledged)
    status, gateway = cloud.call_api("GET", f"/v1/gateways/{GATEWAY}")
    assert (status, gateway["batches"], gateway["duplicates"]) == (200, BATCHES + 1, 0)
    assert gateway["rows"] == sum(len(_rows(at)) for at in range(BATCHES)) + 1  # the notice
    assert (gateway["health"]["version"], gateway["health"]["versions"]) == (VERSION, {"Forwarder": VERSION})
    # The topic rule put them into the stream, and no message into the queue.
    assert _sent(cloud) == 0
    shards = cloud.client("kinesis").list_shards(StreamName=_stream(cloud))["Shards"]
    assert len(shards) == 2


def _publish(client: mqtt.Client) -> None:
    for at in range(BATCHES):
        batch = codec.encode(Batch(GATEWAY, 1, at + 1, _rows(at)))
        client.publish(topics.ingest(GATEWAY, Lane.BULK), batch, qos=1)
    notice = Notice(time.time_ns() // 1_000_000, {"Forwarder": {"batches_formed": BATCHES}}, {"Forwarder": VERSION})
    client.publish(topics.ingest(GATEWAY, Lane.BULK), codec.encode(Batch(GATEWAY, 1, BATCHES + 1, notice)), qos=1)


def _rows(at: int) -> Any:
    return aggregates(4 + at)


def _stream(cloud: LocalCloud) -> str:
    (name,) = cloud.client("kinesis").list_streams()["StreamNames"]
    return str(name)


def _sent(cloud: LocalCloud) -> int:
    """Return the number of messages that are in the bulk queue."""
    url = cloud.outputs["BulkQueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(json.loads(value)) for value in found.values())
