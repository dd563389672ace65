"""Late readings open or correct windows, as revisions: each reading is counted once, within limits of age and
memory."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.aggregator import backlog, closed_windows, deduplicator
from edge_components.aggregator.component import LATE_IN_FLIGHT
from edge_components.aggregator.emitted_ranges import EmittedRanges
from edge_components.aggregator.window_types import Closed, WindowSettings
from edge_components.aggregator.windows import Windows
from tests.examples import examples, some_slow
from tests.unit.aggregator.test_component import START, Rig, readings

HOUR_MS = 3_600_000
NAME = "pump-1.temperature"
Row = tuple[int, int, float]
Best = dict[tuple[str, int], tuple[int, int, float, float, float]]


def best(rig: Rig) -> Best:
    """Return (revision, count, mean, min, max) of the highest revision, by series and start; gaps are left out."""
    found: Best = {}
    for rows in rig.batches().values():
        names = ("start_ms", "revision", "count", "mean", "min", "max")
        columns = (getattr(rows, name).tolist() for name in names)
        series = [rows.series[index].name for index in rows.series_index.tolist()]
        for name, start, revision, count, mean, low, high in zip(series, *columns, strict=True):
            if count and revision >= found.get((name, start), (-1,))[0]:
                found[name, start] = (revision, count, mean, low, high)
    return found


def expected(times: list[int], values: list[float], width: int) -> dict[int, tuple[int, float, float, float]]:
    """Return count, mean, min and max of each window by start."""
    windows: dict[int, list[float]] = {}
    for time_ms, value in zip(times, values, strict=True):
        windows.setdefault(time_ms - time_ms % width, []).append(value)
    return {start: (len(found), float(np.mean(found)), min(found), max(found)) for start, found in windows.items()}


def assert_windows(found: Best, wanted: dict[int, tuple[int, float, float, float]]) -> None:
    """Compare the windows of NAME with those of the readings sent."""
    rows = {start: row[1:] for (name, start), row in found.items() if name == NAME}
    assert rows.keys() == wanted.keys()
    for start, row in wanted.items():
        assert rows[start] == pytest.approx(row), start


def revisions(rig: Rig) -> list[list[int]]:
    """Return the revisions of each batch's rows."""
    return [rows.revision.tolist() for rows in rig.batches().values()]


class Logger:
    """A logger that was disconnected for six hours, and a live sensor."""

    def __init__(self, rig: Rig, *, seed: int = 1) -> None:
        self.rig, self.sequence = rig, 0
        self.times = [START + 5000 * at for at in range(6 * 720)]
        self.values = [float(20 + at % 17) for at in range(len(self.times))]
        self.now = self.times[-1] + 5000
        self.random = random.Random(seed)

    def send(self, times: list[int], values: list[float], name: str = NAME) -> None:
        self.sequence += 1
        self.rig.offer(self.sequence, readings(times, values, name))

    def live(self) -> None:
        """Send the live values of the logger and of the other sensor."""
        self.rig.clock.wall = self.now
        self.times.append(self.now)
        self.values.append(30.0)
        self.send([self.now], [30.0])
        self.send([self.now], [1.0], "other.temperature")
        self.now += 1000
        self.rig.tick(1.0)

    def parts(self, size: int) -> list[tuple[list[int], list[float]]]:
        """Return the backlog in parts."""
        bounds = [(at, min(at + size, 4320)) for at in range(0, 4320, size)]
        return [(self.times[start:end], self.values[start:end]) for start, end in bounds]


def logger(work: Path, **values: Any) -> Logger:
    rig = Rig(work, **{"window_ms": 60_000, "gap_windows": 0, "allowed_lateness_ms": 0} | values)
    return Logger(rig)


@pytest.mark.slow
@pytest.mark.parametrize("order", some_slow(["mixed", "oldest first", "newest first"], fast=1))
def test_a_logger_that_sends_its_live_value_first_gets_six_hours_of_correct_windows(tmp_path: Path, order: str) -> None:
    site = logger(tmp_path)
    site.live()
    site.live()
    parts = site.parts(180)
    if order != "oldest first":
        parts = parts[::-1] if order == "newest first" else site.random.sample(parts, len(parts))
    for times, values in parts:
        site.send(times, values)
        site.live()
        site.rig.forwarder_holds_all()
    for _ in range(70):
        site.live()
        site.rig.forwarder_holds_all()
    found = best(site.rig)
    wanted = expected(site.times, site.values, 60_000)
    newest = max(start for name, start in found if name == NAME)
    assert_windows(found, {start: row for start, row in wanted.items() if start <= newest})
    late = [revision for (name, _), (revision, *_) in found.items() if name == NAME and revision]
    assert len(late) >= 359
    assert site.rig.runtime.counters["rejected_late"] == 0
    assert site.rig.runtime.counters["readings_backlog"] > 4300
    site.rig.kill()


def test_rows_of_late_readings_are_sent_in_batches_of_their_own(tmp_path: Path) -> None:
    site = logger(tmp_path, window_ms=1000)
    for _ in range(3):
        site.live()
    site.send(*site.parts(100)[0])
    for _ in range(8):
        site.live()
        site.rig.forwarder_holds_all()
    batches = revisions(site.rig)
    assert [1] * 100 in batches
    assert all(len({number > 0 for number in batch}) == 1 for batch in batches)
    site.rig.kill()


def test_a_late_reading_corrects_a_window_that_was_emitted_by_a_further_revision(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.offer(1, readings([START, START + 400, START + 3000], [1.0, 3.0, 5.0]))
    rig.run_out(2.0)
    for sequence, late in enumerate(([START + 200], [START + 100, START + 900]), 2):
        rig.offer(sequence, readings(late, [8.0] * len(late)))
        rig.run_out(4.0)
    assert best(rig)[NAME, START] == pytest.approx((2, 5, 5.6, 1.0, 8.0))
    assert rig.runtime.counters["revisions"] == 2
    assert rig.runtime.counters["readings_aggregated"] == 6
    rig.kill()


def test_repeated_late_readings_count_once_also_after_a_restart(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.offer(1, readings([START + 5000], [1.0]))
    rig.run_out(2.0)
    late = readings([START, START + 100, START + 1100], [1.0, 2.0, 3.0])
    rig.offer(2, late)
    rig.run_out(4.0)
    rig.kill()
    rig.boot()
    rig.offer(3, late)
    rig.offer(4, readings([START + 100, START + 200], [2.0, 4.0]))
    rig.run_out(4.0)
    assert {start: row[:2] for (_, start), row in best(rig).items()} == {
        START: (2, 3),
        START + 1000: (1, 1),
        START + 5000: (0, 1),
    }
    rig.kill()


def test_without_a_backlog_late_readings_are_dropped_and_counted(tmp_path: Path) -> None:
    rig = Rig(tmp_path, allowed_backlog_ms=0)
    rig.offer(1, readings([START + 5000], [1.0]))
    rig.run_out(2.0)
    rig.offer(2, readings([START, START + 100], [1.0, 2.0]))
    rig.run_out(4.0)
    assert rig.runtime.counters["rejected_late"] == 2
    assert list(best(rig)) == [(NAME, START + 5000)]
    rig.kill()


def test_readings_older_than_the_allowed_backlog_are_dropped(tmp_path: Path) -> None:
    rig = Rig(tmp_path, allowed_backlog_ms=HOUR_MS)
    rig.offer(1, readings([START], [1.0]))
    rig.run_out(2.0)
    rig.offer(2, readings([START - HOUR_MS - 2000, START - HOUR_MS + 5000], [1.0, 2.0]))
    rig.run_out(4.0)
    assert rig.runtime.counters["rejected_late"] == 1
    assert {start for _, start in best(rig)} == {START, START - HOUR_MS + 5000}
    rig.kill()


@pytest.mark.slow
def test_a_window_whose_readings_are_not_remembered_any_more_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deduplicator, "MAX_CLOSED", 2000)
    monkeypatch.setattr(deduplicator, "_CLOSED_RUN", 250)
    rig = Rig(tmp_path)
    for second in range(60):
        times = [START + 1000 * second + 10 * at for at in range(100)]
        rig.offer(second + 1, readings(times, [1.0] * 100))
        rig.tick(1.0)
    before = best(rig)[NAME, START]
    rig.forwarder_holds_all()
    rig.offer(61, readings([START + 5], [99.0]))
    rig.offer(62, readings([START + 50_005], [99.0]))
    rig.run_out(6.0)
    assert best(rig)[NAME, START] == before
    assert best(rig)[NAME, START + 50_000][:2] == (1, 101)
    assert rig.runtime.counters["rejected_late"] == 1
    rig.kill()


def test_few_batches_of_late_rows_wait_in_the_outbox_so_that_live_rows_go_soon(tmp_path: Path) -> None:
    site = logger(tmp_path, window_ms=1000)
    site.live()
    for times, values in site.parts(300):
        site.send(times, values)
        site.live()
    for _ in range(4):
        site.live()
    batches = revisions(site.rig)
    assert sum(1 for batch in batches if any(batch)) <= LATE_IN_FLIGHT
    sent = len(batches)
    site.live()
    site.live()
    assert [batch for batch in revisions(site.rig)[sent:] if not any(batch)]
    site.rig.kill()


def test_a_new_series_in_the_place_of_another_accepts_no_window_that_the_other_may_have_had(tmp_path: Path) -> None:
    rig = Rig(tmp_path, max_series=1)
    rig.offer(1, readings([START, START + 5000], [1.0, 1.0], "one"))
    rig.run_out(4.0)
    rig.clock.wall += 60_000
    rig.offer(2, readings([START + 20_000], [1.0], "two"))
    rig.run_out(4.0)
    rig.offer(3, readings([START + 40_000], [1.0], "one"))
    rig.run_out(4.0)
    rig.offer(4, readings([START + 100, START + 30_000], [50.0, 50.0], "one"))
    rig.run_out(6.0)
    assert best(rig)["one", START][:2] == (0, 1)
    assert best(rig)["one", START + 30_000][:2] == (1, 1)
    assert rig.runtime.counters["rejected_late"] == 1
    rig.kill()


def test_after_a_change_of_width_emitted_time_is_not_covered_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.clock.wall += 60_000
    for sequence in range(1, 6):
        rig.offer(sequence, readings([START + 1000 * sequence - 1000], [1.0]))
        rig.tick(0.5)
    rig.offer(6, readings([START + 60_000], [3.0]))
    rig.run_out(4.0)
    rig.config = type(rig.config)(
        **{name: getattr(rig.config, name) for name in rig.config.__slots__} | {"window_ms": 5000}
    )
    rig.aggregator.reconfigure(rig.config)
    rig.offer(7, readings([START + 500, START + 30_500], [7.0, 7.0]))
    rig.run_out(6.0)
    rows = best(rig)
    assert rows[NAME, START][:2] == (0, 1)
    assert rows[NAME, START + 30_000][:2] == (1, 1)
    assert rig.runtime.counters["rejected_late"] == 1
    rig.kill()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("live"), st.integers(1, 4000)),
        st.tuples(st.just("late"), st.lists(st.integers(1, 60_000), min_size=1, max_size=8)),
        st.tuples(st.just("repeat"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.integers(1, 8)),
        st.just(("kill",)),
        st.just(("close",)),
    ),
    max_size=14,
)


@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None)
@given(steps)
def test_killed_at_any_moment_late_and_live_readings_count_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, script: list[Any]
) -> None:
    rig = Rig(tmp_path_factory.mktemp("rig"))
    sent: dict[int, list[tuple[list[int], list[float]]]] = {}
    given_readings: dict[int, float] = {}
    newest, sequence = START, 0
    for name, *arguments in [*script, ("live", 60_000), ("wait", 20)]:
        if name in ("live", "late"):
            newest += arguments[0] if name == "live" else 0
            rig.clock.wall = max(rig.clock.wall, newest)
            times = [newest] if name == "live" else sorted({max(newest - one, 0) for one in arguments[0]})
            values = [float(time_ms % 97) for time_ms in times]
            sequence += 1
            given_readings |= dict(zip(times, values, strict=True))
            sent[sequence] = [(times, values)]
            rig.offer(sequence, readings(times, values))
            rig.tick(0.3)
        elif name == "repeat" and sequence - arguments[0] in sent:
            ((times, values),) = sent[sequence - arguments[0]]
            sequence += 1
            sent[sequence] = [(times, values)]
            rig.offer(sequence, readings(times, values))
        elif name == "wait":
            rig.run_out(arguments[0])
        elif name in ("kill", "close"):
            rig.aggregator.close() if name == "close" else rig.kill()
            rig.boot()
            highest = max((ack.cumulative for ack in rig.acks()), default=0)
            for number in range(highest + 1, sequence + 1):
                rig.offer(number, readings(*sent[number][0]))
    found = best(rig)
    wanted = expected(list(given_readings), list(given_readings.values()), 1000)
    assert_windows(found, wanted)
    assert rig.runtime.counters["rejected_late"] == 0
    rig.kill()


rows = st.lists(st.tuples(st.integers(0, 2), st.integers(-40_000, 5_000), st.floats(-100, 100)), max_size=15)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(rows, st.floats(0, 20)), max_size=12), st.sampled_from([1000, 7919]), st.integers(1, 12))
def test_the_highest_revisions_hold_every_reading_that_was_not_dropped(
    script: list[tuple[list[Row], float]], width: int, limit: int
) -> None:
    windows = Windows(WindowSettings(width, lateness_ms=0, gap_windows=0, backlog_ms=30_000))
    found: dict[tuple[int, int], tuple[int, int]] = {}
    accepted, dropped, now = 0, 0, 0.0

    def collect(closed: Closed) -> None:
        keys = zip(closed.series_id.tolist(), closed.start_ms.tolist(), strict=True)
        values = zip(closed.revision.tolist(), closed.count.tolist(), strict=True)
        for key, (revision, count) in zip(keys, values, strict=True):
            assert key not in found or revision == found[key][0] + 1
            found[key] = revision, count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backlog, "MAX_OPEN", limit)
        patch.setattr(closed_windows, "MAX_WINDOWS", limit)
        for number, (batch, pause) in enumerate(script):
            ids, offset, value = (np.array([row[at] for row in batch]) for at in range(3))
            time_ms = START + round(now * 1000) + offset.astype(np.int64)
            dropped += windows.add(
                ids.astype(np.int64), time_ms, value.astype(float), START + round(now * 1000), now, number
            )
            accepted += len(batch)
            now += pause
            collect(windows.close(now, number))
            collect(windows.close_late(now)[0])
        live, late, _ = windows.end(np.ones(3, np.bool_))
        collect(late)
        collect(live)
    assert sum(count for _, count in found.values()) == accepted - dropped


cover = st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), min_size=1, max_size=10), max_size=10)


@given(cover, st.integers(0, 3))
def test_emitted_ranges_cover_every_window_added(added: list[list[tuple[int, int]]], slack: int) -> None:
    ranges, covered = EmittedRanges(), set()
    ranges.grow(3)
    for windows in added:
        series_id, start = np.array(sorted(set(windows)), np.int64).T
        ranges.add(series_id, start * 10, start * 10 + 10, np.full(3, slack * 10))
        covered |= set(windows)
    every = np.array([(series, start) for series in range(3) for start in range(61)], np.int64)
    mask = ranges.overlap(every[:, 0], every[:, 1] * 10, every[:, 1] * 10 + 10)
    found = {(int(series), int(start)) for series, start in every[mask]}
    assert covered <= found


def test_a_gap_between_ranges_stays_free_until_there_are_too_many() -> None:
    ranges = EmittedRanges()
    ranges.grow(1)
    ids, slack = np.zeros(1, np.int64), np.full(1, 20)
    for start in range(0, 1000, 10):
        ranges.add(ids, np.array([start]), np.array([start + 10]), slack)
    for start in (5000, 5020, 9000, 12_000):
        ranges.add(ids, np.array([start]), np.array([start + 10]), slack)
    probes = np.array([995, 1000, 4990, 5010, 5030, 8990, 9010, 11_990, 12_010])
    found = ranges.overlap(np.zeros(len(probes), np.int64), probes, probes + 10).tolist()
    assert found == [True, False, False, True, False, False, False, False, False]
    ranges.add(ids, np.array([13_000]), np.array([13_010]), slack)
    assert ranges.overlap(ids, np.array([12_500]), np.array([12_510])).tolist() == [True]
    assert ranges.overlap(ids, np.array([11_990]), np.array([12_000])).tolist() == [False]
