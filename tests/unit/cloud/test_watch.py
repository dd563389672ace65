"""The timer: silence, health, cloud rules, reminders and escalation, with a clock that the tests set."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.core import batch_rows, health, keys, rules, watch
from cloud_functions.core import gateway_watch as gateway_watch_module
from cloud_functions.core.alert import Alert, State, from_item
from cloud_functions.core.alerting import FLAPPING_WINDOW_MS, AlertBook
from cloud_functions.core.arrival import open_envelope, read_envelope
from cloud_functions.core.batch_rows import UnreadableBatchError
from cloud_functions.core.batch_series import series_of
from cloud_functions.core.batches import StoredBatch
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.dispatch import Dispatcher, transitions_of
from cloud_functions.core.documents import Documents
from cloud_functions.core.errors import RequestError, StoreError
from cloud_functions.core.gateway_watch import FORECAST_MS, FORGET_MS, PROMPT_MS, ROWS_MS, GatewayWatch
from cloud_functions.core.grouping import Group, Groups
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.inhibition import inhibitor_of, inhibitors
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.profiles import Profiles
from cloud_functions.core.rhythm import LEARNED, Rhythm
from cloud_functions.core.severity import AlertKind
from cloud_functions.core.storing import Storer
from cloud_functions.core.telemetry import read_telemetry
from cloud_functions.core.watch import RESERVED_MS, SHARDS, SLOTS, Watch, workers
from cloud_functions.core.watched import Watched
from tests.unit.cloud.fakes import (
    NOW_MS,
    START_MS,
    FakeAcknowledger,
    FakeDeadLetterSink,
    FakeOutbox,
    FakeTable,
    report,
)
from wire import codec, profile
from wire.model import Aggregates, Batch, Notice, Phase, Series

MINUTE_MS = 60_000
SILENT_MS = 5 * MINUTE_MS
GATEWAY = "gw-1"
_LOG = logging.getLogger("watch")


class Stack:
    """Both tables, ingest and the watch, with one clock."""

    def __init__(self, *, silent_ms: int = SILENT_MS, **rule: Any) -> None:
        self.now_ms = NOW_MS
        self.telemetry, self.alerts, self.outbox = FakeTable(), FakeTable(), FakeOutbox()
        self.metrics = Metrics()
        clock = lambda: self.now_ms  # noqa: E731 - read at each call
        self.clock = clock
        self.configuration = Configuration(self.alerts, clock, cache_ms=0)
        self.groups = Groups(self.alerts, self.outbox, clock)
        self.dispatcher = Dispatcher(self.configuration.routes, self.configuration.channels, self.outbox, self.groups)
        self.book = AlertBook(self.alerts, clock, 10**10, silences=self.configuration.silences)
        self.storer = Storer(self.telemetry, clock, 10**9)
        profiles = Profiles(self.telemetry, clock).find
        gateway_watch = GatewayWatch(
            self.telemetry, self.alerts, self.book, self.configuration.rules, profiles, clock, silent_ms, self.metrics
        )
        self.watch = Watch(
            self.telemetry,
            self.alerts,
            self.book,
            self.dispatcher,
            self.groups,
            gateway_watch,
            self.configuration.silences,
            self.configuration.routes,
            clock,
            self.metrics,
        )
        self.sequence = self.read = 0
        if rule:
            self.document("rules", "hot", rule)

    def document(self, kind: str, name: str, body: dict[str, Any]) -> None:
        Documents(self.alerts, kind, self.clock).put(name, body, "Ada")

    def deliver(self, rows: Any, gateway: str = GATEWAY, sequence: int | None = None, lane: str = "bulk") -> None:
        """Ingest a batch that arrives now."""
        self.sequence = sequence if sequence is not None else self.sequence + 1
        batch = Batch(gateway, 7, self.sequence, rows)
        ingest = Ingest(self.telemetry, self.storer, FakeAcknowledger(), FakeDeadLetterSink(), self.clock, _LOG)
        ingest.accept("m", _body(batch, lane, self.now_ms))
        ingest.finish()

    def tick(self, minutes: float = 1.0) -> None:
        """Let time pass, run the watch once, and dispatch what changed."""
        self.now_ms += round(minutes * MINUTE_MS)
        self.watch.run(lambda: 60_000)
        changes = self.alerts.stream[self.read :]
        self.read = len(self.alerts.stream)
        self.dispatcher.dispatch([one for old, new in changes for one in transitions_of(old, new)])

    def all(self, kind: AlertKind | None = None) -> list[Alert]:
        found = [from_item(item) for item in self.alerts.of_kind("alert")]
        return [one for one in found if kind is None or one.origin.kind is kind]

    def states(self, kind: AlertKind) -> list[tuple[str, str]]:
        return [(one.report.series, str(one.state)) for one in self.all(kind)]


def _body(batch: Batch, lane: str, received_ms: int) -> str:
    fields = {
        "data": base64.b64encode(codec.encode(batch, coders=codec.FAST)).decode(),
        "topic": f"strandline/v1/{batch.gateway}/{lane}",
        "client": batch.gateway,
        "principal": "cert",
        "received_at": received_ms,
    }
    return json.dumps(fields)


def rows(end_ms: int, *means: float, series: str = "pump1/temperature", width_ms: int = 10_000) -> Aggregates:
    """Return windows of which the last ends at ``end_ms``."""
    n = len(means)
    mean = np.array(means, np.float64)
    start = end_ms - width_ms * np.arange(n, 0, -1, dtype=np.int64)
    width, count, zeros = np.full(n, width_ms, np.int64), np.ones(n, np.int64), np.zeros(n)
    return Aggregates(
        (Series(series, "Cel"),), np.zeros(n, np.int64), start, width, count, mean, mean, mean, zeros, zeros
    )


HOT: dict[str, Any] = {"condition": {"type": "threshold", "above": 80, "clear_margin": 5}, "severity": "critical"}


def test_a_gateway_that_falls_silent_raises_an_alert_that_ends_when_it_returns() -> None:
    stack = Stack()
    for _ in range(LEARNED + 2):
        stack.deliver(rows(stack.now_ms, 20.0))
        stack.tick()
    assert stack.all() == []
    last_seen_ms = stack.now_ms - MINUTE_MS
    stack.tick(4)
    assert stack.all() == []
    stack.tick(2)
    (alert,) = stack.all()
    assert (alert.origin.kind, alert.report.series, alert.state) == (AlertKind.SILENCE, "", State.FIRING)
    assert (alert.report.onset_ms, alert.severity) == (last_seen_ms, "critical")
    stack.tick(10)
    stack.tick(10)
    assert len(stack.all()) == 1
    stack.deliver(rows(stack.now_ms, 20.0))
    stack.tick()
    assert stack.states(AlertKind.SILENCE) == [("", "resolved")]
    (alert,) = stack.all()
    assert alert.report.observed == (alert.report.time_ms - last_seen_ms) / 1000 > 0
    kinds = [one["type"] for one in stack.outbox.events("default-sns")]
    assert kinds == ["io.strandline.alert.firing.v1", "io.strandline.alert.resolved.v1"]


def test_a_gateway_with_a_slow_rhythm_is_not_silent_before_it_is_due() -> None:
    stack = Stack()
    for _ in range(LEARNED + 2):
        stack.deliver(rows(stack.now_ms, 20.0))
        for _ in range(4):
            stack.tick(15)
    stack.tick(60)
    assert stack.all() == []
    stack.tick(120)
    assert stack.states(AlertKind.SILENCE) == [("", "firing")]


@pytest.mark.slow
def test_a_series_that_falls_silent_raises_an_alert_and_none_while_its_gateway_is_silent() -> None:
    stack = Stack()
    for _ in range(20):
        for name in ("pump1/a", "pump1/b"):
            stack.deliver(rows(stack.now_ms, 20.0, series=name))
        stack.tick()
    for _ in range(25):
        stack.deliver(rows(stack.now_ms, 20.0, series="pump1/a"))
        stack.tick()
    assert stack.states(AlertKind.SILENCE) == [("pump1/b", "firing")]
    stack.deliver(rows(stack.now_ms, 20.0, series="pump1/b"))
    for _ in range(6):
        stack.deliver(rows(stack.now_ms, 20.0, series="pump1/a"))
        stack.tick()
    assert stack.states(AlertKind.SILENCE) == [("pump1/b", "resolved")]
    for _ in range(60):
        stack.tick()
    assert [one for one in stack.states(AlertKind.SILENCE) if one[1] == "firing"] == [("", "firing")]


@pytest.mark.slow
def test_a_removed_series_does_not_fire_for_ever() -> None:
    stack = Stack()
    for _ in range(20):
        for name in ("pump1/a", "pump1/b"):
            stack.deliver(rows(stack.now_ms, 20.0, series=name))
        stack.tick()
    for _ in range(8):
        stack.now_ms += FORGET_MS // 7
        stack.deliver(rows(stack.now_ms, 20.0, series="pump1/a"))
        stack.tick()
    resolved = [one for one in stack.all(AlertKind.SILENCE) if one.report.series == "pump1/b"]
    assert [one.state for one in resolved] == [State.RESOLVED]


def test_a_cloud_rule_fires_and_resolves_with_its_margin() -> None:
    stack = Stack(**HOT)
    for mean in (70.0, 90.0, 95.0, 78.0):
        stack.deliver(rows(stack.now_ms, mean))
        stack.tick()
    (alert,) = stack.all()
    assert (alert.state, alert.origin.rule, alert.severity) == (State.FIRING, "hot", "critical")
    assert (alert.report.observed, alert.report.upper, alert.report.unit) == (95.0, 80.0, "Cel")
    stack.deliver(rows(stack.now_ms, 74.0))
    stack.tick()
    assert stack.states(AlertKind.RULE) == [("pump1/temperature", "resolved")]


def test_a_rule_with_a_duration_fires_by_the_timer_or_by_rows() -> None:
    stack = Stack(**HOT, for_s=150)
    stack.deliver(rows(stack.now_ms, 90.0))
    stack.tick()
    assert stack.states(AlertKind.RULE) == [("pump1/temperature", "pending")]
    stack.tick()
    stack.tick()
    assert stack.states(AlertKind.RULE) == [("pump1/temperature", "pending")]
    stack.tick()
    assert stack.states(AlertKind.RULE) == [("pump1/temperature", "firing")]


def test_a_rule_serves_data_that_was_posted_over_http() -> None:
    stack = Stack(**HOT)
    for at, value in enumerate((70.0, 90.0)):
        reading = {"series": "fan/temperature", "time": stack.now_ms, "value": value, "unit": "Cel"}
        body = {"id": f"r{at}", "gateway": "device-1", "readings": [reading]}
        posted = read_telemetry(body, stack.now_ms, None, json.dumps(body).encode())
        assert posted.arrival is not None
        stored = stack.storer.store(posted.arrival)
        about: dict[str, str | int | bytes] = {"kind": "about", "seen_ms": stack.now_ms}
        stack.telemetry.add(keys.about("device-1"), stored.totals, about, {"first_seen_ms": stack.now_ms})
        stack.tick()
        stack.tick()
    (alert,) = stack.all()
    assert (alert.gateway, alert.report.series, alert.report.observed) == ("device-1", "fan/temperature", 90.0)


def test_rows_that_arrive_late_or_out_of_order_are_evaluated_once() -> None:
    stack = Stack(**HOT)
    start_ms = stack.now_ms
    stack.deliver(rows(start_ms, 70.0), sequence=1)
    stack.deliver(rows(start_ms + 20_000, 70.0), sequence=3)
    stack.tick()
    stack.deliver(rows(start_ms + 60_000, 70.0), sequence=5)
    stack.deliver(rows(start_ms + 50_000, 90.0, series="pump2/a"), sequence=2)
    stack.tick()
    assert stack.states(AlertKind.RULE) == [("pump2/a", "firing")]


def test_a_rule_that_is_deleted_resolves_its_alerts() -> None:
    stack = Stack(**HOT)
    stack.deliver(rows(stack.now_ms, 90.0))
    stack.tick()
    Documents(stack.alerts, "rules", stack.clock).delete("hot")
    stack.tick(ROWS_MS / MINUTE_MS)
    assert stack.states(AlertKind.RULE) == [("pump1/temperature", "resolved")]


def test_an_absence_rule_fires_without_a_row_and_is_hidden_by_a_silent_gateway() -> None:
    stack = Stack(condition={"type": "absence", "after_s": 120})
    for _ in range(LEARNED + 2):
        stack.deliver(rows(stack.now_ms, 20.0, series="pump1/a"))
        stack.deliver(rows(stack.now_ms, 20.0, series="pump1/b"))
        stack.tick()
    for _ in range(3):
        stack.deliver(rows(stack.now_ms, 20.0, series="pump1/a"))
        stack.tick()
    assert stack.states(AlertKind.RULE) == [("pump1/b", "firing")]
    for _ in range(8):
        stack.tick()
    assert stack.states(AlertKind.SILENCE) == [("", "firing")]
    (silence,) = stack.all(AlertKind.SILENCE)
    assert {one.inhibited_by for one in stack.all(AlertKind.RULE) if one.state is not State.RESOLVED} == {silence.id}
    writes = len([new for _, new in stack.alerts.stream if new["kind"] == "alert"])
    stack.tick()
    stack.tick()
    assert len([new for _, new in stack.alerts.stream if new["kind"] == "alert"]) == writes


@pytest.mark.slow
def test_a_forecast_rule_fires_before_the_limit_is_reached() -> None:
    stack = Stack(condition={"type": "forecast", "limit": 100, "side": "high", "within_s": 7_200})
    rng = np.random.default_rng(3)
    for at in range(12):
        means = 20 + (at * 30 + np.arange(30)) * 0.2 + rng.normal(0, 0.1, 30)
        stack.now_ms += FORECAST_MS
        stack.deliver(rows(stack.now_ms, *means, width_ms=30_000))
        stack.tick(0)
    fired = stack.all(AlertKind.RULE)
    assert [one.state for one in fired] == [State.FIRING]
    assert 0 < (fired[0].report.observed or 0) <= 7_200


@pytest.mark.parametrize(("unit", "fired"), [("Cel", [State.FIRING]), ("K", [])])
def test_a_forecast_is_made_from_the_rows_of_the_newest_unit(unit: str, fired: list[State]) -> None:
    stack = Stack(condition={"type": "forecast", "limit": 100, "side": "high", "within_s": 7_200})
    means = 20 + np.arange(240) * 0.3 + np.random.default_rng(3).normal(0, 0.1, 240)
    stack.deliver(rows(stack.now_ms - 30_000, *means, width_ms=30_000))
    stack.deliver(replace(rows(stack.now_ms, 92.0, width_ms=30_000), series=(Series("pump1/temperature", unit),)))
    stack.tick(0)
    assert [one.state for one in stack.all(AlertKind.RULE)] == fired


@pytest.mark.parametrize(
    ("notices", "rule"),
    [
        ([{"spool_bytes": size} for size in (1, 2, 900_000, 1_100_000)], "spool"),
        ([{"spool_bytes": size} for size in (1, 2, 3, 4)], ""),
        ([{"spool_bytes": size} for size in (2_000_000, 2_100_000, 1_900_000, 2_200_000)], ""),
        ([{"stale_Aggregator": 300}], "component.Aggregator"),
        ([{"stale_Aggregator": 20}], ""),
    ],
)
def test_the_notices_of_a_gateway_raise_alerts_about_its_health(notices: list[dict[str, int]], rule: str) -> None:
    stack = Stack()
    for status in notices:
        stack.deliver(Notice(stack.now_ms, {"Status": status}))
        stack.tick(5)
    assert [one.origin.rule for one in stack.all(AlertKind.HEALTH)] == ([rule] if rule else [])
    stack.deliver(Notice(stack.now_ms, {"Status": {}}))
    stack.tick(5)
    assert all(one.state is State.RESOLVED for one in stack.all(AlertKind.HEALTH))


@pytest.mark.parametrize(
    ("offsets", "wrong"),
    [
        ([130_000], True),
        ([60_000], False),
        ([-400_000, -410_000], True),
        ([-400_000], False),
        ([-700_000, -400_000], False),
    ],
)
def test_a_wrong_clock_differs_from_a_notice_that_was_delayed(offsets: list[int], wrong: bool) -> None:
    history = [health.Notice(NOW_MS + at + offset, NOW_MS + at, 0, {}) for at, offset in enumerate(offsets)]
    assert [one.rule for one in health.findings(history)] == (["clock"] if wrong else [])


def test_an_open_alert_is_repeated_until_it_is_acknowledged_and_escalated_once() -> None:
    stack = Stack()
    stack.document("channels", "mail", {"type": "email", "to": ["a@example.com"]})
    stack.document("channels", "boss", {"type": "email", "to": ["b@example.com"]})
    stack.document(
        "routes",
        "people",
        {
            "channels": ["mail"],
            "repeat_s": 600,
            "group_interval_s": 60,
            "escalate_after_s": 900,
            "escalate_to": ["boss"],
        },
    )
    alert = stack.book.report(GATEWAY, report())
    for _ in range(40):
        stack.tick()
    # At once, and after 10, 20, 30 and 40 minutes.
    assert len(stack.outbox.events("mail")) == 5
    assert len(stack.outbox.events("boss")) == 1
    stack.now_ms += 1
    stack.book.acknowledge(alert.id, "Ada")
    stack.tick()
    stack.tick()
    sent = len(stack.outbox.events("mail"))
    for _ in range(30):
        stack.tick()
    assert len(stack.outbox.events("mail")) == sent
    events = [one["event"] for one in stack.book.find(alert.id).events()]
    assert events == ["opened", "fired", "escalated", "renotified", "acknowledged"]


def test_a_silence_that_ends_releases_its_alerts_and_a_new_one_marks_them() -> None:
    stack = Stack()
    stack.document("silences", "s", {"from": 0, "to": NOW_MS + 90_000, "author": "Ada", "comment": "x"})
    stack.book.report(GATEWAY, report())
    stack.tick()
    assert stack.outbox.events("default-sns") == []
    stack.tick()
    assert len(stack.outbox.events("default-sns")) == 1
    stack.document("silences", "t", {"from": 0, "to": NOW_MS + 10**8, "author": "Ada", "comment": "x"})
    stack.tick()
    assert [one.silenced_by for one in stack.all()] == ["t"]


def test_a_flapping_alert_is_published_when_it_has_been_steady() -> None:
    stack = Stack()
    for at in range(9):
        one = replace(report(), onset_ms=START_MS + at * 1_000, time_ms=START_MS + at * 1_000 + 1)
        stack.book.report(GATEWAY, one)
        if at < 8:
            stack.book.report(GATEWAY, replace(one, phase=Phase.END, time_ms=one.time_ms + 1))
    stack.tick()
    assert [one.flapping for one in stack.all() if one.state is State.FIRING] == [True]
    sent = len(stack.outbox.events("default-sns"))
    stack.tick(FLAPPING_WINDOW_MS / MINUTE_MS)
    assert [one.flapping for one in stack.all() if one.state is State.FIRING] == [False]
    assert len(stack.outbox.events("default-sns")) == sent + 1


def test_an_alert_of_the_gateway_itself_is_not_hidden() -> None:
    stack = Stack()
    for _ in range(LEARNED + 2):
        stack.deliver(rows(stack.now_ms, 20.0))
        stack.tick()
    stack.tick(30)
    (silence,) = stack.all()
    other = stack.book.report(GATEWAY, report())
    assert inhibitors([silence, other]) == {GATEWAY: silence.id}
    assert inhibitor_of(other, {GATEWAY: silence.id}) == silence.id
    assert inhibitor_of(silence, {GATEWAY: silence.id}) == ""


def test_two_runs_at_once_share_the_shards_and_a_run_without_time_is_continued() -> None:
    stack = Stack()
    for at in range(30):
        stack.deliver(rows(stack.now_ms, 20.0), f"gw-{at}", 1)
    left = iter([60_000] * 20 + [RESERVED_MS - 1] * 10_000)
    first = stack.watch.run(lambda: next(left))
    assert first < SHARDS
    assert 0 < len(stack.alerts.of_kind("watched")) < 30
    stack.watch.run(lambda: 60_000)
    assert len(stack.alerts.of_kind("watched")) == 30
    # A shard under the lease of another run is left out.
    for shard in range(SHARDS):
        item = dict(stack.alerts.items[keys.watch_shard(shard)])
        stack.alerts.items[keys.watch_shard(shard)] = item | {"lease_ms": stack.now_ms + 1}
    assert stack.watch.run(lambda: 60_000) == 0


def test_a_run_works_while_five_seconds_are_left() -> None:
    stack = Stack()
    assert stack.watch.run(lambda: 4_999) == 0
    assert stack.watch.run(lambda: 5_000) == SHARDS


def test_the_notifications_of_groups_are_counted() -> None:
    stack = Stack()
    member = {"id": "e", "gateway": "g", "state": "firing", "severity": "info", "onset_ms": 1}
    stack.groups.add({replace(_group(), wait_ms=1_000): {"e": member}})
    stack.tick(0)
    assert stack.metrics.counts["notifications"] == 0
    stack.tick()
    assert stack.metrics.counts["notifications"] == 1


def test_gateways_of_a_shard_with_few_of_them_are_watched_each_minute() -> None:
    stack = Stack(silent_ms=PROMPT_MS)
    stack.deliver(rows(stack.now_ms, 20.0))
    for _ in range(SLOTS):
        stack.tick()
    assert stack.metrics.counts["watched_gateways"] == SLOTS


def test_a_gateway_without_rules_is_watched_once_in_five_minutes_and_one_with_a_rule_each_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "FEW", 0)
    stack = Stack(silent_ms=PROMPT_MS)
    names = [f"gw-{at}" for at in range(30)]
    for name in names:
        stack.deliver(rows(stack.now_ms, 20.0), name, 1)
    stack.tick()
    assert len(stack.alerts.of_kind("watched")) == 30  # the first pass covers all
    seen = []
    for _ in range(SLOTS):
        before = stack.metrics.counts["watched_gateways"]
        stack.tick()
        seen.append(stack.metrics.counts["watched_gateways"] - before)
    assert sum(seen) == 30
    assert max(seen) < 15
    # Runs that were missed are made up for.
    before = stack.metrics.counts["watched_gateways"]
    stack.tick(SLOTS)
    assert stack.metrics.counts["watched_gateways"] - before == 30
    stack.document("rules", "hot", HOT | {"gateways": "gw-7"})
    before = stack.metrics.counts["watched_gateways"]
    for _ in range(SLOTS):
        stack.tick()
    assert stack.metrics.counts["watched_gateways"] - before == 30 + SLOTS - 1


@pytest.mark.parametrize(("silent_ms", "watched"), [(15 * MINUTE_MS - 1, SLOTS), (15 * MINUTE_MS, 1)])
def test_a_gateway_whose_silence_is_below_fifteen_minutes_is_watched_each_minute(
    monkeypatch: pytest.MonkeyPatch, silent_ms: int, watched: int
) -> None:
    monkeypatch.setattr(watch, "FEW", 0)
    stack = Stack(silent_ms=silent_ms)
    stack.deliver(rows(stack.now_ms, 20.0))
    stack.tick(SLOTS)
    before = stack.metrics.counts["watched_gateways"]
    for _ in range(SLOTS):
        stack.tick()
    assert stack.metrics.counts["watched_gateways"] - before == watched


def test_an_opened_alert_is_counted_once() -> None:
    stack = Stack(**HOT)
    opened = []
    for mean in (20.0, 90.0, 95.0, 70.0):
        stack.deliver(rows(stack.now_ms, mean))
        stack.tick()
        opened.append(stack.metrics.counts["opened_alerts"])
    assert stack.states(AlertKind.RULE) == [("pump1/temperature", "resolved")]
    assert opened == [0, 1, 1, 1]


def test_known_series_are_watched_when_no_more_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_watch_module, "MAX_SERIES", 1)
    stack = Stack(**HOT)
    for series in ("pump1/temperature", "fan/speed", "pump1/temperature"):
        stack.deliver(rows(stack.now_ms, 20.0, series=series))
        stack.tick()
    (item,) = stack.alerts.of_kind("watched")
    known = Watched.from_item(item).series
    assert {name: rhythm.last_ms for name, rhythm in known.items()} == {"pump1/temperature": stack.now_ms - MINUTE_MS}


def test_the_progress_of_a_gateway_expires_thirty_days_after_it_was_watched() -> None:
    assert Watched().to_item(GATEWAY, NOW_MS + 999)["expires_at"] == NOW_MS // 1000 + 30 * 86_400


def test_a_silent_gateway_is_watched_each_minute_until_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FEW", 0)
    stack = Stack(silent_ms=PROMPT_MS)
    for _ in range(40):
        stack.deliver(rows(stack.now_ms, 20.0))
        stack.tick()
    for _ in range(22):
        stack.tick()
    assert stack.states(AlertKind.SILENCE) == [("", "firing")]
    stack.deliver(rows(stack.now_ms, 20.0))
    stack.tick()
    assert stack.states(AlertKind.SILENCE) == [("", "resolved")]


def test_rows_are_decoded_only_where_a_rule_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    rows_of = batch_rows.rows_of
    monkeypatch.setattr(
        gateway_watch_module, "rows_of", lambda batch, find: decoded.append(batch.sequence) or rows_of(batch, find)
    )
    stack = Stack(**HOT, series="pump1/*")
    stack.document("rules", "later", {"condition": {"type": "silence", "of": "series", "after_s": 600}})
    stack.deliver(rows(stack.now_ms, 20.0, series="fan/speed"), sequence=1)
    stack.tick()
    stack.deliver(rows(stack.now_ms, 90.0), sequence=2)
    stack.tick()
    assert decoded == [2]
    assert stack.states(AlertKind.RULE) == [("pump1/temperature", "firing")]
    (item,) = stack.alerts.of_kind("watched")
    assert sorted(Watched.from_item(item).series) == ["fan/speed", "pump1/temperature"]


def test_series_of_batches_with_a_profile_are_named_and_the_profile_is_read_once() -> None:
    stack = Stack()
    known = profile.learn(rows(stack.now_ms, 20.0))
    found: list[int] = []

    def profiles(gateway: str, version: int) -> Any:
        found.append(version)
        return known

    watched, batch = Watched(), codec.shorten(codec.pack(rows(stack.now_ms, 20.0)), known)
    stored = StoredBatch(GATEWAY, 7, 1, "bulk", "aggregates", 1, 1, b"", NOW_MS, codec.seal(GATEWAY, 7, 1, batch))
    watched.series["pump1/temperature"] = Rhythm(NOW_MS)
    assert series_of(stored, watched, profiles) == ["pump1/temperature"]
    again = Watched.from_item(watched.to_item(GATEWAY, NOW_MS) | {"version": 1})
    assert series_of(stored, again, profiles) == ["pump1/temperature"]
    assert found == [known.version]
    with pytest.raises(UnreadableBatchError, match="not known"):
        series_of(stored, Watched(), lambda *_: None)


def test_a_set_silence_replaces_the_learned_one_and_has_the_severity_of_its_rule() -> None:
    stack = Stack(condition={"type": "silence", "after_s": 120}, severity="info", gateways="gw-*")
    stack.deliver(rows(stack.now_ms, 20.0))
    stack.tick()
    stack.tick()
    assert stack.all() == []
    stack.tick()
    (alert,) = stack.all()
    assert (alert.origin.kind, alert.report.series, alert.severity, alert.state) == (
        AlertKind.SILENCE,
        "",
        "info",
        State.FIRING,
    )
    # A longer time ends the alert, and so does data.
    stack.document("rules", "hot", {"condition": {"type": "silence", "after_s": 86_400}, "gateways": "gw-1"})
    stack.tick()
    assert stack.states(AlertKind.SILENCE) == [("", "resolved")]
    stack.tick(23 * 60)
    assert stack.states(AlertKind.SILENCE) == [("", "resolved")]
    stack.tick(61)
    assert [one.state for one in stack.all() if one.state is State.FIRING] == [State.FIRING]


@pytest.mark.slow
def test_the_own_series_of_a_gateway_are_silent_only_if_a_rule_sets_their_silence() -> None:
    def silent(**rule: Any) -> list[tuple[str, str]]:
        stack = Stack(**rule)
        for _ in range(LEARNED + 2):
            for name in ("host.cpu", "pump1/a", "pump1/b"):
                stack.deliver(rows(stack.now_ms, 20.0, series=name))
            stack.tick()
        for _ in range(30):
            stack.deliver(rows(stack.now_ms, 20.0, series="pump1/a"))
            stack.tick()
        return sorted(stack.states(AlertKind.SILENCE))

    assert silent() == [("pump1/b", "firing")]
    of_series = {"type": "silence", "of": "series", "after_s": 600}
    assert silent(condition=of_series) == [("pump1/b", "firing")]
    assert silent(condition=of_series, series="host.*") == [("host.cpu", "firing"), ("pump1/b", "firing")]


def test_a_silence_of_an_own_series_that_was_opened_before_ends() -> None:
    stack = Stack(condition={"type": "silence", "of": "series", "after_s": 180}, series="host.*")
    stack.deliver(rows(stack.now_ms, 20.0, series="host.cpu"))
    for _ in range(5):
        stack.deliver(rows(stack.now_ms, 20.0, series="pump1/a"))
        stack.tick()
    assert stack.states(AlertKind.SILENCE) == [("host.cpu", "firing")]
    stack.document("rules", "hot", {"condition": {"type": "silence", "of": "series", "after_s": 600}, "series": "p*"})
    for _ in range(6):
        stack.deliver(rows(stack.now_ms, 20.0, series="pump1/a"))
        stack.tick()
    assert stack.states(AlertKind.SILENCE) == [("host.cpu", "resolved")]


def test_a_set_silence_of_series_holds_for_the_series_that_it_names() -> None:
    stack = Stack(condition={"type": "silence", "of": "series", "after_s": 180}, series="pump1/b")
    for name in ("pump1/a", "pump1/b"):
        stack.deliver(rows(stack.now_ms, 20.0, series=name))
    for _ in range(4):
        stack.tick()
        stack.deliver(rows(stack.now_ms, 20.0, series="pump1/a"))
    assert stack.states(AlertKind.SILENCE) == [("pump1/b", "firing")]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"condition": {"type": "silence", "after_s": 59}}, "condition.after_s: 59: seconds from 60"),
        ({"condition": {"type": "silence"}}, "condition.after_s: None"),
        ({"condition": {"type": "silence", "after_s": 60, "of": "site"}}, "condition.of: 'site': one of gateway"),
        ({"condition": {"type": "silence", "after_s": 60}, "series": "a*"}, "series: 'a*': * with a condition of"),
        ({"condition": {"type": "silence", "after_s": 60}, "for_s": 5}, "for_s: 5: 0 with the condition silence"),
        ({"condition": {"type": "silence", "after_s": 60, "above": 1}}, "condition.above: no such key"),
    ],
)
def test_an_invalid_set_silence_names_the_key(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(RequestError) as error:
        rules.parse({"name": "r"} | changes)
    assert error.value.problems[0].startswith(problem)


def test_the_first_rule_by_name_sets_a_silence() -> None:
    found = [
        rules.parse({"name": name, "gateways": glob, "condition": {"type": "silence", "after_s": after}})
        for name, glob, after in (("b", "*", 60), ("a", "gw-?", 120))
    ]
    first, second = rules.set_silence(found, "gw-1"), rules.set_silence(found, "other")
    assert first is not None and second is not None  # noqa: PT018 - both are found
    assert (first.name, second.name) == ("a", "b")
    assert rules.set_silence(found, "gw-1", "pump/a") is None
    assert rules.parse(found[0].to_dict()) == found[0]


@pytest.mark.parametrize(("took", "number"), [((), 1), ((20_000,), 1), ((20_000, 20_000), 2), ((85_000,) * 16, 16)])
def test_the_number_of_workers_follows_the_time_of_the_last_passes(took: tuple[int, ...], number: int) -> None:
    shards: list[Any] = [{"took_ms": ms} for ms in took]
    assert workers(shards + [{}] * (16 - len(shards))) == number


def test_the_run_of_the_schedule_starts_workers_and_the_time_of_a_pass_is_kept() -> None:
    stack = Stack()
    for at in range(30):
        stack.deliver(rows(stack.now_ms, 20.0), f"gw-{at}", 1)
    started: list[int] = []

    def slow() -> int:
        stack.now_ms += 4_000  # each step takes some seconds
        return 60_000

    stack.watch.run(slow, started.append)
    assert started == []
    stack.watch.run(slow, started.append)
    assert len(started) == 1
    assert 0 < started[0] < SHARDS
    stack.watch.run(slow)
    assert len(started) == 1


def test_a_failing_read_of_progress_is_repeated_for_each_gateway() -> None:
    stack = Stack(**HOT)
    stack.deliver(rows(stack.now_ms, 90.0))
    get_many, calls = stack.alerts.get_many, []

    def fails_once(keys: Any) -> Any:
        if any(key.sk == "shard" for key in keys):
            return get_many(keys)
        calls.append(keys)
        if len(calls) == 1:
            raise StoreError("throttled")
        return get_many(keys)

    stack.alerts.get_many = fails_once
    stack.tick()
    assert [one.report.series for one in stack.all()] == ["pump1/temperature"]
    assert stack.metrics.counts["failed_steps"] == 1


def test_a_gateway_that_cannot_be_watched_has_no_effect_on_others() -> None:
    stack = Stack(**HOT)
    for name in ("gw-1", "gw-2"):
        stack.deliver(rows(stack.now_ms, 90.0), name, 1)
    stack.alerts.items[keys.watched("gw-1")] = {"pk": "x", "sk": "y", "kind": "watched", "body": b"?", "version": 1}
    stack.tick()
    assert [one.gateway for one in stack.all()] == ["gw-2"]
    assert stack.metrics.counts["failed_steps"] == 1


def test_a_failing_queue_does_not_stop_the_timer() -> None:
    stack = Stack()
    stack.document("channels", "mail", {"type": "email", "to": ["a@example.com"]})
    stack.document("routes", "people", {"channels": ["mail"], "repeat_s": 60})
    stack.book.report(GATEWAY, report())
    stack.tick()
    stack.outbox.failures = 1
    with pytest.raises(StoreError):
        stack.groups.add(
            {_group(): {"e": {"id": "e", "gateway": "g", "state": "firing", "severity": "info", "onset_ms": 1}}}
        )
    stack.tick()
    assert stack.metrics.counts["failed_steps"] == 0


def _group() -> Group:
    return Group("r", "mail", "email", "t", 0, 1_000)


@given(st.lists(st.integers(1, 10_000), min_size=LEARNED + 1, max_size=30), st.integers(1, 50_000))
def test_a_rhythm_expects_at_least_three_of_its_longest_recent_intervals(gaps: list[int], least_ms: int) -> None:
    rhythm = Rhythm(0)
    now_ms = 0
    for gap in gaps:
        now_ms += gap
        rhythm = rhythm.observe(now_ms).observe(now_ms)
    silent_ms = rhythm.silent_from_ms(least_ms)
    assert silent_ms is not None
    assert silent_ms >= now_ms + least_ms
    assert silent_ms <= now_ms + max(least_ms, 3 * max(gaps))
    assert Rhythm.from_list(rhythm.to_list()).last_ms == now_ms


def test_a_single_long_interval_does_not_stretch_the_expectation_but_a_lasting_change_does() -> None:
    rhythm = Rhythm(0)
    for at in range(1, 10):
        rhythm = rhythm.observe(at * 1_000)
    after_gap = rhythm.observe(9_000 + 100_000)
    assert after_gap.longest_ms == 1_500
    for at in range(1, 20):
        after_gap = after_gap.observe(109_000 + at * 10_000)
    assert 9_000 <= after_gap.longest_ms <= 10_000


def test_the_envelope_of_a_test_batch_is_what_a_topic_rule_sends() -> None:
    batch = Batch(GATEWAY, 7, 1, rows(NOW_MS, 1.0))
    assert open_envelope(read_envelope(_body(batch, "bulk", NOW_MS)), check_client=True).name.gateway == GATEWAY
