"""Deliveries on Azure: from the queues over Azurite to Event Grid's form, a webhook, and the dead letters."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import azure.functions as func
import pytest
from azure.functions.timer import TimerRequest

from cloud_functions.adapters.azure import notify
from cloud_functions.adapters.azure.channels import Destinations, deliverers
from cloud_functions.adapters.azure.notify import NotifyHandler
from cloud_functions.adapters.azure.queues import read_dead_letter
from cloud_functions.adapters.channels.registry import Options
from cloud_functions.core.documents import Documents
from cloud_functions.core.metrics import Metrics
from tests.integration.azure.conftest import LOG, Site
from tests.unit.cloud.fakes import report
from wire.model import Anomalies, Batch


class Services:
    """Event Grid and other services: records requests by URL, and answers with ``status``."""

    def __init__(self) -> None:
        self.status = 200
        self.sent: list[tuple[str, Any]] = []

    def __call__(self, _scope: str, _method: str, url: str, _: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        if self.status == 200:
            self.sent.append((url.partition("?")[0], json.loads(body)))
        return self.status, b""


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def handler(site: Site, services: Services) -> NotifyHandler:
    destinations = Destinations("https://alerts", "https://events", "https://vault")
    metrics = Metrics()
    found = deliverers(Options(loopback=True), destinations, services, metrics, lambda: site.now)
    return NotifyHandler(site.storage, found, metrics, lambda: site.now, LOG)


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[Any]]]:
    """A webhook on loopback, and the bodies that it received."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", received
    server.shutdown()
    server.server_close()
    thread.join()


def raise_alert(site: Site, gateway: str) -> None:
    """Send a report of an anomaly, and process its changes until the deliveries are in the queues."""
    site.send(Batch(gateway, 7, 1, Anomalies((report(),))))
    handlers = site.handlers()
    for _ in range(2):
        for body in site.taken("changes"):
            handlers.alerting(func.QueueMessage(id="1", body=body))
    handlers.watch(TimerRequest(past_due=False))


def deliver(site: Site, handler: NotifyHandler, kind: str) -> int:
    """Deliver the visible messages of a queue as its trigger does; return their number."""
    bodies = site.taken(f"channel-{kind}")
    for body in bodies:
        handler.deliver(kind, func.QueueMessage(id="1", body=body))
    return len(bodies)


def test_an_alert_reaches_the_topics_and_a_webhook(
    site: Site, handler: NotifyHandler, services: Services, webhook: tuple[str, list[Any]]
) -> None:
    url, received = webhook
    alerts, now_ms = site.table("alerts"), lambda: site.now
    Documents(alerts, "channels", now_ms).put("hook", {"type": "webhook", "url": url}, "Ada")
    names = ["default-sns", "default-eventbridge", "default-mqtt", "hook"]
    Documents(alerts, "routes", now_ms).put("all", {"channels": names, "group_wait_s": 0}, "Ada")
    raise_alert(site, "gw-1")
    assert [deliver(site, handler, kind) for kind in ("sns", "eventbridge", "mqtt", "webhook")] == [1, 1, 1, 1]
    assert [url for url, _ in services.sent] == ["https://alerts", "https://events"]
    ((event,), (other,)) = (events for _, events in services.sent)
    assert "firing" in event["type"]
    assert (event["channel"], other["channel"]) == ("default-sns", "default-eventbridge")
    assert "gw-1" in json.dumps(received)
    assert handler.metrics.counts["deliveries"] == 4
    assert handler.metrics.counts["deliveries_without_destination"] == 1


def test_a_failed_delivery_is_sent_again_after_a_delay_and_is_a_dead_letter_at_the_end(
    site: Site, handler: NotifyHandler, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[int] = []

    def at_once(attempt: int) -> int:
        delays.append(attempt)
        return 0

    monkeypatch.setattr(notify, "retry_after_s", at_once)
    raise_alert(site, "gw-2")
    services.status = 503
    for _ in range(notify.MAX_ATTEMPTS):
        assert deliver(site, handler, "sns") == 1
    assert deliver(site, handler, "sns") == 0
    assert delays == list(range(1, notify.MAX_ATTEMPTS))
    container = site.storage.container("dead-letters")
    ((body, attributes),) = [
        read_dead_letter(container.download_blob(name).readall()) for name in container.list_blob_names()
    ]
    assert json.loads(body)["gateway"] == "gw-2"
    assert attributes == {"reason": "Event Grid: 503 ", "queue": "channel-sns"}


def test_a_failed_delivery_is_hidden_until_its_next_attempt(
    site: Site, handler: NotifyHandler, services: Services
) -> None:
    raise_alert(site, "gw-3")
    services.status = 503
    assert deliver(site, handler, "eventbridge") == 1
    assert deliver(site, handler, "eventbridge") == 0
    assert site.storage.queue("channel-eventbridge").get_queue_properties().approximate_message_count == 1
