"""Delay and storm of alerts in the local cloud: from a gateway's report to the subscriber, through all functions.

    python benchmarks/alerts.py [--json] [--samples N] [--storm N] [--cloud-storm N]

*Delay*: a gateway publishes the report of an anomaly over MQTT when the window closes; the time until the alert arrives
on the gateway's MQTT topic at the site is measured, one alert after the other, after the functions have started.

*Storm*: the code of alerting, groups and notify in this process over tables in memory (benchmarks/alerts_storm.py).

*Storm in the local cloud* (``--cloud-storm``): the reports of all alerts are put into the urgent queue at once, as the
topic rule would, for ten gateways. A queue that is subscribed to the SNS topic receives every transition, and a webhook
the notifications, grouped by gateway. An alert that the queue did not receive, or that no notification counts, is lost.
"""

from __future__ import annotations

import argparse
import base64
import json
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import alerts_storm
from cloud_functions.core.configuration import CACHE_MS
from device_sim.aws.local import LocalCloud
from wire import codec, topics
from wire.model import Anomalies, Anomaly, Batch, Phase
from wire.topics import Lane

SAMPLES, STORM = 40, 10_000
GATEWAYS, REPORTS = 10, 25
"""Gateways of the storm, and reports in a batch."""
WARM, WATCH_S = 5, 20.0
DEADLINE_S = 3_600.0


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="alerts whose delay is measured")
    parser.add_argument("--storm", type=int, default=STORM, help="alerts of the storm, 0 for none")
    parser.add_argument("--cloud-storm", type=int, default=0, help="alerts of the storm in the local cloud")
    options = parser.parse_args()
    figures: dict[str, float] = alerts_storm.storm(options.storm) if options.storm else {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        cloud = stack.enter_context(LocalCloud.start(Path(folder), parameters={"WebhookLoopback": "on"}))
        figures |= delay(cloud, options.samples, stack)
        if options.cloud_storm:
            figures |= storm(cloud, options.cloud_storm, stack)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value:10.3f}" if isinstance(value, float) else f"{name:32} {value:10}")


def delay(cloud: LocalCloud, samples: int, stack: ExitStack) -> dict[str, float]:
    """Measure the time from a report at the close of its window to the subscriber at the site."""
    credentials = cloud.provision_gateway("gw-delay")
    arrived: queue.Queue[dict[str, Any]] = queue.Queue()
    ready = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="gw-delay")
    client.tls_set(str(credentials.ca), str(credentials.cert), str(credentials.key))
    client.on_connect = lambda client, *_: client.subscribe(topics.alerts("gw-delay"), 1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda client, data, message: arrived.put(json.loads(message.payload))
    client.connect(credentials.host, credentials.port)
    client.loop_start()
    stack.callback(client.loop_stop)
    stack.callback(client.disconnect)
    if not ready.wait(60):
        raise SystemExit("the gateway did not connect")
    times = []
    for at in range(WARM + samples):
        closed_ms = time.time_ns() // 1_000_000
        report = _report(f"pump/s{at}", closed_ms - 1_000, closed_ms)
        batch = codec.encode(Batch("gw-delay", 1, at + 1, Anomalies((report,))))
        client.publish(topics.ingest("gw-delay", Lane.URGENT), batch, qos=1)
        while arrived.get(timeout=120)["subject"] != report.series:
            pass
        times.append(time.time() - closed_ms / 1000)
    measured = sorted(times[WARM:])
    return {
        "fault_to_subscriber_p50_s": measured[len(measured) // 2],
        "fault_to_subscriber_p95_s": measured[min(len(measured) - 1, round(0.95 * len(measured)))],
    }


def storm(cloud: LocalCloud, number: int, stack: ExitStack) -> dict[str, float]:
    """Raise many alerts at once, and count what reaches a queue and a webhook."""
    counted = _Counted()
    server = ThreadingHTTPServer(("127.0.0.1", 0), counted.handler())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    url = f"http://127.0.0.1:{server.server_port}/"
    _put(cloud, "channels", "people", {"type": "webhook", "url": url})
    _put(cloud, "routes", "storm", {"channels": ["people"], "group_by": "gateway", "group_interval_s": 10})
    sqs, destination = cloud.client("sqs"), _subscribed_queue(cloud)
    # The functions that ran before keep routes and channels for this time.
    time.sleep(CACHE_MS / 1000 + 1)
    emulator = psutil.Process(cloud.pid)
    began, emulator_s = time.monotonic(), sum(emulator.cpu_times()[:2])
    for body in _bodies(number):
        sqs.send_message(QueueUrl=cloud.outputs["UrgentQueueUrl"], MessageBody=body)
    sent_s = time.monotonic() - began
    received: set[str] = set()
    watched_s = began

    def all_arrived() -> bool:
        nonlocal watched_s
        while found := sqs.receive_message(QueueUrl=destination, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                received.add(str(json.loads(message["Body"])["id"]))
                sqs.delete_message(QueueUrl=destination, ReceiptHandle=message["ReceiptHandle"])
        # Each run reads all open alerts: more often than its schedule does, but not all the time.
        if counted.alerts < number and time.monotonic() - watched_s >= WATCH_S:
            cloud.watch()
            watched_s = time.monotonic()
        return len(received) >= number and counted.alerts >= number

    _until(all_arrived)
    lost = max(number - len(received), number - counted.alerts, 0)
    return {
        "cloud_storm_alerts": number,
        "cloud_storm_received": len(received),
        "cloud_storm_notified": counted.alerts,
        "cloud_storm_lost": lost,
        "cloud_storm_notifications": counted.notifications,
        "cloud_storm_throttles": _metric(cloud, "throttles"),
        "cloud_storm_sent_s": sent_s,
        "cloud_storm_delivered_s": time.monotonic() - began,
        # The emulator of all services is one process: its CPU time is the least duration of the storm.
        "cloud_storm_emulator_cpu_s": sum(emulator.cpu_times()[:2]) - emulator_s,
    }


class _Counted:
    """Counts of the webhook: notifications, once each, and the alerts in them."""

    def __init__(self) -> None:
        self.notifications = self.alerts = 0
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Return the handler of the server."""
        counted = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                counted.add(event)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler

    def add(self, event: dict[str, Any]) -> None:
        """Count a notification that was not counted before."""
        with self._lock:
            if event["id"] not in self._seen:
                self._seen.add(event["id"])
                self.notifications += 1
                self.alerts += int(event["data"]["count"])


def _bodies(number: int) -> Iterator[str]:
    """Yield the messages of the topic rule for the reports of a storm."""
    now_ms = time.time_ns() // 1_000_000
    sequences = [0] * GATEWAYS
    for at in range(0, number, REPORTS):
        which = at // REPORTS % GATEWAYS
        gateway = f"gw-storm-{which}"
        sequences[which] += 1
        reports = tuple(
            _report(f"asset{one // 10}/s{one % 10}", now_ms - 1_000, now_ms)
            for one in range(at, min(at + REPORTS, number))
        )
        batch = codec.encode(Batch(gateway, 1, sequences[which], Anomalies(reports)))
        yield json.dumps(
            {
                "data": base64.b64encode(batch).decode(),
                "topic": f"strandline/v1/{gateway}/urgent",
                "client": gateway,
                "principal": "certificate",
                "received_at": now_ms,
            }
        )


def _report(series: str, onset_ms: int, time_ms: int) -> Anomaly:
    return Anomaly(series, Phase.ONSET, onset_ms, time_ms, 1.5, "spike", "up", 31.0, 20.0, unit="Cel")


def _subscribed_queue(cloud: LocalCloud) -> str:
    sqs, topic = cloud.client("sqs"), cloud.outputs["AlertsTopicArn"]
    url = str(sqs.create_queue(QueueName="storm")["QueueUrl"])
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow | {"Resource": arn}]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    cloud.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    return url


def _put(cloud: LocalCloud, kind: str, name: str, body: dict[str, Any]) -> None:
    status, answer = cloud.call_api("PUT", f"/v1/{kind}/{name}", body)
    if status not in (200, 201):
        raise SystemExit(f"{kind} {name}: {status}: {answer}")


def _metric(cloud: LocalCloud, name: str) -> int:
    """Return the sum of a metric over the logs of all functions."""
    logs, total = cloud.client("logs"), 0
    for group in logs.describe_log_groups()["logGroups"]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group["logGroupName"], filterPattern=f'"{name}"'
        )
        for event in (event for page in pages for event in page["events"]):
            line = event["message"].strip()
            if line.startswith('{"_aws"'):
                total += int(json.loads(line).get(name, 0))
    return total


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)


if __name__ == "__main__":
    main()
