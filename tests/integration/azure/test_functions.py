"""The Azure Functions over Azurite, with events and messages in the form of azure-functions."""

from __future__ import annotations

import json
import logging

import azure.functions as func
import pytest
from azure.data.tables import TableClient
from azure.functions.timer import TimerRequest

from cloud_functions.adapters.azure import handlers as functions
from cloud_functions.adapters.azure.iot_hub import By
from cloud_functions.adapters.azure.queues import read_dead_letter
from cloud_functions.adapters.azure.table import AzureTable
from cloud_functions.clock import DAY_MS
from cloud_functions.core import keys
from cloud_functions.core.errors import StoreError
from cloud_functions.core.received_sequences import counts_of
from device_sim.azure.event_hub import DeviceMessage, events_of
from tests.integration.azure.conftest import Site
from tests.unit.cloud.fakes import aggregates, report
from wire.acknowledgement import Acknowledgement
from wire.model import Anomalies, Batch

LOG = logging.getLogger("test.azure")


def message(body: str) -> func.QueueMessage:
    return func.QueueMessage(id="1", body=body)


def test_batches_are_stored_with_their_lane_and_acknowledged(site: Site) -> None:
    site.send(
        Batch("gw-1", 7, 1, aggregates(1)), Batch("gw-2", 7, 1, aggregates(2)), Batch("gw-1", 7, 2, aggregates(3))
    )
    stored = list(site.table("telemetry").query(keys.batch("gw-1", 0, 1).pk))
    assert [(item["lane"], item["rows"]) for item in stored] == [("urgent", 12)] * 2
    sent = {device: Acknowledgement.decode(payload) for device, payload in site.received}
    assert sent == {"gw-1": Acknowledgement(7, 2), "gw-2": Acknowledgement(7, 1)}


def test_a_repeated_event_changes_nothing_and_is_acknowledged_by_a_direct_method(site: Site) -> None:
    batch = Batch("gw-3", 7, 1, aggregates(1))
    site.send(batch)
    site.send(batch, handlers=site.handlers(By.METHOD))
    assert [Acknowledgement.decode(payload) for _, payload in site.received] == [Acknowledgement(7, 1)] * 2
    counts = counts_of(site.table("telemetry").get(keys.acknowledgement("gw-3", 7)))
    assert (counts["batches"], counts["rows"], counts["duplicates"]) == (1, 12, 1)


def test_the_gateway_is_that_of_the_connection_and_not_of_the_body(site: Site) -> None:
    site.send(Batch("gw-4", 7, 1, aggregates(1)), device="gw-5")
    site.send(Batch("gw-4", 7, 1, aggregates(1)), device="")
    assert list(site.table("telemetry").query(keys.batch("gw-4", 0, 1).pk)) == []
    assert site.received == []
    container = site.storage.container("dead-letters")
    letters = [read_dead_letter(container.download_blob(name).readall()) for name in container.list_blob_names()]
    assert sorted(attributes["reason"] for _, attributes in letters) == ["envelope", "gateway"]


def test_an_event_that_is_not_telemetry_is_ignored(site: Site) -> None:
    (event,) = events_of([DeviceMessage("gw-6", b"{}", {}, site.now, 1)])
    event = func.EventHubEvent(
        body=event.get_body(), iothub_metadata={**(event.iothub_metadata or {}), "message-source": "twinChangeEvents"}
    )
    site.handlers().ingest([event])
    assert site.table("telemetry").get(keys.about("gw-6")) is None


def refuse(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    def refused(self: AzureTable, *_: object) -> None:
        raise StoreError("refused")

    monkeypatch.setattr(AzureTable, method, refused)


def test_a_batch_that_cannot_be_stored_is_delivered_again_by_a_queue(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        refuse(patch, "put_new")
        site.send(Batch("gw-7", 7, 1, aggregates(1)))
        assert site.received == []
        (body,) = site.taken(functions.RETRY)
        with pytest.raises(StoreError):
            site.handlers().ingest_again(message(body))
    site.handlers().ingest_again(message(body))
    assert [Acknowledgement.decode(payload) for _, payload in site.received] == [Acknowledgement(7, 1)]


def events(site: Site, channel_type: str) -> list[dict[str, object]]:
    return [json.loads(body)["event"] for body in site.taken(f"channel-{channel_type}")]


def test_a_report_becomes_an_alert_and_its_transition_reaches_the_queues_of_the_channels(site: Site) -> None:
    site.send(Batch("gw-8", 7, 1, Anomalies((report(),))))
    changes = site.taken(functions.CHANGES)
    assert json.loads(changes[0]) == {"table": "telemetry", "pk": "anomalies#gw-8"}
    handlers = site.handlers()
    for body in changes:
        handlers.alerting(message(body))
    assert [item["state"] for item in site.table("alerts").query("gw-8")] == ["firing"]
    (changed,) = site.taken(functions.CHANGES)
    handlers.alerting(message(changed))
    (event,) = events(site, "mqtt")
    # A repeated message finds no change, and dispatches nothing.
    handlers.alerting(message(changed))
    assert events(site, "mqtt") == []
    assert "firing" in str(event["type"])


def test_the_timer_processes_changes_of_which_no_message_arrived(site: Site) -> None:
    site.send(Batch("gw-9", 7, 1, Anomalies((report(),))))
    site.storage.queue(functions.CHANGES).clear_messages()
    handlers = site.handlers()
    handlers.watch(TimerRequest(past_due=False))
    assert [item["state"] for item in site.table("alerts").query("gw-9")] == ["firing"]
    site.storage.queue(functions.CHANGES).clear_messages()
    handlers.watch(TimerRequest(past_due=False))
    assert "gw-9" in json.dumps(events(site, "mqtt"))


def announced(client: TableClient) -> int:
    return len(list(client.query_entities("PartitionKey eq '~changed:'")))


def test_announcements_are_removed_when_they_are_old(site: Site) -> None:
    site.send(Batch("gw-10", 7, 1, Anomalies((report(),))))
    assert announced(site.storage.table("telemetry")) > 0
    site.handlers().watch(TimerRequest(past_due=False))
    assert announced(site.storage.table("telemetry")) > 0
    site.now += 16 * 60_000
    try:
        site.handlers().watch(TimerRequest(past_due=False))
        assert announced(site.storage.table("telemetry")) == 0
    finally:
        site.now -= 16 * 60_000


def test_expired_items_are_removed_with_their_indexes(site: Site) -> None:
    site.send(Batch("gw-11", 7, 1, aggregates(1)))
    site.now += 8 * DAY_MS
    try:
        site.handlers().expire(TimerRequest(past_due=False))
    finally:
        site.now -= 8 * DAY_MS
    telemetry = site.storage.table("telemetry")
    assert list(telemetry.query_entities("PartitionKey eq 'batches\"1gw-11'")) == []
    assert site.table("telemetry").get(keys.acknowledgement("gw-11", 7)) is not None
