"""Reports become alerts, and transitions are published, despite crashes and repetitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_functions.core.alert import FLAPPING_OPENINGS, Origin, State, alert_id
from cloud_functions.core.alerting import FLAPPING_WINDOW_MS, AlertBook, anomaly_of
from cloud_functions.core.cloudevents import envelope
from cloud_functions.core.dispatch import transitions_of
from cloud_functions.core.errors import ConflictError, NotFoundError
from cloud_functions.core.ports import Item
from cloud_functions.core.severity import AlertKind
from cloud_functions.core.silences import Silence
from cloud_functions.core.silences import parse as parse_silence
from tests.unit.cloud.fakes import NOW_MS, START_MS, CrashError, FakeTable, report
from wire.errors import WireError
from wire.model import Phase

SERIES = "pump0.temperature"
ALERT = alert_id("gw-1", SERIES, START_MS)


def book(table: FakeTable, hold_ms: int = 0) -> AlertBook:
    return AlertBook(table, lambda: NOW_MS, 86_400_000, hold_ms)


def published(table: FakeTable) -> list[str]:
    """Return the states of all transitions published from the stream."""
    return [str(state) for old, new in table.stream for _, state in transitions_of(old, new)]


def test_an_anomaly_opens_and_resolves_an_alert_and_both_transitions_are_published() -> None:
    table = FakeTable()
    for one in (report(), report(), report(Phase.UPDATE, 2_000), report(Phase.END, 3_000)):
        book(table).report("gw-1", one)
    (item,) = table.of_kind("alert")
    assert (item["pk"], item["sk"], item["state"]) == ("gw-1", f"{START_MS:013d}#{SERIES}", "resolved")
    assert item["expires_at"] == NOW_MS // 1000 + 86_400
    assert published(table) == ["firing", "resolved"]


def test_a_repeated_report_writes_nothing() -> None:
    table = FakeTable()
    book(table).report("gw-1", report())
    book(table).report("gw-1", report())
    assert len([new for _, new in table.stream if new["kind"] == "alert"]) == 1


def test_an_end_before_its_onset_publishes_both_transitions_once() -> None:
    table = FakeTable()
    book(table).report("gw-1", report(Phase.END, 3_000))
    book(table).report("gw-1", report())
    assert published(table) == ["firing", "resolved"]


def test_reports_that_are_read_ahead_give_the_same_alerts_with_fewer_reads() -> None:
    reports = [("gw-1", replace(report(phase), series=f"s{at % 3}")) for at, phase in enumerate([*Phase] * 4)]
    one, two = FakeTable(), FakeTable()
    for each in reports:
        book(one).report(*each)
    gets: list[Any] = []
    get = two.get
    two.get = lambda key: gets.append(key) or get(key)
    ahead = book(two).read_ahead(reports)
    for each in reports:
        book(two).report(*each, ahead=ahead)
    assert one.items == two.items
    assert published(one) == published(two)
    assert len(gets) < len(reports) + 3


def test_what_was_read_ahead_and_is_out_of_date_is_read_again() -> None:
    table = FakeTable()
    ahead = book(table).read_ahead([("gw-1", report())])
    book(table).report("gw-1", report())
    found = book(table).report("gw-1", report(Phase.END), ahead=ahead)
    assert found.state is State.RESOLVED
    assert [item["version"] for item in table.of_kind("alert")] == [2]


def test_concurrent_changes_are_both_kept() -> None:
    table = FakeTable()
    book(table).report("gw-1", report())

    def other() -> None:
        table.before_replace = None
        book(table).acknowledge(ALERT, "Ada")

    table.before_replace = other
    alert = book(table).report("gw-1", report(Phase.END, 3_000))
    assert (alert.state, alert.acknowledged_by) == (State.RESOLVED, "Ada")
    assert published(table) == ["firing", "acknowledged", "resolved"]


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
        book(table).acknowledge(ALERT, "Ada")


def test_an_unknown_alert_cannot_be_acknowledged() -> None:
    with pytest.raises(NotFoundError, match="gateway gw-1 has no alert of series"):
        book(FakeTable()).acknowledge(ALERT, "Ada")


def test_a_second_acknowledgement_publishes_nothing() -> None:
    table = FakeTable()
    book(table).report("gw-1", report())
    for by in ("Ada", "Bob"):
        assert book(table).acknowledge(ALERT, by).acknowledged_by == "Ada"
    assert published(table) == ["firing", "acknowledged"]


def test_other_items_are_neither_reports_nor_alerts() -> None:
    assert anomaly_of({"kind": "record"}) is None
    assert transitions_of(None, {"kind": "record"}) == []


def test_the_error_for_an_invalid_report_names_the_key() -> None:
    with pytest.raises(WireError, match="is missing"):
        anomaly_of({"kind": "anomaly", "gateway": "gw-1", "report": '{"series": "a"}'})


class Streams:
    """Both streams with their functions, which crash at times: failed records are retried in order."""

    def __init__(self, table: FakeTable, data: st.DataObject) -> None:
        self.table, self.data = table, data
        self.events: dict[str, str] = {}

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
                self.events |= {envelope(alert, state)["id"]: str(state) for alert, state in transitions_of(old, new)}
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
    assert sorted(streams.events.values()) == ["firing", "resolved"]
    (item,) = streams.table.of_kind("alert")
    assert (item["state"], item["last_ms"]) == ("resolved", START_MS + 3_000)


class Clock:
    """Time of the cloud, set by the test."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms


def clocked(table: FakeTable, clock: Clock, hold_ms: int = 0, *silences: Silence) -> AlertBook:
    return AlertBook(table, clock, 86_400_000, hold_ms, lambda: silences)


def silence(name: str = "service", **more: Any) -> Silence:
    body = {"name": name, "from": NOW_MS - 1_000, "to": NOW_MS + 60_000, "author": "Ada", "comment": "oil"}
    return parse_silence(body | more)


def test_a_timer_makes_a_pending_alert_fire_while_its_anomaly_lasts() -> None:
    table, clock = FakeTable(), Clock()
    book_ = clocked(table, clock, 60_000)
    name = book_.report("gw-1", report()).name
    clock.ms += 59_999
    assert book_.settle(name).state is State.PENDING
    clock.ms += 1
    fired = book_.settle(name)
    assert (fired.state, fired.fired_ms) == (State.FIRING, clock.ms)
    assert published(table) == ["firing"]


def test_a_timer_does_not_fire_an_alert_whose_end_is_known() -> None:
    table, clock = FakeTable(), Clock()
    book_ = clocked(table, clock, 60_000)
    book_.report("gw-1", report())
    name = book_.report("gw-1", report(Phase.END, 2_000)).name
    clock.ms += 120_000
    assert book_.settle(name).fired is False
    assert published(table) == []


def test_a_silenced_alert_is_published_when_the_silence_is_over_and_it_still_fires() -> None:
    table, clock = FakeTable(), Clock()
    book_ = clocked(table, clock, 0, silence())
    alert = book_.report("gw-1", report())
    assert (alert.state, alert.silenced_by, alert.announced) == (State.FIRING, "service", False)
    assert published(table) == []
    clock.ms += 60_000
    assert book_.settle(alert.name).silenced_by == ""
    assert published(table) == ["firing"]
    book_.report("gw-1", report(Phase.END, 9_000))
    assert published(table) == ["firing", "resolved"]


def test_an_alert_that_ends_while_it_is_silenced_is_never_published() -> None:
    table, clock = FakeTable(), Clock()
    book_ = clocked(table, clock, 0, silence())
    book_.report("gw-1", report())
    clock.ms += 60_000
    book_.report("gw-1", report(Phase.END, 9_000))
    assert published(table) == []


def test_an_announced_alert_that_is_silenced_later_still_publishes_its_end() -> None:
    table, clock = FakeTable(), Clock()
    name = clocked(table, clock).report("gw-1", report()).name
    silenced = clocked(table, clock, 0, silence())
    assert silenced.settle(name).silenced_by == "service"
    silenced.report("gw-1", report(Phase.END, 9_000))
    assert published(table) == ["firing", "resolved"]


def test_a_silence_of_another_series_has_no_effect() -> None:
    table = FakeTable()
    alert = clocked(table, Clock(), 0, silence(series="fan*")).report("gw-1", report())
    assert (alert.silenced_by, alert.announced) == ("", True)


def test_an_inhibited_alert_is_published_when_the_inhibition_ends() -> None:
    table, clock = FakeTable(), Clock()
    book_ = clocked(table, clock)
    alert = book_.report("gw-1", report(), inhibited_by="abc")
    assert (alert.inhibited_by, alert.announced) == ("abc", False)
    assert book_.settle(alert.name, inhibited_by="").announced
    assert published(table) == ["firing"]


def fires(book_: AlertBook, at: int) -> Any:
    onset = replace(report(), onset_ms=START_MS + at * 60_000, time_ms=START_MS + at * 60_000 + 1)
    alert = book_.report("gw-1", onset)
    book_.report("gw-1", replace(onset, phase=Phase.END, time_ms=onset.time_ms + 1_000))
    return alert


def test_a_series_that_fires_again_and_again_is_flapping_and_quiet_until_it_is_steady() -> None:
    table, clock = FakeTable(), Clock()
    book_ = clocked(table, clock)
    alerts_ = [fires(book_, at) for at in range(FLAPPING_OPENINGS + 3)]
    assert [one.flapping for one in alerts_] == [False] * FLAPPING_OPENINGS + [True] * 3
    # The first that is flapping is published, with the mark; the following are not.
    assert [one.announced for one in alerts_] == [True] * (FLAPPING_OPENINGS + 1) + [False] * 2
    later = replace(report(), onset_ms=START_MS + 10**8, time_ms=START_MS + 10**8)
    assert book_.report("gw-1", later).flapping is False


def test_the_record_of_openings_expires_ten_windows_after_the_last_one() -> None:
    table = FakeTable()
    book(table).report("gw-1", report())
    (item,) = table.of_kind("openings")
    assert item["expires_at"] == (NOW_MS + 10 * FLAPPING_WINDOW_MS) // 1000


def test_a_flapping_alert_that_still_fires_is_published_once_it_is_steady() -> None:
    table, clock = FakeTable(), Clock()
    book_ = clocked(table, clock)
    for at in range(FLAPPING_OPENINGS + 1):
        fires(book_, at)
    quiet = book_.report("gw-1", replace(report(), onset_ms=START_MS + 500_000, time_ms=START_MS + 500_001))
    assert (quiet.flapping, quiet.announced) == (True, False)
    steady = book_.settle(quiet.name, steady=True)
    assert (steady.flapping, steady.announced) == (False, True)


def test_alerts_of_several_origins_at_one_onset_are_different_and_have_their_own_ids() -> None:
    table = FakeTable()
    book_ = book(table)
    rule = Origin(AlertKind.RULE, "hot", "critical", "Pump is hot")
    silent = Origin(AlertKind.SILENCE, "", "warning")
    of_gateway = replace(report(), series="")
    found = [
        book_.report("gw-1", report()),
        book_.report("gw-1", report(), rule),
        book_.report("gw-1", of_gateway, silent),
    ]
    assert len({one.id for one in found}) == 3
    assert [book_.find(one.id) for one in found] == [replace(one, version=1) for one in found]
    shown = book_.acknowledge(found[1].id, "Ada", "on my way").to_dict()
    assert (shown["kind"], shown["rule"], shown["severity"], shown["comment"]) == (
        "rule",
        "hot",
        "critical",
        "on my way",
    )
    assert "Pump is hot" in shown["summary"]
    assert found[2].to_dict()["series"] == ""


@settings(deadline=None)
@given(st.data())
def test_concurrent_timers_reports_and_silences_publish_each_transition_at_most_once(data: st.DataObject) -> None:
    table, clock = FakeTable(), Clock()
    name = None
    for _ in range(data.draw(st.integers(1, 8))):
        active = [silence()] if data.draw(st.booleans()) else []
        book_ = clocked(table, clock, 5_000, *active)
        step = data.draw(st.sampled_from(["onset", "end", "settle", "acknowledge", "wait"]))
        if step in ("onset", "end"):
            name = book_.report("gw-1", report(Phase.ONSET if step == "onset" else Phase.END, 6_000)).name
        elif step == "settle" and name is not None:
            book_.settle(name, data.draw(st.sampled_from([None, "", "x"])))
        elif step == "acknowledge" and name is not None and book_.find(ALERT).state is not State.RESOLVED:
            book_.acknowledge(ALERT, "Ada")
        clock.ms += data.draw(st.integers(0, 10_000))
    states = published(table)
    assert len(states) == len(set(states))
    assert states == sorted(states, key=lambda one: list(State).index(State(one)))
    assert not states or states[0] == "firing" or states[0] == "acknowledged"
    if name is not None:
        final = book(table).find(ALERT)
        assert bool(states) == final.announced
        assert ("resolved" in states) == (final.announced and final.state is State.RESOLVED)


def test_a_repeated_report_is_not_judged_again_under_a_silence_that_began_since() -> None:
    table, clock = FakeTable(), Clock()
    before = clocked(table, clock).report("gw-1", report())
    changes = len(table.stream)
    after = clocked(table, clock, 0, silence()).report("gw-1", report())
    assert (after.silenced_by, after.announced, len(table.stream)) == ("", before.announced, changes)


def test_an_alert_that_fires_after_it_was_pending_is_counted_as_an_opening_once() -> None:
    table, clock = FakeTable(), Clock()
    book_ = clocked(table, clock, 60_000)
    name = book_.report("gw-1", report()).name
    assert (book_.find(ALERT).openings, table.of_kind("openings")) == (0, [])
    for _ in range(2):
        clock.ms += 60_000
        assert book_.settle(name).openings == 1
    book_.report("gw-1", report(Phase.UPDATE, 3_000, 4.0))
    assert book_.find(ALERT).openings == 1
    (item,) = table.of_kind("openings")
    assert item["onsets"] == f"[{START_MS}]"
