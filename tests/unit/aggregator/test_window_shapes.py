"""Windows of another length by glob, and sliding windows: from readings to rows, over restarts and changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.aggregator.config import Config
from edge_components.aggregator.window_types import MAX_OVERLAP, Closed, Shape, WindowSettings
from edge_components.aggregator.windows import Windows
from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from tests.examples import examples
from tests.unit.aggregator.test_component import START, Rig, readings

PUMP, TANK, FAN = "pump-1.temperature", "tank-1.level", "fan-1.speed"
SHAPES = {TANK: Shape(3_000, 3_000), FAN: Shape(3_000, 1_000)}
MINUTE = 1_699_999_980_000
"""A full minute just before START, so that windows of all lengths begin there."""

Row = tuple[int, int, int]


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator[Any]:
    opened: list[Rig] = []

    def make(**values: Any) -> Rig:
        opened.append(Rig(tmp_path / str(len(opened)), **({"gap_windows": 0} | values)))
        return opened[-1]

    yield make
    for rig in opened:
        rig.kill()


def rows(rig: Rig, name: str) -> list[Row]:
    """Return (start after MINUTE, width, count) of the rows of a series, of the highest revision, by start."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for part in rig.batches().values():
        columns = (getattr(part, column).tolist() for column in ("start_ms", "width_ms", "revision", "count"))
        names = [part.series[index].name for index in part.series_index.tolist()]
        for series, start, width, revision, count in zip(names, *columns, strict=True):
            if series == name and revision >= found.get((start, width), (-1, 0))[0]:
                found[start, width] = revision, count
    return sorted((start - MINUTE, width, count) for (start, width), (_, count) in found.items())


def feed(rig: Rig, first: int, *, begin: int, end: int, names: tuple[str, ...] = (PUMP, TANK, FAN)) -> int:
    """Give each series a reading a second from ``begin`` to ``end`` seconds after MINUTE; return the next number."""
    number = first
    for second in range(begin, end):
        for name in names:
            rig.clock.wall = MINUTE + 1000 * second
            rig.offer(number, readings([MINUTE + 1000 * second], [float(second)], name))
            number += 1
        rig.tick(0.1)
        rig.forwarder_holds_all()
    return number


def configured(rig: Rig, **values: Any) -> Config:
    return Config(**({name: getattr(rig.config, name) for name in rig.config.__slots__} | values))


def shapes(**given_shapes: Any) -> Any:
    return load(Config, {"series_windows": given_shapes}).series_windows


def test_each_series_has_windows_of_the_length_that_its_longest_glob_gives(rigs: Any) -> None:
    rig = rigs(series_windows=shapes(**{"*.level": 3_000, "tank-1.level": 6_000, "f*": 2_000}))
    feed(rig, 1, begin=0, end=9)
    assert rows(rig, PUMP)[:2] == [(0, 1000, 1), (1000, 1000, 1)]
    assert rows(rig, TANK) == [(0, 6000, 6)]
    assert rows(rig, FAN) == [(0, 2000, 2), (2000, 2000, 2), (4000, 2000, 2)]


def test_sliding_windows_begin_at_each_hop_and_hold_the_readings_of_their_length(rigs: Any) -> None:
    rig = rigs(series_windows=shapes(**{"fan*": {"length_ms": 3_000, "hop_ms": 1_000}}))
    feed(rig, 1, begin=0, end=6)
    assert rows(rig, FAN) == [
        (-2000, 3000, 1),
        (-1000, 3000, 2),
        (0, 3000, 3),
        (1000, 3000, 3),
    ]
    (window,) = [
        (part.mean[at], part.min[at], part.max[at])
        for part in rig.batches().values()
        for at in range(len(part))
        if (part.series[part.series_index[at]].name, part.start_ms[at]) == (FAN, MINUTE + 1000)
    ]
    assert window == (2.0, 1.0, 3.0)


def test_open_windows_of_all_lengths_continue_after_a_kill_and_after_a_stop(rigs: Any) -> None:
    rig = rigs(series_windows=shapes(**{TANK: 6_000, FAN: {"length_ms": 4_000, "hop_ms": 2_000}}))
    number = feed(rig, 1, begin=0, end=4)
    rig.kill()
    rig.boot()
    number = feed(rig, number, begin=4, end=8)
    rig.aggregator.close()
    rig.boot()
    feed(rig, number, begin=8, end=14)
    assert rows(rig, TANK) == [(0, 6000, 6), (6000, 6000, 6)]
    assert rows(rig, FAN) == [
        (-2000, 4000, 2),
        (0, 4000, 4),
        (2000, 4000, 4),
        (4000, 4000, 4),
        (6000, 4000, 4),
        (8000, 4000, 4),
    ]


def test_another_configuration_ends_the_windows_of_the_series_that_it_changes_and_no_others(rigs: Any) -> None:
    rig = rigs(window_ms=6_000)
    number = feed(rig, 1, begin=0, end=2)
    rig.aggregator.reconfigure(configured(rig, window_ms=6_000, series_windows=shapes(**{TANK: 2_000})))
    rig.tick()
    assert (rows(rig, PUMP), rows(rig, TANK)) == ([], [(0, 6000, 2)])
    feed(rig, number, begin=2, end=9)
    assert rows(rig, PUMP) == [(0, 6000, 6)]
    assert rows(rig, TANK) == [(0, 6000, 2), (2000, 2000, 2), (4000, 2000, 2)]
    assert rig.runtime.counters["rejected_late"] == 0


def test_a_configuration_that_changed_while_the_aggregator_was_down_ends_the_windows_that_it_changes(rigs: Any) -> None:
    rig = rigs(window_ms=6_000, series_windows=shapes(**{TANK: 2_000}))
    number = feed(rig, 1, begin=0, end=3)
    rig.kill()
    rig.config = configured(rig, series_windows=shapes(**{PUMP: {"length_ms": 2_000, "hop_ms": 1_000}}))
    rig.boot()
    feed(rig, number, begin=3, end=9)
    assert rows(rig, TANK) == [(0, 2000, 2), (0, 6000, 3), (2000, 2000, 1)]
    assert (0, 6000, 3) in rows(rig, PUMP)
    assert (3000, 2000, 2) in rows(rig, PUMP)


def test_late_readings_correct_windows_of_each_length(rigs: Any) -> None:
    rig = rigs(series_windows=shapes(**{TANK: 2_000, FAN: {"length_ms": 3_000, "hop_ms": 1_000}}))
    number = feed(rig, 1, begin=0, end=8)
    for name in (PUMP, TANK, FAN):
        rig.offer(number, readings([MINUTE + 1500], [7.5], name))
        number += 1
    rig.run_out(5.0)
    assert (1000, 1000, 2) in rows(rig, PUMP)
    assert (0, 2000, 3) in rows(rig, TANK)
    assert {(-1000, 3000, 3), (0, 3000, 4), (1000, 3000, 4)} <= set(rows(rig, FAN))
    assert rig.runtime.counters["rejected_late"] == 0
    assert rig.runtime.counters["readings_backlog"] == 3


@pytest.mark.parametrize(
    "given_windows",
    [
        5_000,
        {"*": 99},
        {"*": "soon"},
        {"*": True},
        {"*": 86_400_001},
        {"*": 1000.5},
        {"*": {"length_ms": 1_000}},
        {"*": {"length_ms": 1_000, "hop_ms": 300}},
        {"*": {"length_ms": 1_000, "hop_ms": 2_000}},
        {"*": {"length_ms": 61_000, "hop_ms": 1_000}},
        {"*": {"length_ms": 2_000, "hop_ms": 1_000, "more": 1}},
    ],
)
def test_windows_that_are_not_allowed_are_rejected_with_the_key(given_windows: Any) -> None:
    with pytest.raises(ConfigError, match=r"series_windows: .* is not allowed, expected an object from globs"):
        load(Config, {"series_windows": given_windows})


def test_windows_are_read_from_numbers_and_from_text() -> None:
    assert shapes(a="1000", b={"length_ms": "6000", "hop_ms": 100.0}) == (
        ("a", Shape(1000, 1000)),
        ("b", Shape(6000, 100)),
    )
    assert MAX_OVERLAP == 60


ids = st.integers(0, 2)
batches = st.lists(st.lists(st.tuples(ids, st.integers(0, 20_000), st.integers(-9, 9)), max_size=20), max_size=6)


@settings(max_examples=examples(80), deadline=None)
@given(batches, st.sampled_from([0, 1_000, 5_000]), st.sampled_from([0, 60_000]))
def test_rows_are_those_of_a_loop_over_readings_and_windows(
    script: list[list[tuple[int, int, int]]], lateness: int, backlog: int
) -> None:
    """The highest revisions hold each accepted reading in every window that it is in, in any order of readings."""
    window_settings = WindowSettings(
        1_000, lateness, 0, gap_windows=0, backlog_ms=backlog, shapes=tuple(SHAPES.items())
    )
    windows = Windows(window_settings)
    for series_id, name in enumerate((PUMP, TANK, FAN)):
        windows.shapes.assign(series_id, name)
    found: dict[tuple[int, int, int], tuple[int, int, float]] = {}
    expected: dict[tuple[int, int, int], list[float]] = defaultdict(list)

    def collect(closed: Closed) -> None:
        columns = (getattr(closed, name).tolist() for name in ("series_id", "start_ms", "width_ms", "revision"))
        for *key, revision, count, mean in zip(*columns, closed.count.tolist(), closed.mean.tolist(), strict=True):
            previous = found.get(tuple(key))
            assert previous is None or revision == previous[0] + 1
            found[tuple(key)] = revision, count, mean

    dropped = 0
    for number, batch in enumerate(script):
        rows_given = sorted(batch, key=lambda row: row[1])
        given_ids, offset, value = (np.array([row[at] for row in rows_given], np.int64) for at in range(3))
        dropped += windows.add(given_ids, START + offset, value.astype(float), START + 20_000, float(number))
        for row_id, row_offset, row_value in rows_given:
            shape = SHAPES.get((PUMP, TANK, FAN)[row_id], Shape(1_000, 1_000))
            newest = (START + row_offset) // shape.hop_ms * shape.hop_ms
            for start in range(newest - shape.length_ms + shape.hop_ms, newest + 1, shape.hop_ms):
                expected[row_id, start, shape.length_ms].append(float(row_value))
        collect(windows.close(float(number)))
        collect(windows.close_late(float(number))[0])
    live, late, _ = windows.end(np.ones(3, np.bool_))
    collect(late)
    collect(live)
    if backlog:
        assert dropped == 0
        assert {key: row[1] for key, row in found.items()} == {key: len(values) for key, values in expected.items()}
        for key, (_, _, mean) in found.items():
            assert mean == pytest.approx(np.mean(expected[key]), abs=1e-9)
    else:
        assert all(row[1] <= len(expected[key]) for key, row in found.items())
        tumbling = sum(row[1] for (series, _, _), row in found.items() if series != 2)
        everything = sum(len(values) for (series, _, _), values in expected.items() if series != 2)
        assert tumbling + dropped >= everything
