"""Reports become alerts, and transitions are published, despite crashes and repetitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_functions.core.alert import State
from cloud_functions.core.alerting import AlertBook, anomaly_of, publish_transitions
from cloud_functions.core.errors import ConflictError, NotFoundError, StoreError
from cloud_functions.core.ports import Item
from tests.unit.cloud.fakes import NOW_MS, START_MS, CrashError, FakePublisher, FakeTable, report
from wire.errors import WireError
from wire.model import Phase

SERIES = "pump0.temperature"


def book(table: FakeTable, hold_ms: int = 0) -> AlertBook:
    return AlertBook(table, lambda: NOW_MS, 86_400_000, hold_ms)


def published(table: FakeTable) -> list[str]:
    """Return the types of all events published from the stream."""
    publisher = FakePublisher()
    for old, new in table.stream:
        publish_transitions(old, new, [publisher])
    return [str(one["type"]) for one in publisher.published]


def test_an_anomaly_opens_and_resolves_an_alert_and_both_transitions_are_published() -> None:
    table = FakeTable()
    for one in (report(), report(), report(Phase.UPDATE, 2_000), report(Phase.END, 3_000)):
        book(table).report("gw-1", one)
    (item,) = table.items.values()
    assert (item["pk"], item["sk"], item["state"]) == ("gw-1", f"{START_MS:013d}#{SERIES}", "resolved")
    assert item["expires_at"] == NOW_MS // 1000 + 86_400
    assert published(table) == ["io.strandline.alert.firing", "io.strandline.alert.resolved"]


def test_a_repeated_report_writes_nothing() -> None:
    table = FakeTable()
    book(table).report("gw-1", report())
    book(table).report("gw-1", report())
    assert len(table.stream) == 1


def test_an_end_before_its_onset_publishes_both_transitions_once() -> None:
    table = FakeTable()
    book(table).report("gw-1", report(Phase.END, 3_000))
    book(table).report("gw-1", report())
    assert published(table) == ["io.strandline.alert.firing", "io.strandline.alert.resolved"]


def test_concurrent_changes_are_both_kept() -> None:
    table = FakeTable()
    book(table).report("gw-1", report())

    def other() -> None:
        table.before_replace = None
        book(table).acknowledge("gw-1", SERIES, START_MS, "Ada")

    table.before_replace = other
    alert = book(table).report("gw-1", report(Phase.END, 3_000))
    assert (alert.state, alert.acknowledged_by) == (State.RESOLVED, "Ada")
    assert published(table) == [f"io.strandline.alert.{state}" for state in ("firing", "acknowledged", "resolved")]


def test_a_permanent_conflict_is_raised() -> None:
    table = FakeTable()
    times = iter(range(100))

    def other() -> None:
        hook, table.before_replace = table.before_replace, None
        book(table).report("gw-1", report(Phase.UPDATE, 10_000 + next(times)))
        table.before_replace = hook

    table.before_replace = other
    with pytest.raises(ConflictError, match="changed by others"):
        book(table).report("gw-1", report(Phase.END, 3_000))


def test_a_permanent_conflict_of_an_acknowledgement_is_raised() -> None:
    table = FakeTable()
    book(table).report("gw-1", report())
    times = iter(range(100))

    def other() -> None:
        hook, table.before_replace = table.before_replace, None
        book(table).report("gw-1", report(Phase.UPDATE, 10_000 + next(times)))
        table.before_replace = hook

    table.before_replace = other
    with pytest.raises(ConflictError, match="changed by others 12 times"):
        book(table).acknowledge("gw-1", SERIES, START_MS, "Ada")


def test_an_unknown_alert_cannot_be_acknowledged() -> None:
    with pytest.raises(NotFoundError, match="gateway gw-1 has no alert of series"):
        book(FakeTable()).acknowledge("gw-1", SERIES, START_MS, "Ada")


def test_a_second_acknowledgement_publishes_nothing() -> None:
    table = FakeTable()
    book(table).report("gw-1", report())
    for by in ("Ada", "Bob"):
        assert book(table).acknowledge("gw-1", SERIES, START_MS, by).acknowledged_by == "Ada"
    assert published(table) == ["io.strandline.alert.firing", "io.strandline.alert.acknowledged"]


def test_a_failed_publisher_causes_a_retry_for_all_publishers() -> None:
    table, failing, fine = FakeTable(), FakePublisher(failures=1), FakePublisher()
    book(table).report("gw-1", report())
    ((old, new),) = table.stream
    with pytest.raises(StoreError):
        publish_transitions(old, new, [fine, failing])
    assert publish_transitions(old, new, [fine, failing]) == (State.FIRING,)
    assert len({one["id"] for one in fine.published}) == len(failing.published) == 1


def test_other_items_are_neither_reports_nor_alerts() -> None:
    assert anomaly_of({"kind": "record"}) is None
    assert publish_transitions(None, {"kind": "record"}, []) == ()


def test_the_error_for_an_invalid_report_names_the_key() -> None:
    with pytest.raises(WireError, match="is missing"):
        anomaly_of({"kind": "anomaly", "gateway": "gw-1", "report": '{"series": "a"}'})


class Streams:
    """Both streams with their functions, which crash at times: failed records are retried in order."""

    def __init__(self, table: FakeTable, data: st.DataObject) -> None:
        self.table, self.data = table, data
        self.publisher = FakePublisher()

    def feed(self, reports: list[Any]) -> None:
        for one in reports:
            self.table.writes_left = self.data.draw(st.none() | st.just(0))
            try:
                book(self.table).report("gw-1", one)
            except CrashError:
                self.table.writes_left = None
                book(self.table).report("gw-1", one)
            self.table.writes_left = None

    def publish(self) -> None:
        changes: list[tuple[Item | None, Mapping[str, Any]]] = list(self.table.stream)
        while changes:
            size = self.data.draw(st.integers(1, len(changes)))
            for old, new in changes[:size]:
                publish_transitions(old, new, [self.publisher])
            # A crash after publishing and before the checkpoint: the same changes are retried.
            if not self.data.draw(st.booleans()):
                changes = changes[size:]


@settings(deadline=None)
@given(st.data())
def test_each_transition_is_published_with_its_id_despite_crashes(data: st.DataObject) -> None:
    life = [report(), report(Phase.UPDATE, 2_000, 3.0), report(Phase.END, 3_000)]
    streams = Streams(FakeTable(), data)
    streams.feed(data.draw(st.permutations(life * 2)))
    streams.publish()
    by_id = {str(one["id"]): str(one["type"]) for one in streams.publisher.published}
    assert sorted(by_id.values()) == ["io.strandline.alert.firing", "io.strandline.alert.resolved"]
    (item,) = streams.table.items.values()
    assert (item["state"], item["last_ms"]) == ("resolved", START_MS + 3_000)
