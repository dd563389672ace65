"""Test of the path through Google's services: forwarder, broker, push requests, function, Bigtable, acknowledgement."""

from __future__ import annotations

import base64
import json
import logging
import queue
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import functions_framework
import paho.mqtt.client as paho
import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from paho.mqtt.enums import CallbackAPIVersion

from cloud_functions.adapters.functions import Options
from cloud_functions.adapters.google import application
from cloud_functions.adapters.google.application import Services, Topics
from cloud_functions.adapters.google.bigtable import Bigtable
from cloud_functions.adapters.google.channels import Destinations
from cloud_functions.adapters.google.handlers import Handlers
from cloud_functions.adapters.google.mqtt import BrokerSettings, MqttBroker
from cloud_functions.adapters.google.pubsub import Publisher
from cloud_functions.adapters.google.tokens import PushVerifier
from cloud_functions.clock import now_ms
from cloud_functions.core import keys
from cloud_functions.core.batch_rows import rows_of
from cloud_functions.core.batches import StoredBatch
from cloud_functions.core.channels import ChannelType
from cloud_functions.core.documents import Documents
from cloud_functions.core.ports import Key, NowMs
from device_sim.chaos.proxy import Network
from device_sim.google import bigtable
from device_sim.google.bigtable import INSTANCE, PROJECT, BigtableEmulator
from device_sim.google.bridge import Bridge
from device_sim.google.pubsub import LocalPubSub
from device_sim.google.push import Envelope, TokenIssuer
from device_sim.google.storage import CloudStorageEmulator
from device_sim.paths import SOURCE_TREE
from device_sim.simulation.sensor_broker import find_mosquitto
from edge_components.common.delivery import PublishBackoff
from edge_components.forwarder.cloud_link import session
from tests.integration.forwarder.test_mqtt_link import GATEWAY, QUICK, Gateway, aggregates, cutting
from tests.integration.test_mqtt_source import mosquitto
from tests.unit.cloud.fakes import report
from tests.waiting import until
from wire import codec, topics
from wire.model import Anomalies, Batch

AUDIENCE, ACCOUNT = "https://ingest.example", "push@project.iam.gserviceaccount.com"
ISSUER = "https://securetoken.google.com/local"
FUNCTIONS = ("ingest", "alerting", "notify", "watch", "compact", "api")
TOPICS = ("changes", "dead-letters", "alerts", "events", *(f"channel-{kind}" for kind in ChannelType))
TABLE, ALERTS, BUCKET = "telemetry", "alerts", "archive"

pytestmark = [
    pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"),
    pytest.mark.skipif(bigtable.find_emulator() is None, reason=bigtable.HELP),
    pytest.mark.filterwarnings("ignore:Connecting to Bigtable emulator:RuntimeWarning"),
]


class Google:
    """The function in the framework, with its settings, over a broker and the emulator of Bigtable."""

    def __init__(self, root: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.issuer = TokenIssuer(AUDIENCE, ACCOUNT)
        self.port = stack.enter_context(mosquitto(root / "broker", "allow_anonymous true"))
        self._emulator = stack.enter_context(BigtableEmulator())
        for name in (TABLE, ALERTS):
            self._emulator.create_table(name)
        self.table, self.alerts = Bigtable(self._emulator.table(TABLE)), Bigtable(self._emulator.table(ALERTS))
        self.pubsub = LocalPubSub(PROJECT, TOPICS)
        files = stack.enter_context(CloudStorageEmulator())
        files.create_bucket(BUCKET)
        self.bucket = f"{files.url}/storage/v1/b/{BUCKET}/o"
        settings = {
            "STORAGE_EMULATOR_HOST": files.url,
            "PROJECT": PROJECT,
            "BIGTABLE_INSTANCE": INSTANCE,
            "BIGTABLE_EMULATOR_HOST": self._emulator.address,
            "TELEMETRY_TABLE": TABLE,
            "ALERTS_TABLE": ALERTS,
            "ARCHIVE_BUCKET": BUCKET,
            "CHANGES_TOPIC": "changes",
            "CHANNEL_TOPICS": "channel-",
            "ALERTS_TOPIC": "alerts",
            "EVENTS_TOPIC": "events",
            "API_ISSUER": ISSUER,
            "API_AUDIENCE": PROJECT,
            "DEAD_LETTERS_TOPIC": "dead-letters",
            "PUSH_AUDIENCE": AUDIENCE,
            "PUSH_SERVICE_ACCOUNT": ACCOUNT,
            "MQTT_HOST": "127.0.0.1",
            "MQTT_PORT": str(self.port),
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("google.auth.default", lambda **_: (AnonymousCredentials(), PROJECT))
        monkeypatch.setattr(requests, "get", self._certificates)
        self._request = AuthorizedSession.request
        monkeypatch.setattr(AuthorizedSession, "request", lambda *given, **more: self._send(*given, **more))
        source = SOURCE_TREE / "cloud_functions" / "google" / "main.py"
        self.functions = {name: functions_framework.create_app(name, str(source)).test_client() for name in FUNCTIONS}

    def stored(self) -> list[StoredBatch]:
        """Return the stored batches of the gateway."""
        return [StoredBatch.of(item) for item in self.table.query(keys.batch(GATEWAY, 0, 1).pk)]

    def _certificates(self, _url: str, timeout: float) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer._content = 200, json.dumps(self.issuer.certificates).encode()
        return answer

    def _send(self, session: AuthorizedSession, method: str, url: str, data: Any = None, **more: Any) -> Any:
        """Answer the requests of Pub/Sub in the place of the service, and send all others."""
        if "pubsub.googleapis.com" not in url:
            return self._request(session, method, url, data=data, **more)
        answer = requests.Response()
        answer.status_code, text = self.pubsub.post(urlsplit(url).path, json.loads(data))
        answer._content = text.encode()
        return answer

    def handlers(self, clock: NowMs) -> Handlers:
        """Return handlers with another clock."""
        client = storage.Client(PROJECT, credentials=AnonymousCredentials())
        services = Services(
            telemetry=self._emulator.table(TABLE),
            alerts=self._emulator.table(ALERTS),
            archive=client.bucket(BUCKET),
            publisher=Publisher(PROJECT, self.pubsub.post),
            broker=MqttBroker(BrokerSettings("127.0.0.1", self.port, "later")),
            secret=str,
        )
        channels = {str(kind): f"channel-{kind}" for kind in ChannelType}
        names = Topics("changes", "dead-letters", channels, Destinations("alerts", "events"))
        verifier = PushVerifier(lambda: self.issuer.certificates, AUDIENCE, ACCOUNT, clock)
        return application.handlers(services, names, verifier, Options(), clock, logging.getLogger("test"))

    def push(self, headers: dict[str, str], content: bytes) -> int:
        return int(self.functions["ingest"].post("/", headers=headers, data=content).status_code)

    def send(self, batch: Batch, lane: str = "bulk") -> None:
        """Push a batch as the bridge does."""
        envelope = Envelope("1", (codec.encode(batch), {"topic": topics.published(batch.gateway, lane)}))
        assert self.push(self.issuer.headers(), envelope.content("ingest")) == 204

    def process_changes(self) -> int:
        """Push the messages of the topic of changes; return their number."""
        found = self.pubsub.take("changes")
        for message in found:
            content = Envelope("1", message).content("changes")
            answer = self.functions["alerting"].post("/", headers=self.issuer.headers(), data=content)
            assert answer.status_code == 204
        return len(found)

    def deliver(self, channel: str) -> list[int]:
        """Push the messages in the queue of a type of channel; return the status of each."""
        contents = [Envelope("1", message).content("channel") for message in self.pubsub.take(f"channel-{channel}")]
        client, headers = self.functions["notify"], self.issuer.headers()
        return [client.post("/", headers=headers, data=content).status_code for content in contents]

    def call(self, role: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request of a person with a role to the API; return status and JSON of the answer."""
        token = self.issuer.token(iss=ISSUER, aud=PROJECT, email="ada@example.com", role=role)
        headers = {"Authorization": f"Bearer {token}"}
        answer = self.functions["api"].open(path, method=method, headers=headers, json=body)
        return answer.status_code, answer.get_json(force=True)

    def timer(self, name: str) -> int:
        """Call a function as the scheduler does; return the status."""
        return int(self.functions[name].post("/", headers=self.issuer.headers()).status_code)

    def events(self, channel: str) -> list[dict[str, Any]]:
        """Return the events in the queue of a type of channel."""
        return [json.loads(data)["event"] for data, _ in self.pubsub.take(f"channel-{channel}")]


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    with ExitStack() as stack:
        yield Google(tmp_path, stack, monkeypatch)


def test_every_row_is_stored_once_over_cuts_and_repeated_messages(
    tmp_path: Path, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RETRY", QUICK)
    monkeypatch.setattr(PublishBackoff, "_POLICY", QUICK)
    expected: Counter[tuple[str, int]] = Counter()
    with Network() as network, Bridge(google.port, google.push, google.issuer, repeat=0.3) as bridge:
        line = network.proxy("127.0.0.1", google.port)
        gateway = Gateway(tmp_path, 1, port=line.port)
        try:
            with cutting(line, seed=5) as counts:
                for sequence in range(1, 9):
                    offered = aggregates(100, 100 * sequence)
                    names = [offered.series[at].name for at in offered.series_index]
                    expected.update(zip(names, offered.start_ms.tolist(), strict=True))
                    gateway.offer(sequence, offered)
                    gateway.await_stored(sequence)
                until(lambda: counts["cuts"] >= 4, "four cuts", 30)
            until(lambda: gateway.waiting() == 0, lambda: (gateway.counters.snapshot(), bridge.refused), 60)
        finally:
            gateway.stop()
    stored: Counter[tuple[str, int]] = Counter()
    for batch in google.stored():
        rows = rows_of(batch, lambda *_: None)
        stored.update(zip([rows.series[at].name for at in rows.series_index], rows.start_ms.tolist(), strict=True))
    assert stored == expected
    assert bridge.delivered > len(google.stored())
    about = google.table.get(keys.gateway(GATEWAY))
    assert about is not None


def test_a_request_without_the_token_of_the_subscription_stores_nothing(google: Google) -> None:
    batch = codec.encode(Batch(GATEWAY, 1, 1, aggregates(4, 0)))
    attributes = {"topic": topics.published(GATEWAY, "bulk")}
    message = {"data": base64.b64encode(batch).decode(), "attributes": attributes, "messageId": "1"}
    content = json.dumps({"message": message, "subscription": "s"}).encode()
    other = google.issuer.token(email="stranger@project.iam.gserviceaccount.com")
    assert google.push({}, content) == 401
    assert google.push({"Authorization": f"Bearer {other}"}, content) == 401
    assert google.stored() == []
    valid = {"Authorization": f"Bearer {google.issuer.token()}"}
    assert google.push(valid, b"{}") == 400
    assert google.push(valid, content) == 204
    assert google.push(valid, content) == 204
    assert [batch.sequence for batch in google.stored()] == [1]


def test_a_report_becomes_an_alert_whose_event_is_published_once(google: Google) -> None:
    reports = Batch(GATEWAY, 1, 1, Anomalies((report(),)))
    google.send(reports, "urgent")
    assert google.process_changes() == 1
    assert [item["state"] for item in google.alerts.query(GATEWAY)] == ["firing"]
    # The alert's own change; a repeated message, or a repeated batch, finds no other one.
    assert google.process_changes() == 1
    (event,) = google.events("mqtt")
    assert "firing" in str(event["type"])
    google.send(reports, "urgent")
    while google.process_changes():
        pass
    assert google.timer("watch") == 204
    assert google.events("mqtt") == []
    assert google.pubsub.take("dead-letters") == []


def test_the_timer_processes_changes_of_which_no_message_arrived(google: Google) -> None:
    google.send(Batch(GATEWAY, 1, 1, Anomalies((report(),))), "urgent")
    for _ in range(2):
        google.pubsub.take("changes")
        assert google.timer("watch") == 204
    assert [item["state"] for item in google.alerts.query(GATEWAY)] == ["firing"]
    assert len(google.events("mqtt")) == 1


def test_the_timer_finds_a_silent_gateway(google: Google) -> None:
    google.send(Batch(GATEWAY, 1, 1, aggregates(4, 0)))
    rule = {"condition": {"type": "silence", "after_s": 120}}
    Documents(google.alerts, "rules", now_ms).put("away", rule, "Ada")
    assert google.timer("watch") == 204
    assert list(google.alerts.query(GATEWAY)) == []
    later = google.handlers(lambda: now_ms() + 180_000)
    for _ in range(2):
        assert later.watch(google.issuer.headers()) == ("", 204)
    assert [item["state"] for item in google.alerts.query(GATEWAY)] == ["firing"]
    (event,) = google.events("mqtt")
    assert "firing" in str(event["type"])


def test_alerting_and_the_timer_need_a_token(google: Google) -> None:
    assert google.timer("compact") == 204
    for name in ("alerting", "notify", "watch", "compact"):
        assert google.functions[name].post("/").status_code == 401
    valid = google.issuer.headers()
    assert google.functions["alerting"].post("/", headers=valid, data=b"{}").status_code == 400
    unknown = Envelope("1", (b'{"table": "other", "pk": "x"}', {})).content("changes")
    assert google.functions["alerting"].post("/", headers=valid, data=unknown).status_code == 503


def test_ended_hours_are_compacted_into_files_of_the_archive(google: Google) -> None:
    google.send(Batch(GATEWAY, 1, 1, aggregates(4, 0)))
    assert google.timer("compact") == 204
    with urllib.request.urlopen(google.bucket, timeout=10) as answer:  # noqa: S310 # loopback
        names = [one["name"] for one in json.load(answer)["items"]]
    assert names == ["rows/date=2023-11-14/22-0000.parquet"]


def test_deliveries_reach_the_broker_and_the_topics_and_others_are_repeated(google: Google) -> None:
    arrived: queue.SimpleQueue[paho.MQTTMessage] = queue.SimpleQueue()
    subscribed = threading.Event()
    site = paho.Client(CallbackAPIVersion.VERSION2, client_id="site", protocol=paho.MQTTv5)
    site.on_subscribe = lambda *_: subscribed.set()
    site.on_message = lambda _client, _data, message: arrived.put(message)
    site.connect("127.0.0.1", google.port)
    site.subscribe(topics.alerts(GATEWAY), 1)
    site.loop_start()
    assert subscribed.wait(30)
    Documents(google.alerts, "channels", now_ms).put("mail", {"type": "email", "to": ["ada@example.com"]}, "Ada")
    Documents(google.alerts, "channels", now_ms).put(
        "other", {"type": "sns", "topic": "arn:aws:sns:x:123456789012:t"}, ""
    )
    names = ["default-sns", "default-eventbridge", "default-mqtt", "mail", "other"]
    Documents(google.alerts, "routes", now_ms).put("all", {"channels": names, "group_wait_s": 0}, "Ada")
    google.send(Batch(GATEWAY, 1, 1, Anomalies((report(),))), "urgent")
    while google.process_changes():
        pass
    assert google.timer("watch") == 204
    assert google.deliver("mqtt") == [204]
    assert google.deliver("eventbridge") == [204]
    assert sorted(google.deliver("sns")) == [204, 503]
    assert google.deliver("email") == [503]
    alert = arrived.get(timeout=30)
    site.disconnect()
    site.loop_stop()
    (published,) = google.pubsub.take("events")
    assert json.loads(published[0]) == json.loads(alert.payload)
    assert published[1]["gateway"] == GATEWAY
    assert published[1]["channel"] == "default-eventbridge"
    assert len(google.pubsub.take("alerts")) == 1


def test_the_api_answers_people_by_the_role_in_their_token(google: Google) -> None:
    google.send(Batch(GATEWAY, 1, 1, aggregates(4, 0)))
    status, body = google.call("viewer", "GET", "/v1/gateways")
    assert status == 200
    assert GATEWAY in json.dumps(body)
    series = google.call("viewer", "GET", f"/v1/gateways/{GATEWAY}/series")[1]
    assert [one["series"] for one in series["items"]] == ["pump-1.pressure", "pump-1.temperature"]
    rule = {"condition": {"type": "silence", "after_s": 120}}
    assert google.call("viewer", "PUT", "/v1/rules/away", rule)[0] == 403
    assert google.call("operator", "PUT", "/v1/rules/away", rule)[0] in (200, 201)
    assert Documents(google.alerts, "rules", now_ms).get("away") is not None
    assert google.call("none", "GET", "/v1/gateways")[0] == 403
    assert google.functions["api"].get("/v1/gateways").status_code == 401
    stranger = {"Authorization": f"Bearer {google.issuer.token()}"}
    assert google.functions["api"].get("/v1/gateways", headers=stranger).status_code == 401


def test_an_alert_is_acknowledged_through_the_api_and_the_transition_is_published(google: Google) -> None:
    google.send(Batch(GATEWAY, 1, 1, Anomalies((report(),))), "urgent")
    while google.process_changes():
        pass
    google.pubsub.take("channel-mqtt")
    (alert,) = google.call("viewer", "GET", "/v1/alerts")[1]["items"]
    status, body = google.call("operator", "POST", f"/v1/alerts/{alert['id']}/acknowledge", {"comment": "seen"})
    assert (status, body["state"]) == (200, "acknowledged")
    assert google.process_changes() == 1
    (event,) = google.events("mqtt")
    assert "acknowledged" in event["type"]


def test_the_api_forecasts_and_reads_rows_that_only_the_archive_has(google: Google) -> None:
    google.send(Batch(GATEWAY, 1, 1, aggregates(4, 0)))
    assert google.timer("compact") == 204
    series, start_ms = "pump-1.temperature", 1_700_000_000_000
    path = f"/v1/gateways/{GATEWAY}"
    times = f"series={series}&from={start_ms}&to={start_ms + 3_600_000}"
    partitions = (keys.batch(GATEWAY, 0, 1).pk, keys.rollup(GATEWAY, 0).pk)
    expired = [item for pk in partitions for item in google.table.query(pk)]
    assert len(expired) == 2
    google.table.remove(Key(str(item["pk"]), str(item["sk"])) for item in expired)
    status, rows = google.call("viewer", "GET", f"{path}/aggregates?{times}")
    assert status == 200
    assert rows["rows"] == len(rows["columns"]["mean"]) > 0
    status, forecast = google.call("viewer", "GET", f"{path}/forecast?high=30&{times}")
    assert (status, forecast["series"]) == (200, series)
