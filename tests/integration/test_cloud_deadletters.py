"""Tests of invalid batches in the local cloud, and of the redrive of dead letters into the store."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from device_sim.aws.local import LocalCloud
from device_sim.aws.store import CloudStore
from strandline.dead_letters import queues
from tests.command_line import invoke
from tests.waiting import until
from wire import codec, topics
from wire.acknowledgement import Acknowledgement
from wire.model import Aggregates, Anomalies, Anomaly, Batch, Notice, Phase, Series
from wire.topics import Lane

START_MS = 1_750_000_000_000
PROGRAM = [sys.executable, "-c", "from strandline.cli import main; main()"]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LocalCloud]:
    with LocalCloud.start(tmp_path, parameters={"SilentAfterMs": "8000"}) as running:
        yield running


def aggregates(seed: int, rows: int = 30, start_ms: int = START_MS) -> Aggregates:
    rng = np.random.default_rng(seed)
    mean = rng.normal(20.0, 1.0, rows).round(2)
    return Aggregates(
        tuple(Series(f"pump{n}.temperature", "Cel", 0.01) for n in range(3)),
        np.arange(rows, dtype=np.int64) % 3,
        start_ms + seed * 10_000_000 + np.arange(rows, dtype=np.int64) // 3 * 10_000,
        np.full(rows, 10_000, np.int64),
        rng.integers(1, 11, rows),
        mean,
        mean - 0.5,
        mean + 0.5,
        rng.random(rows),
        rng.random(rows),
    )


class Uplink:
    """A gateway's MQTT connection that remembers what of an epoch was acknowledged."""

    def __init__(self, cloud: LocalCloud, name: str) -> None:
        given = cloud.provision_gateway(name)
        self.name, self.acks, self._ready = name, list[Acknowledgement](), threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
        self.client.tls_set(str(given.ca), str(given.cert), str(given.key))
        self.client.on_connect = self._subscribe
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = self._ack
        self._address = given.host, given.port

    @contextmanager
    def connected(self) -> Iterator[Uplink]:
        self.client.connect(*self._address)
        self.client.loop_start()
        try:
            assert self._ready.wait(60)
            yield self
        finally:
            self.client.disconnect()
            self.client.loop_stop()

    def publish(self, data: bytes, lane: Lane = Lane.BULK) -> None:
        self.client.publish(topics.ingest(self.name, lane), data, qos=1).wait_for_publish(10)

    def _subscribe(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(topics.ack(self.name))

    def _ack(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        self.acks.append(Acknowledgement.decode(bytes(message.payload)))

    def acknowledged(self, epoch: int, sequence: int) -> bool:
        return any(ack.epoch == epoch and ack.covers(sequence) for ack in list(self.acks))


class Command:
    """The command line, led to the local cloud as any AWS tool: by the environment."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.environment = os.environ | cloud.environment

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = invoke(arguments, env=self.environment)
        assert done.exit_code == code, done.stderr
        return done.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))


def envelope(cloud: LocalCloud, data: str, gateway: str, client: str, lane: str = "bulk") -> None:
    """Put into the queue what the topic rule would have put there."""
    text = {"data": data, "topic": f"strandline/v1/{gateway}/{lane}", "client": client, "principal": "x"}
    url = cloud.outputs["BulkQueueUrl"]
    body = json.dumps(text | {"received_at": time.time_ns() // 1_000_000})
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody=body)


@pytest.mark.slow
def test_an_invalid_batch_is_a_dead_letter_that_can_be_redriven_and_is_stored_once(
    cloud: LocalCloud,
) -> None:
    command, store, name = Command(cloud), CloudStore(cloud), "gw-1"
    good = [Batch(name, 7, sequence, aggregates(sequence)) for sequence in range(1, 21)]
    too_early = Batch(name, 7, 21, aggregates(21, start_ms=-20 * 10_000_000 - 15_000_000))
    renamed = Batch("gw-2", 9, 1, aggregates(22))
    with Uplink(cloud, name).connected() as uplink:
        for at, batch in enumerate(good):
            uplink.publish(codec.encode(batch), Lane.URGENT if at % 4 == 0 else Lane.BULK)
            if at == 5:
                whole = codec.encode(Batch(name, 7, 99, aggregates(30)))
                uplink.publish(whole[:-9] + b"flipped!!")
            if at == 10:
                envelope(cloud, "%%% no base64 %%%", name, name)
                uplink.publish(codec.encode(too_early))
            if at == 15:
                # Whole and storable, but from an MQTT client that is not named as its gateway is.
                envelope(cloud, base64.b64encode(codec.encode(renamed)).decode(), "gw-2", "a-bridge")
        until(
            lambda: all(uplink.acknowledged(7, n) for n in range(1, 22)),
            "the valid ones and the dead letter are acknowledged",
        )
    assert [receipt.sequence for receipt in store.batches(name)] == list(range(1, 21))
    assert len(store.aggregates(name)) == 20 * 30

    letters = until(lambda: _letters(command, 4), "the invalid batches are among the dead letters")
    by_reason = {letter["reason"]: letter for letter in letters}
    assert sorted(by_reason) == ["codec", "envelope", "gateway", "time"]
    assert {reason: letter["gateway"] for reason, letter in by_reason.items()} == {
        "codec": name,
        "envelope": "",
        "gateway": "gw-2",
        "time": name,
    }
    assert "is not in 0 to" in by_reason["time"]["detail"]
    assert by_reason["gateway"]["client"] == "a-bridge"
    # Listing has no effect: the next listing shows all of them again.
    assert {letter["id"] for letter in _letters(command, 4) or []} == {letter["id"] for letter in letters}
    assert len(command("deadletters", "list").splitlines()) == 5

    shown = command.json("deadletters", "show", by_reason["time"]["id"][:8])
    assert (shown["batch"]["sequence"], len(shown["rows"]), shown["problem"]) == (21, 30, "")
    broken = command("deadletters", "show", by_reason["codec"]["id"])
    assert "ChecksumError" in broken
    dumped = "".join(re.findall(r"(?m)^[0-9a-f]{8}  ((?:[0-9a-f]{2} ?)+)", broken)).replace(" ", "")
    assert b"flipped".hex() in dumped
    foreign = command("deadletters", "show", by_reason["envelope"]["id"])
    assert "Only base64 data is allowed" in foreign
    assert '{"data": "%%% no' in foreign

    _, figures = cloud.call_api("GET", f"/v1/gateways/{name}")
    assert (figures["rejected"], figures["epochs"][0]["missing"]) == ({"codec": 1, "time": 1}, [])
    assert _gateway(command, "gw-2")["rejected"] == {"gateway": 1}

    # Now bridges are allowed: one of the letters has become storable, the others have not.
    _set_environment(cloud, CLIENT_CHECK="off")
    outcomes = command.json("deadletters", "redrive", "--all")
    assert [(outcome["sent"], outcome["problem"]) for outcome in outcomes] == [(True, "")] * 4
    until(lambda: len(store.batches("gw-2")) == 1, "it is stored")
    again = until(lambda: _letters(command, 3), "the others are dead letters again")
    assert Counter(letter["reason"] for letter in again) == {"codec": 1, "envelope": 1, "time": 1}
    assert not {letter["id"] for letter in again} & {letter["id"] for letter in letters}
    assert len(store.aggregates("gw-2")) == 30
    assert _gateway(command, "gw-2")["batches"] == 1

    # As if a redrive had been interrupted between send and delete.
    envelope(cloud, base64.b64encode(codec.encode(renamed)).decode(), "gw-2", "a-bridge")
    until(lambda: store.about("gw-2").get("duplicates") == 1, "it came a second time")
    assert len(store.aggregates("gw-2")) == 30
    assert len(store.batches("gw-2")) == 1


def _letters(command: Command, wanted: int) -> list[dict[str, Any]] | None:
    found: list[dict[str, Any]] = command.json("deadletters", "list")["letters"]
    return found if len(found) >= wanted else None


def _gateway(command: Command, name: str) -> dict[str, Any]:
    return dict(command.json("gateways", name))


def _set_environment(cloud: LocalCloud, **changes: str) -> None:
    functions, name = cloud.client("lambda"), cloud.outputs["IngestFunctionName"]
    now = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": now | changes})
    # The event sources invoke the alias, which stays at its version until it is moved, as a deployment does.
    version = functions.publish_version(FunctionName=name)["Version"]
    functions.update_alias(FunctionName=name, Name="live", FunctionVersion=version)


@pytest.mark.slow
def test_messages_that_ingest_failed_on_are_redriven_after_its_recovery(cloud: LocalCloud) -> None:
    command, store = Command(cloud), CloudStore(cloud)
    working = cloud.outputs["TelemetryTableName"]
    _set_environment(cloud, TELEMETRY_TABLE="nowhere")
    for _, url in queues(cloud).values():
        cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
    data = base64.b64encode(codec.encode(Batch("gw-1", 7, 1, aggregates(1)))).decode()
    envelope(cloud, data, "gw-1", "gw-1")
    (letter,) = until(lambda: _letters(command, 1), "the queue stopped retrying", 120)
    assert (letter["reason"], letter["queue"], letter["gateway"]) == ("failed", "ingest", "gw-1")
    _set_environment(cloud, TELEMETRY_TABLE=working)
    command("deadletters", "redrive", letter["id"])
    until(lambda: len(store.batches("gw-1")) == 1, "it is stored")
    assert command.json("deadletters", "list") == {"letters": [], "more": False}
    assert "0 dead letters have an id" in _output(cloud, "deadletters", "redrive", letter["id"])


def _output(cloud: LocalCloud, *arguments: str) -> str:
    done = subprocess.run(
        [*PROGRAM, *arguments], env=Command(cloud).environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    return done.stderr


@pytest.mark.slow
def test_a_batch_of_a_failed_rule_action_is_shown_and_redriven(cloud: LocalCloud) -> None:
    command, store = Command(cloud), CloudStore(cloud)
    iot = cloud.client("iot")
    rule = iot.get_topic_rule(ruleName="strandline_bulk")["rule"]
    payload = {name: rule[name] for name in ("sql", "actions", "errorAction", "awsIotSqlVersion", "ruleDisabled")}
    payload["actions"][0]["sqs"]["queueUrl"] += "-that-is-not-there"
    iot.replace_topic_rule(ruleName="strandline_bulk", topicRulePayload=payload)
    with Uplink(cloud, "gw-1").connected() as uplink:
        uplink.publish(codec.encode(Batch("gw-1", 7, 1, aggregates(1))))
        (letter,) = until(lambda: _letters(command, 1), "the rule's failure is a dead letter")
        assert (letter["reason"], letter["queue"], letter["gateway"]) == ("rule", "rules", "gw-1")
        assert letter["detail"].startswith("SqsAction ")
        assert command.json("deadletters", "show", letter["id"])["batch"]["sequence"] == 1
        command("deadletters", "redrive", "--all")
        until(lambda: uplink.acknowledged(7, 1), "it is acknowledged")
    assert [receipt.rows for receipt in store.batches("gw-1")] == [30]


def test_gaps_losses_and_silence_show_in_the_api_and_on_the_command_line(cloud: LocalCloud) -> None:
    command, name = Command(cloud), "gw-gaps"
    counters = {"Spool": {"dropped_rows_bulk": 12, "rows_merged": 4}, "Forwarder": {"batches_sent": 9}}
    with Uplink(cloud, name).connected() as uplink:
        for sequence in (1, 2, 5, 9):
            uplink.publish(codec.encode(Batch(name, 7, sequence, aggregates(sequence))))
        uplink.publish(codec.encode(Batch(name, 8, 1, Notice(START_MS, counters))))
        until(lambda: uplink.acknowledged(7, 9) and uplink.acknowledged(8, 1), "all are acknowledged")
        figures = until(lambda: _counted(cloud, name, 5), "all are counted")
        first, second = figures["epochs"]
        assert (first["epoch"], first["cumulative"], first["highest"]) == (f"{7:016x}", 2, 9)
        assert (first["missing"], first["missing_count"]) == ([[3, 4], [6, 8]], 5)
        assert figures["first_seen_ms"] <= first["gap_since_ms"] <= time.time() * 1000
        assert (second["missing_count"], second["gap_since_ms"]) == (0, None)
        assert (figures["losses"], figures["merged"], figures["silent"]) == ({"Spool.dropped_rows_bulk": 12}, 4, False)
        # The silence depends on the time of the request, so both are read until they are of the same state.
        until(lambda: _gateway(command, name) == _counted(cloud, name, 5), "the command shows what the API shows")
        assert "missing   5: 3-4, 6-8; the lowest since 2" in command("gateways", name)
        assert "12 Spool.dropped_rows_bulk" in command("gateways", name)
        for sequence in (3, 4, 6, 7, 8):
            uplink.publish(codec.encode(Batch(name, 7, sequence, aggregates(sequence))))
        until(lambda: uplink.acknowledged(7, 8), "the gaps are filled")
    figures = until(lambda: _counted(cloud, name, 10), "all are counted")
    assert [epoch["missing"] for epoch in figures["epochs"]] == [[], []]
    until(lambda: _silent(command), "it is silent")


def _counted(cloud: LocalCloud, name: str, batches: int) -> dict[str, Any] | None:
    _, figures = cloud.call_api("GET", f"/v1/gateways/{name}")
    return dict(figures) if figures["batches"] == batches else None


def _silent(command: Command) -> bool:
    return "Z silent" in command("gateways")


@pytest.mark.slow
def test_a_report_that_alerting_failed_on_becomes_an_alert_after_a_replay(cloud: LocalCloud) -> None:
    command, store = Command(cloud), CloudStore(cloud)
    report = Anomaly("pump0.temperature", Phase.ONSET, START_MS, START_MS + 10_000, 2.5, "spike")
    data = base64.b64encode(codec.encode(Batch("gw-1", 7, 1, Anomalies((report,))))).decode()
    envelope(cloud, data, "gw-1", "gw-1")
    until(lambda: store.alerts("gw-1"), "the alert exists")
    streams, telemetry = cloud.client("dynamodbstreams"), cloud.outputs["TelemetryTableName"]
    (stream,) = streams.list_streams(TableName=telemetry)["Streams"]
    (shard,) = streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]
    at = {"StreamArn": stream["StreamArn"], "ShardId": shard["ShardId"]}
    iterator = streams.get_shard_iterator(**at, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    numbers = [one["dynamodb"]["SequenceNumber"] for one in streams.get_records(ShardIterator=iterator)["Records"]]
    table = cloud.client("dynamodb")
    for item in table.scan(TableName=cloud.outputs["AlertsTableName"])["Items"]:
        key = {"pk": item["pk"], "sk": item["sk"]}
        table.delete_item(TableName=cloud.outputs["AlertsTableName"], Key=key)
    assert store.alerts("gw-1") == []
    for first in (numbers[0], "0" * 21):
        stretch = {
            "shardId": shard["ShardId"],
            "streamArn": stream["StreamArn"],
            "startSequenceNumber": first,
            "endSequenceNumber": numbers[-1],
            "batchSize": len(numbers),
        }
        letter = {"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": stretch}
        url = cloud.outputs["AlertingDeadLettersUrl"]
        cloud.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(letter))
    assert {letter["reason"] for letter in _letters(command, 2) or ()} == {"stream"}
    assert "streams keep 24 hours" in _output(cloud, "deadletters", "redrive", "--all")
    until(lambda: len(store.alerts("gw-1")) == 1, "the alert exists again")
    assert len(_letters(command, 1) or ()) == 1, "what the stream has forgotten stays"
