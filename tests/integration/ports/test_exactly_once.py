"""The core on the adapters: every batch counts once and every alert is dispatched, with a fault at any call."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import replace

from cloud_functions.core import keys
from cloud_functions.core.alert import State
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.batch_rows import rows_of
from cloud_functions.core.batches import StoredBatch, overlapping
from cloud_functions.core.channels import parse as parse_channel
from cloud_functions.core.dispatch import Dispatcher
from cloud_functions.core.errors import StoreError
from cloud_functions.core.grouping import Groups
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.received_sequences import counts_of, received_of
from cloud_functions.core.routes import parse as parse_route
from cloud_functions.core.storing import Storer
from tests.integration.ports.cloud import Adapters, Cloud
from tests.integration.ports.conftest import Interruptions
from tests.unit.cloud.fakes import NOW_MS, START_MS, aggregates, body, report
from wire import codec
from wire.acknowledgement import Acknowledgement
from wire.model import Anomalies, Batch

LOG = logging.getLogger("test")
DAY_MS = 86_400_000


def ingest(adapters: Adapters, bodies: list[str], now_ms: int = NOW_MS) -> list[str]:
    """Run one invocation of ingest; return the ids of the messages to deliver again, which are their positions."""
    storer = Storer(adapters.telemetry, lambda: now_ms, 7 * DAY_MS)
    work = Ingest(adapters.telemetry, storer, adapters.acknowledger, adapters.dead_letters, lambda: now_ms, LOG)
    work.recognize(bodies)
    failed = []
    for at, text in enumerate(bodies):
        try:
            work.accept(str(at), text)
        except StoreError:
            failed.append(str(at))
    return failed + work.finish()


def batches(gateway: str) -> list[Batch]:
    rows = [Batch(gateway, 7, sequence, aggregates(sequence)) for sequence in (1, 2)]
    return [*rows, Batch(gateway, 7, 3, Anomalies((report(),)))]


def messages(gateway: str) -> list[str]:
    """Return the messages of the batches, which are encoded by the coders that take the least time."""
    encoded = (codec.encode(batch, coders=codec.FAST) for batch in batches(gateway))
    return [
        body(batch, data=base64.b64encode(data).decode()) for batch, data in zip(batches(gateway), encoded, strict=True)
    ]


def check_stored(adapters: Adapters, gateway: str) -> None:
    """Assert that each batch is stored once, counted once, and found by its time."""
    table = adapters.telemetry
    sent = batches(gateway)
    stored = [StoredBatch.of(item) for item in table.query(keys.batch(gateway, 0, 1).pk)]
    assert [batch.sequence for batch in stored] == [1, 2, 3]
    for batch, original in zip(stored[:2], sent, strict=False):
        assert sorted(rows_of(batch, lambda *_: None).mean.tolist()) == sorted(original.rows.mean.tolist())  # type: ignore[union-attr]
    found = overlapping(table, gateway, START_MS, START_MS + DAY_MS)
    assert sorted(batch.sequence for batch in found) == [1, 2]
    item = table.get(keys.acknowledgement(gateway, 7))
    assert received_of(item).cumulative == 3
    counts = counts_of(item)
    assert (counts["batches"], counts["rows"]) == (3, 25)
    assert counts["bytes"] == sum(batch.size for batch in stored)
    assert len(list(table.query(f"anomalies#{gateway}"))) == 1
    names = [str(one["sk"]) for one in table.query(keys.about(gateway).pk, "series#", "series#\x7f")]
    assert names == [f"series#pump{n}.temperature" for n in range(3)]
    assert table.get(keys.gateway(gateway)) is not None


def test_batches_are_stored_and_counted_once_after_a_fault_at_any_call(interruptions: Interruptions) -> None:
    cloud = interruptions.cloud

    def act(adapters: Adapters, name: str) -> None:
        waiting = messages(name)
        for _ in range(3):  # the queue delivers again what was not stored
            waiting = [waiting[at] for at in sorted({int(one) for one in ingest(adapters, waiting)})]
            if not waiting:
                return

    def check(adapters: Adapters, name: str) -> None:
        check_stored(adapters, name)
        sent = [Acknowledgement.decode(payload) for gateway, payload in cloud.acknowledged() if gateway == name]
        assert sent[-1].cumulative == 3
        assert cloud.kept() == []

    interruptions.at_every_call(act, check, throttled_step=4)
    assert interruptions.runs > 12


def test_another_batch_of_a_stored_name_becomes_a_dead_letter(cloud: Cloud, adapters: Adapters, pk: str) -> None:
    assert ingest(adapters, messages(pk)) == []
    other = body(Batch(pk, 7, 2, aggregates(9)))
    assert ingest(cloud.connect(), [other]) == []
    check_stored(adapters, pk)
    ((kept, attributes),) = cloud.kept()
    assert (kept, attributes["reason"]) == (other, "different")


def test_an_alert_is_announced_after_a_fault_at_any_call(interruptions: Interruptions) -> None:
    """Machines get the same event at least once, and people a notification, at the latest after an interval."""
    machine = replace(parse_channel({"type": "eventbridge"}), name="bus")
    people = replace(parse_channel({"type": "email", "to": ["ada@example.com"]}), name="mail")
    channels = {"bus": machine, "mail": people}
    route = parse_route({"channels": ["bus", "mail"], "group_interval_s": 60})
    cloud = interruptions.cloud

    def dispatcher(adapters: Adapters, now_ms: int) -> tuple[Dispatcher, Groups]:
        groups = Groups(adapters.alerts, adapters.outbox, lambda: now_ms)
        return Dispatcher(lambda: [route], lambda: channels, adapters.outbox, groups), groups

    def act(adapters: Adapters, name: str) -> None:
        alert = AlertBook(adapters.alerts, lambda: NOW_MS, DAY_MS).report(name, report())
        dispatcher(adapters, NOW_MS)[0].dispatch([(alert, State.FIRING)])

    def check(adapters: Adapters, name: str) -> None:
        events = [json.loads(text)["event"] for text in cloud.queued("eventbridge")]
        assert len({event["id"] for event in events}) == 1
        group = f"{route.name}|mail|{name}/pump0.temperature"
        dispatcher(adapters, NOW_MS + 61_000)[1].flush(group)
        notifications = [json.loads(text)["event"]["data"] for text in cloud.queued("email")]
        assert {one["group"] for one in notifications} == {f"{name}/pump0.temperature"}
        assert all(one["counts"] == {"firing": 1} for one in notifications)
        found = list(adapters.alerts.query(name))
        assert [(item["state"], item["version"]) for item in found] == [("firing", 1)]
        listed = keys.listed("firing", keys.bucket(name, keys.STATE_BUCKETS))
        assert [item["pk"] for item in adapters.alerts.query_index(keys.BY_STATE, listed)].count(name) == 1

    interruptions.at_every_call(act, check, throttled_step=4)
