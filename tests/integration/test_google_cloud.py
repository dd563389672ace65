"""Test of the path through Google's services: forwarder, broker, push requests, function, Bigtable, acknowledgement."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import functions_framework
import pytest
import requests
from google.auth.credentials import AnonymousCredentials

from cloud_functions.adapters.google.bigtable import Bigtable
from cloud_functions.core import keys
from cloud_functions.core.batch_rows import rows_of
from cloud_functions.core.batches import StoredBatch
from device_sim.chaos.proxy import Network
from device_sim.google import bigtable
from device_sim.google.bigtable import INSTANCE, PROJECT, BigtableEmulator
from device_sim.google.bridge import Bridge, TokenIssuer
from device_sim.google.storage import CloudStorageEmulator
from device_sim.paths import SOURCE_TREE
from device_sim.simulation.sensor_broker import find_mosquitto
from edge_components.common.delivery import PublishBackoff
from edge_components.forwarder.cloud_link import session
from tests.integration.forwarder.test_mqtt_link import GATEWAY, QUICK, Gateway, aggregates, cutting
from tests.integration.test_mqtt_source import mosquitto
from tests.waiting import until
from wire import codec, topics
from wire.model import Batch

AUDIENCE, ACCOUNT = "https://ingest.example", "push@project.iam.gserviceaccount.com"
TABLE, BUCKET = "telemetry", "archive"

pytestmark = [
    pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"),
    pytest.mark.skipif(bigtable.find_emulator() is None, reason=bigtable.HELP),
]


class Google:
    """The function in the framework, with its settings, over a broker and the emulator of Bigtable."""

    def __init__(self, root: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.issuer = TokenIssuer(AUDIENCE, ACCOUNT)
        self.port = stack.enter_context(mosquitto(root / "broker", "allow_anonymous true"))
        self._emulator = stack.enter_context(BigtableEmulator())
        self._emulator.create_table(TABLE)
        self.table = Bigtable(self._emulator.table(TABLE))
        storage = stack.enter_context(CloudStorageEmulator())
        storage.create_bucket(BUCKET)
        self.bucket = f"{storage.url}/storage/v1/b/{BUCKET}/o"
        settings = {
            "STORAGE_EMULATOR_HOST": storage.url,
            "PROJECT": PROJECT,
            "BIGTABLE_INSTANCE": INSTANCE,
            "BIGTABLE_EMULATOR_HOST": self._emulator.address,
            "TELEMETRY_TABLE": TABLE,
            "ARCHIVE_BUCKET": BUCKET,
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
        source = SOURCE_TREE / "cloud_functions" / "google" / "main.py"
        with pytest.warns(RuntimeWarning, match="Connecting to Bigtable emulator"):
            apps = [functions_framework.create_app(name, str(source)) for name in ("ingest", "compact")]
        self._ingest, self._compact = (app.test_client() for app in apps)

    def stored(self) -> list[StoredBatch]:
        """Return the stored batches of the gateway."""
        return [StoredBatch.of(item) for item in self.table.query(keys.batch(GATEWAY, 0, 1).pk)]

    def _certificates(self, _url: str, timeout: float) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer._content = 200, json.dumps(self.issuer.certificates).encode()
        return answer

    def push(self, headers: dict[str, str], content: bytes) -> int:
        return int(self._ingest.post("/", headers=headers, data=content).status_code)

    def compact(self) -> int:
        headers = {"Authorization": f"Bearer {self.issuer.token()}"}
        return int(self._compact.post("/", headers=headers).status_code)


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


def test_ended_hours_are_compacted_into_files_of_the_archive(google: Google) -> None:
    batch = codec.encode(Batch(GATEWAY, 1, 1, aggregates(4, 0)))
    attributes = {"topic": topics.published(GATEWAY, "bulk")}
    message = {"data": base64.b64encode(batch).decode(), "attributes": attributes, "messageId": "1"}
    content = json.dumps({"message": message, "subscription": "s"}).encode()
    assert google.push({"Authorization": f"Bearer {google.issuer.token()}"}, content) == 204
    assert google.compact() == 204
    with urllib.request.urlopen(google.bucket, timeout=10) as answer:  # noqa: S310 # loopback
        names = [one["name"] for one in json.load(answer)["items"]]
    assert names == ["rows/date=2023-11-14/22-0000.parquet"]
