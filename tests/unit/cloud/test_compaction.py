"""Compaction: batches, roll-ups and archive are consistent, despite crashes and late batches."""

from __future__ import annotations

import base64
import copy
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_functions.core import compaction, keys, queries, rollup, series_list
from cloud_functions.core.columns import merge
from cloud_functions.core.compaction import LEASE_MS, Compactor, Outcome
from cloud_functions.core.compaction_plan import DAY_AFTER_MS, DAY_MS, Kind, Planner, Task
from cloud_functions.core.errors import CloudError
from cloud_functions.core.hours import GRACE_MS, LATE_MS
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import ArchiveFile
from cloud_functions.core.storing import Storer
from tests.examples import examples
from tests.unit.cloud.fakes import CrashError, FakeAcknowledger, FakeDeadLetterSink, FakeTable, body
from wire import codec
from wire.model import AGGREGATE_COLUMNS, Aggregates, Batch, Series

HOUR = 1_790_000_000_000 // DAY_MS * DAY_MS + 5 * HOUR_MS
SERIES = (Series("a.x", "Cel", 0.1), Series("a.y", "bar", 0.01))
LOG = logging.getLogger("test")
pytestmark = pytest.mark.usefixtures("decoded_once")


@dataclass
class FakeArchive:
    """In-memory files. ``calls_left`` counts down to a crash; ``before`` is called at the beginning of each write."""

    files: dict[ArchiveFile, list[tuple[str, Aggregates]]] = field(default_factory=dict)
    calls_left: int | None = None
    before: Callable[[], None] | None = None

    def exists(self, file: ArchiveFile) -> bool:
        return file in self.files

    def size(self, file: ArchiveFile) -> int:
        return sum(len(rows) for _, rows in self.files.get(file, ()))

    def rows(self, file: ArchiveFile) -> Iterator[tuple[str, Aggregates]]:
        yield from self.files[file]

    def replace(self, file: ArchiveFile, rows: Iterable[tuple[str, Aggregates]]) -> None:
        made = list(rows)
        assert [name for name, _ in made] == sorted({name for name, _ in made})
        self._spend()
        self.files.pop(file, None)
        if made:
            self.files[file] = made

    def remove(self, file: ArchiveFile) -> None:
        self._spend()
        self.files.pop(file, None)

    def rename(self, file: ArchiveFile, to: ArchiveFile) -> None:
        self._spend()
        self.files[to] = self.files[file]
        self._spend()
        del self.files[file]

    def list_files(self) -> Iterator[ArchiveFile]:
        yield from self.files

    def contains(self, file: ArchiveFile, gateway: str, series: str | None) -> bool:
        found = [rows for name, rows in self.files[file] if name == gateway]
        return any(series is None or series in {s.name for s in rows.compact().series} for rows in found)

    def series(self, file: ArchiveFile, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
        found = [rows for name, rows in self.files.get(file, ()) if name == gateway]
        rows = rollup.within(Aggregates.concatenate(found), from_ms, to_ms)
        wanted = np.array([one.name == series for one in rows.series], bool)
        return rows.take(np.flatnonzero(wanted[rows.series_index])).compact() if len(rows) else rows

    def visible(self) -> list[tuple[str, Aggregates]]:
        return [entry for file, entries in self.files.items() if not file.staging for entry in entries]

    def _spend(self) -> None:
        if self.before is not None:
            self.before()
        if self.calls_left is not None:
            if self.calls_left == 0:
                raise CrashError
            self.calls_left -= 1


class Cloud:
    """Ingest and compaction on fakes, at a time that the test sets."""

    def __init__(self, shards: int = 1) -> None:
        self.table, self.archive, self.letters = FakeTable(), FakeArchive(), FakeDeadLetterSink()
        self.now_ms, self.shards, self.sequence = HOUR, shards, 0
        self.sent: dict[tuple[str, str, int], tuple[float, int, int]] = {}
        # The first plan fixes where compaction begins.
        self.plan()

    def copy(self) -> Cloud:
        """Return an independent copy in the same state."""
        other = copy.copy(self)
        items = {key: dict(item) for key, item in self.table.items.items()}
        other.table, other.archive = FakeTable(items), FakeArchive(dict(self.archive.files))
        other.letters, other.sent = FakeDeadLetterSink(list(self.letters.kept)), dict(self.sent)
        return other

    def deliver(self, gateway: str, start_ms: int, windows: int = 6, step_ms: int = 10_000, revision: int = 0) -> None:
        self.accept(self.make(gateway, start_ms, windows, step_ms, revision))

    def make(
        self,
        gateway: str,
        start_ms: int,
        windows: int = 6,
        step_ms: int = 10_000,
        revision: int = 0,
        sequence: int | None = None,
    ) -> str:
        """Return the message of a new batch, whose rows must be stored from now on."""
        self.sequence += 1
        rows = windows_of(start_ms, windows, step_ms, self.sequence, revision)
        sent = codec.encode(Batch(gateway, 7, sequence or self.sequence, rows), coders=codec.FAST)
        data = codec.decode(sent)
        assert isinstance(data.rows, Aggregates)
        for at in range(len(data.rows)):
            name = data.rows.series[int(data.rows.series_index[at])].name
            key = gateway, name, int(data.rows.start_ms[at])
            value = float(data.rows.mean[at]), int(data.rows.count[at]), revision
            self.sent[key] = max(self.sent.get(key, (0.0, 0, -1)), value, key=lambda one: one[2])
        encoded = base64.b64encode(sent).decode()
        return body(Batch(gateway, 7, sequence or self.sequence, rows), data=encoded, received_at=self.now_ms)

    def accept(self, text: str) -> None:
        storer = Storer(self.table, lambda: self.now_ms, 7 * DAY_MS)
        ingest = Ingest(self.table, storer, FakeAcknowledger(), FakeDeadLetterSink(), lambda: self.now_ms, LOG)
        ingest.accept("m", text)
        assert ingest.finish() == []

    def plan(self) -> list[Task]:
        return Planner(self.table, lambda: self.now_ms, self.shards).plan()

    def worker(self) -> Compactor:
        return Compactor(
            self.table, self.archive, lambda *_: None, self.letters, lambda: self.now_ms, 90 * DAY_MS, lambda: "w"
        )

    def compact(self) -> list[Outcome]:
        return [self.worker().run(task) for task in self.plan()]

    def archived(self) -> dict[tuple[str, str, int], tuple[float, int, int]]:
        """Return the rows of the archive by (gateway, series, start); fails for a duplicate row."""
        found: dict[tuple[str, str, int], tuple[float, int, int]] = {}
        for gateway, rows in self.archive.visible():
            for at in range(len(rows)):
                key = gateway, rows.series[int(rows.series_index[at])].name, int(rows.start_ms[at])
                assert key not in found, f"{key} is duplicated"
                found[key] = float(rows.mean[at]), int(rows.count[at]), int(rows.revision[at])
        return found

    def rolled_up(self) -> dict[tuple[str, str, int], int]:
        """Return the counts of the roll-ups' rows."""
        found = {}
        for item in self.table.of_kind("hour"):
            _, rows = rollup.from_item(item)
            for at in range(len(rows)):
                name = rows.series[int(rows.series_index[at])].name
                found[str(item["pk"])[6:], name, int(rows.start_ms[at])] = int(rows.count[at])
        return found

    def agree(self, before_ms: int) -> None:
        """Assert that archive and roll-ups have exactly the rows that were sent for hours before ``before_ms``."""
        wanted = {key: value for key, value in self.sent.items() if key[2] < before_ms}
        assert self.archived() == wanted
        counts: dict[tuple[str, str, int], int] = {}
        for (gateway, name, start_ms), (_, count, _) in wanted.items():
            key = gateway, name, start_ms // rollup.WIDTH_MS * rollup.WIDTH_MS
            counts[key] = counts.get(key, 0) + count
        assert self.rolled_up() == counts


def windows_of(start_ms: int, windows: int, step_ms: int, seed: int, revision: int = 0) -> Aggregates:
    n = 2 * windows
    rng = np.random.default_rng(seed)
    mean = rng.normal(20, 3, n).round(2)
    columns: dict[str, Any] = {
        "series_index": np.arange(n) % 2,
        "start_ms": start_ms + np.arange(n) // 2 * step_ms,
        "width_ms": np.full(n, 10_000),
        "count": rng.integers(1, 9, n),
        "mean": mean,
        "min": mean - 1,
        "max": mean + 1,
        "std": np.full(n, 0.5),
        "score": np.zeros(n),
        "revision": np.full(n, revision),
    }
    zeros = np.zeros(n, np.int64)
    return Aggregates(SERIES, *(columns.get(name, zeros) for name in AGGREGATE_COLUMNS))


def test_an_ended_hour_becomes_roll_ups_and_one_file_of_many_gateways() -> None:
    cloud = Cloud()
    for minute in range(3):
        for gateway in ("gw-2", "gw-1"):
            cloud.deliver(gateway, HOUR + minute * 20 * 60_000)
    cloud.now_ms = HOUR + HOUR_MS + GRACE_MS - 1
    assert [task.start_ms for task in cloud.plan()] == [HOUR - HOUR_MS]
    cloud.now_ms += 1
    assert cloud.compact() == [Outcome.DONE] * 2
    cloud.agree(HOUR + HOUR_MS)
    (file,) = cloud.archive.files
    assert file == ArchiveFile(HOUR // DAY_MS * DAY_MS, 5, 0)
    assert cloud.plan() == []


def test_a_batch_across_the_hour_is_in_both_hours() -> None:
    cloud = Cloud()
    cloud.deliver("gw-1", HOUR + HOUR_MS - 30_000)
    cloud.now_ms = HOUR + 2 * HOUR_MS + GRACE_MS
    cloud.compact()
    cloud.agree(HOUR + 2 * HOUR_MS)
    assert len(cloud.archive.files) == 2


def test_gateways_are_spread_over_shards_whose_number_is_fixed_for_a_day() -> None:
    cloud = Cloud(shards=3)
    for at in range(9):
        cloud.deliver(f"gw-{at}", HOUR)
    cloud.now_ms = HOUR + HOUR_MS + GRACE_MS
    assert len(cloud.compact()) == 6
    assert {file.shard for file in cloud.archive.files} == {0, 1, 2}
    cloud.shards = 2
    cloud.deliver("gw-1", HOUR + 600_000)
    cloud.compact()
    cloud.agree(HOUR + HOUR_MS)
    assert len(cloud.archive.files) == 3


def test_late_batches_and_revisions_reopen_their_hour_also_when_its_batches_have_expired() -> None:
    cloud = Cloud()
    for gateway in ("gw-1", "gw-2"):
        cloud.deliver(gateway, HOUR)
    cloud.now_ms = HOUR + HOUR_MS + GRACE_MS
    cloud.compact()
    cloud.table.items = {key: item for key, item in cloud.table.items.items() if item["kind"] != "batch"}
    cloud.deliver("gw-1", HOUR + 30_000, revision=1)
    cloud.deliver("gw-3", HOUR + 600_000)
    assert [task.start_ms for task in cloud.plan()] == [HOUR]
    assert cloud.compact() == [Outcome.DONE]
    cloud.agree(HOUR + HOUR_MS)
    assert cloud.table.of_kind("reopened") == []
    assert cloud.plan() == []


@pytest.mark.parametrize("after_ms", [0, LATE_MS, LATE_MS + 1, GRACE_MS, GRACE_MS + 60_000])
def test_every_batch_is_compacted_regardless_of_its_arrival_time(after_ms: int) -> None:
    cloud = Cloud()
    cloud.deliver("gw-1", HOUR)
    cloud.now_ms = HOUR + HOUR_MS + after_ms
    if after_ms > GRACE_MS:
        cloud.compact()
    cloud.deliver("gw-1", HOUR + HOUR_MS - 60_000)
    cloud.now_ms = HOUR + HOUR_MS + GRACE_MS + 60_000
    cloud.compact()
    cloud.agree(HOUR + HOUR_MS)


def test_a_batch_that_arrives_while_its_hour_is_reopened_reopens_it_again() -> None:
    cloud = Cloud()
    cloud.deliver("gw-1", HOUR)
    cloud.now_ms = HOUR + HOUR_MS + GRACE_MS
    cloud.compact()
    cloud.deliver("gw-1", HOUR + 60_000)

    def arrive() -> None:
        cloud.archive.before = None
        cloud.deliver("gw-1", HOUR + 120_000)

    cloud.archive.before = arrive
    cloud.compact()
    assert len(cloud.plan()) == 1
    cloud.compact()
    cloud.agree(HOUR + HOUR_MS)


def test_a_task_is_done_by_one_worker_and_released_after_a_crash() -> None:
    cloud = Cloud()
    cloud.deliver("gw-1", HOUR)
    cloud.now_ms = HOUR + HOUR_MS + GRACE_MS
    task = cloud.plan()[-1]
    outcomes = []

    def other() -> None:
        cloud.archive.before = None
        outcomes.append(cloud.worker().run(task))
        raise CrashError

    cloud.archive.before = other
    with pytest.raises(CrashError):
        cloud.worker().run(task)
    assert outcomes == [Outcome.BUSY]
    assert cloud.worker().run(task) is Outcome.BUSY
    cloud.now_ms += LEASE_MS
    assert cloud.worker().run(task) is Outcome.DONE
    cloud.agree(HOUR + HOUR_MS)
    assert cloud.worker().run(task) is Outcome.DONE


def test_the_hours_of_a_day_are_merged_and_late_batches_go_into_the_merged_file() -> None:
    cloud = Cloud()
    for hour in range(3):
        for gateway in ("gw-2", "gw-1"):
            cloud.deliver(gateway, HOUR + hour * HOUR_MS)
        cloud.now_ms = HOUR + (hour + 1) * HOUR_MS
    cloud.now_ms = HOUR // DAY_MS * DAY_MS + DAY_MS + DAY_AFTER_MS + GRACE_MS
    while cloud.compact():
        pass
    assert list(cloud.archive.files) == [ArchiveFile(HOUR // DAY_MS * DAY_MS, None, 0)]
    cloud.agree(HOUR + DAY_MS)
    cloud.deliver("gw-1", HOUR + HOUR_MS + 600_000)
    cloud.deliver("gw-0", HOUR + 2 * HOUR_MS)
    assert set(cloud.compact()) == {Outcome.DONE}
    cloud.agree(HOUR + DAY_MS)
    assert len(cloud.archive.files) == 1


def test_large_files_are_not_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MAX_MERGED_BYTES", 30)
    cloud = Cloud()
    for hour in range(3):
        cloud.deliver("gw-1", HOUR + hour * HOUR_MS)
        cloud.now_ms = HOUR + (hour + 1) * HOUR_MS
    cloud.now_ms = HOUR // DAY_MS * DAY_MS + DAY_MS + DAY_AFTER_MS + GRACE_MS
    while cloud.compact():
        pass
    assert len(cloud.archive.files) == 3
    cloud.agree(HOUR + DAY_MS)


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(60))
@given(st.data())
def test_archive_and_roll_ups_are_complete_despite_crashes_and_late_batches(data: st.DataObject) -> None:
    cloud = Cloud(shards=data.draw(st.integers(1, 2)))
    end_ms = HOUR // DAY_MS * DAY_MS + DAY_MS
    for _ in range(data.draw(st.integers(1, 5))):
        gateway = data.draw(st.sampled_from(["gw-1", "gw-2", "gw-3"]))
        start = HOUR + 60_000 * data.draw(st.integers(0, 180))
        cloud.deliver(gateway, start, windows=2, revision=data.draw(st.integers(0, 2)) * 10 + cloud.sequence)
        cloud.now_ms += data.draw(st.sampled_from([0, 1_800_000, 7_200_000]))
        _compact_with_crashes(cloud, data)
    cloud.now_ms = end_ms + DAY_AFTER_MS + GRACE_MS + 3 * LEASE_MS
    _compact_with_crashes(cloud, data)
    for _ in range(6):
        cloud.now_ms += LEASE_MS
        cloud.compact()
    assert cloud.plan() == []
    cloud.agree(end_ms)


def _compact_with_crashes(cloud: Cloud, data: st.DataObject) -> None:
    for task in cloud.plan():
        cloud.table.writes_left = data.draw(st.none() | st.integers(0, 6))
        cloud.archive.calls_left = data.draw(st.none() | st.integers(0, 5))
        try:
            cloud.worker().run(task)
        except CrashError:
            cloud.now_ms += data.draw(st.sampled_from([0, LEASE_MS]))
    cloud.table.writes_left = cloud.archive.calls_left = None


def test_an_unreadable_batch_becomes_a_dead_letter_once_and_others_are_compacted() -> None:
    cloud = Cloud()
    cloud.deliver("gw-1", HOUR)
    bad = Batch("gw-1", 7, 99, windows_of(HOUR + 60_000, 6, 10_000, 3))
    packed = codec.pack(bad.rows, coders=frozenset({codec.Coder.MODEL}))
    cloud.now_ms = HOUR + 60_000
    data = codec.seal("gw-1", 7, 99, packed[:-6] + bytes(6))
    text = json.loads(body(bad)) | {"data": base64.b64encode(data).decode()}
    cloud.accept(json.dumps(text))
    cloud.now_ms = HOUR + HOUR_MS + GRACE_MS
    cloud.compact()
    cloud.deliver("gw-1", HOUR + 600_000)
    cloud.compact()
    cloud.agree(HOUR + HOUR_MS)
    ((letter, attributes),) = cloud.letters.kept
    assert (attributes["reason"], attributes["gateway"]) == ("codec", "gw-1")
    assert json.loads(letter)["data"] == text["data"]


def test_an_invalid_task_is_rejected() -> None:
    for text in ("", "{}", '{"kind": "week", "start_ms": 1, "shard": 0}', "[1]"):
        with pytest.raises(CloudError, match="not a task"):
            Task.decode(text)
    task = Task(Kind.DAY, HOUR, 3)
    assert Task.decode(task.encode()) == task


def ask(cloud: Cloud, **query: Any) -> dict[str, Any]:
    texts = {name.rstrip("_"): str(value) for name, value in query.items()}
    span = queries.read_span(texts, cloud.now_ms)
    return queries.aggregates(cloud.table, lambda *_: None, "gw-1", "a.x", span)


def test_queries_join_roll_ups_with_the_batches_of_hours_without_one() -> None:
    cloud = Cloud()
    for hour in range(4):
        cloud.deliver("gw-1", HOUR + hour * HOUR_MS, windows=12, step_ms=300_000)
        cloud.now_ms = HOUR + (hour + 1) * HOUR_MS
    cloud.now_ms = HOUR + 3 * HOUR_MS + GRACE_MS
    cloud.compact()
    assert len(cloud.table.of_kind("hour")) == 3
    answer = ask(cloud, from_=HOUR, to=HOUR + 4 * HOUR_MS)
    assert (answer["width"], answer["rows"]) == ("15m", 16)
    rows = merge(cloud_rows(cloud))
    wanted = rollup.coarsen(rows, rollup.WIDTH_MS)
    own = wanted.take(np.flatnonzero(wanted.series_index == 0))
    assert answer["columns"]["count"] == own.count.tolist()
    half_a_step = (SERIES[0].resolution or 0.0) / 200  # stored means are rounded to hundredths of the resolution
    assert answer["columns"]["mean"] == pytest.approx(own.mean.tolist(), abs=half_a_step)
    hourly = ask(cloud, from_=HOUR + 5, to=HOUR + 4 * HOUR_MS, resolution="1h")
    assert hourly["columns"]["start_ms"] == [HOUR + at * HOUR_MS for at in range(4)]
    assert sum(hourly["columns"]["count"]) == sum(answer["columns"]["count"])
    assert ask(cloud, from_=HOUR, to=HOUR + 4 * HOUR_MS, resolution="1d")["columns"]["count"] == [
        sum(answer["columns"]["count"])
    ]
    first = ask(cloud, from_=HOUR, to=HOUR + 4 * HOUR_MS, limit=10)
    second = ask(cloud, from_=HOUR, to=HOUR + 4 * HOUR_MS, limit=10, cursor=first["next"])
    assert first["columns"]["start_ms"] + second["columns"]["start_ms"] == answer["columns"]["start_ms"]
    assert "next" not in second


def cloud_rows(cloud: Cloud) -> Iterator[Aggregates]:
    for item in cloud.table.of_kind("batch"):
        rows = codec.decode(bytes(item["data"])).rows  # type: ignore[arg-type]
        assert isinstance(rows, Aggregates)
        yield rows


def test_the_resolution_follows_age_and_length_of_the_range() -> None:
    now, day = HOUR + 30 * DAY_MS, DAY_MS
    for from_ms, to_ms, wanted in (
        (now - HOUR_MS, now, "raw"),
        (now - day, now, "15m"),
        (now - 20 * day, now - 20 * day + HOUR_MS, "15m"),
        (now - 30 * day, now, "1h"),
        (now - 400 * day, now, "1d"),
    ):
        assert queries.read_span({"from": str(from_ms), "to": str(to_ms)}, now).resolution == wanted


def test_a_changed_unit_is_not_mixed_in() -> None:
    cloud = Cloud()
    cloud.deliver("gw-1", HOUR)
    cloud.sequence += 1
    rows = windows_of(HOUR + 60_000, 3, 10_000, 5)
    kelvin = replace(rows, series=(Series("a.x", "K", 0.1), SERIES[1]))
    cloud.accept(body(Batch("gw-1", 7, cloud.sequence, kelvin)))
    answer = ask(cloud, from_=HOUR, to=HOUR + HOUR_MS)
    assert (answer["unit"], answer["rows"], answer["other_units"]) == ("K", 3, {"Cel": 6})
    assert ask(cloud, from_=HOUR, to=HOUR + HOUR_MS, unit="Cel")["rows"] == 6


def test_two_units_of_a_series_in_one_batch_are_stored_and_listed_once() -> None:
    cloud = Cloud()
    rows = replace(windows_of(HOUR, 3, 10_000, 5), series=(Series("a.x", "K"), Series("a.x", "Cel")))
    cloud.accept(body(Batch("gw-1", 7, 1, rows)))
    assert [entry["series"] for entry in series_list.page(cloud.table, "gw-1", {})[0]] == ["a.x"]
    assert ask(cloud, from_=HOUR, to=HOUR + HOUR_MS, unit="K")["rows"] == 3


def test_a_coarse_row_combines_count_mean_extremes_deviation_and_score() -> None:
    rng = np.random.default_rng(4)
    readings = rng.normal(5, 2, (6, 10))
    rows = windows_of(HOUR, 3, 10_000, 1)
    one = replace(
        rows,
        series_index=np.zeros(6, np.int64),
        start_ms=HOUR + np.arange(6) * 10_000,
        count=np.full(6, 10),
        mean=readings.mean(axis=1),
        min=readings.min(axis=1),
        max=readings.max(axis=1),
        std=readings.std(axis=1),
        score=np.array([np.nan, 0.5, 2.0, 0.1, np.nan, 0.0]),
    )
    (count, mean, low, high, std, score) = (
        getattr(rollup.coarsen(one, 60_000), name)[0] for name in ("count", "mean", "min", "max", "std", "score")
    )
    assert (count, low, high, score) == (60, readings.min(), readings.max(), 2.0)
    assert (mean, std) == (pytest.approx(readings.mean()), pytest.approx(readings.std()))


def test_windows_without_readings_stay_without_values() -> None:
    rows = windows_of(HOUR, 2, 10_000, 1)
    nan = np.full(4, np.nan)
    empty = replace(rows, count=np.zeros(4, np.int64), mean=nan, min=nan, max=nan, std=nan, score=nan)
    coarse = rollup.coarsen(empty, 60_000)
    assert coarse.count.tolist() == [0, 0]
    assert np.isnan(coarse.mean).all()
    assert np.isnan(coarse.std).all()
    assert keys.time(0) == "0" * 13
