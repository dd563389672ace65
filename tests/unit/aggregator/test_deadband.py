"""Windows within the deadband are closed without a row; those that are sent hold all their readings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_components.aggregator.config import Config
from edge_components.aggregator.deadband import Deadband, DeadbandFilter
from edge_components.aggregator.grade import Grade
from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from tests.unit.aggregator.test_component import START, Rig, readings

NAME = "pump-1.temperature"


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator[Any]:
    opened: list[Rig] = []

    def make(change: float = 1.0, silence_ms: int = 60_000, **values: Any) -> Rig:
        deadbands = load(Config, {"deadbands": {"pump*": {"change": change, "max_silence_ms": silence_ms}}}).deadbands
        opened.append(Rig(tmp_path / str(len(opened)), deadbands=deadbands, **({"gap_windows": 0} | values)))
        return opened[-1]

    yield make
    for rig in opened:
        rig.kill()


def feed(rig: Rig, values: list[float], *, first: int = 1, name: str = NAME, interval_ms: int = 500) -> int:
    """Give a reading every half second, the first at START; return the next batch number."""
    for at, value in enumerate(values, first - 1):
        rig.offer(at + 1, readings([START + interval_ms * at], [value], name))
        rig.tick(interval_ms / 1000)
        rig.forwarder_holds_all()
    return first + len(values)


def rows(rig: Rig) -> dict[int, tuple[int, float, float, float]]:
    """Return count, mean, min and max by start after START, of the highest revision, without gaps."""
    found: dict[int, tuple[int, float, float, float]] = {}
    for part in sorted(rig.batches().values(), key=lambda part: int(part.revision.max(initial=0))):
        columns = (getattr(part, name).tolist() for name in ("start_ms", "count", "mean", "min", "max"))
        found |= {start - START: tuple(row) for start, *row in zip(*columns, strict=True) if row[0]}
    return found


def test_a_window_without_a_change_has_no_row_and_one_with_a_change_holds_all_its_readings(rigs: Any) -> None:
    rig = rigs(change=1.0)
    feed(rig, [20.0, 20.5, 20.9, 19.1, 20.2, 20.1, 20.3, 21.5, 21.4, 21.0, 30.0, 30.0])
    assert rows(rig) == {0: (2, 20.25, 20.0, 20.5), 3000: (2, 20.9, 20.3, 21.5)}
    assert rig.runtime.counters["windows"] == 2
    assert rig.runtime.counters["windows_unreported"] == 2
    assert rig.runtime.counters["readings_unreported"] == 4
    counters = rig.runtime.counters
    open_readings = rig.aggregator._state.windows.readings
    assert counters["readings"] == counters["readings_aggregated"] + counters["readings_unreported"] + open_readings


def test_a_row_is_sent_after_the_longest_silence_although_nothing_changes(rigs: Any) -> None:
    rig = rigs(silence_ms=3_000)
    feed(rig, [20.0] * 18)
    assert list(rows(rig)) == [0, 3000, 6000]


def test_a_change_of_quality_is_reported(rigs: Any) -> None:
    rig = rigs()
    for at in range(14):
        columns = readings([START + 500 * at], [20.0])
        rig.offer(at + 1, replace(columns, quality=np.array([1 if 4 <= at < 8 else 0], np.uint8)))
        rig.tick(0.5)
    assert list(rows(rig)) == [0, 2000, 4000]


def test_windows_without_a_row_are_no_gaps_and_a_series_that_stops_is_one(rigs: Any) -> None:
    rig = rigs(gap_windows=2)
    feed(rig, [20.0] * 20)
    assert rig.runtime.counters["gaps"] == 0
    rig.run_out(10.0)
    assert rig.runtime.counters["gaps"] == 2


def test_windows_within_the_deadband_stay_without_a_row_after_a_kill(rigs: Any) -> None:
    rig = rigs()
    number = feed(rig, [20.0] * 7)
    rig.tick(0.1)
    rig.kill()
    rig.boot()
    feed(rig, [20.0] * 5, first=number)
    assert sorted(rows(rig)) == [0, 3000]  # the first reading after a restart is reported
    rig.kill()
    rig.boot()
    rig.run_out(3.0)
    assert sorted(rows(rig)) == [0, 3000]


def test_a_late_reading_sends_a_revision_of_a_window_without_a_row_with_all_its_readings(rigs: Any) -> None:
    rig = rigs()
    number = feed(rig, [20.0] * 12)
    assert list(rows(rig)) == [0]
    rig.offer(number, readings([START + 2200], [26.0]))
    rig.run_out(5.0)
    assert rows(rig)[2000] == (3, 22.0, 20.0, 26.0)


def test_another_configuration_applies_to_the_next_readings(rigs: Any) -> None:
    rig = rigs()
    number = feed(rig, [20.0] * 6)
    rig.aggregator.reconfigure(
        Config(**{name: getattr(rig.config, name) for name in rig.config.__slots__} | {"deadbands": {}})
    )
    feed(rig, [20.0] * 8, first=number)
    assert sorted(rows(rig)) == [0, 3000, 4000]


@pytest.mark.parametrize(
    "given_deadbands",
    [5, {"*": 5}, {"*": {}}, {"*": {"change": -1}}, {"*": {"change": "x"}}, {"*": {"change": 1, "max_silence_ms": 1}}],
)
def test_a_deadband_that_is_not_allowed_is_rejected_with_the_key(given_deadbands: Any) -> None:
    with pytest.raises(ConfigError, match=r"deadbands: .* is not allowed, expected an object from globs"):
        load(Config, {"deadbands": given_deadbands})


row = st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 6).map(float), st.sampled_from(list(Grade)))


@given(st.lists(st.lists(row, max_size=12), max_size=5))
def test_the_filter_agrees_with_the_definition(batches: list[list[tuple[int, int, float, Grade]]]) -> None:
    """Series 1 has no deadband; a reading is compared with the reading reported last before it."""
    deadband = DeadbandFilter({"a": Deadband(2.0, 10), "c": Deadband(0.0, 1_000)})
    for number, name in enumerate("abc"):
        deadband.assign(number, name)
    limits = {0: (2.0, 10), 2: (0.0, 1_000)}
    reported: dict[int, list[tuple[int, float, Grade]]] = {0: [], 2: []}
    newest = {0: -1, 2: -1}
    for batch in batches:
        batch = sorted(batch, key=lambda row: row[1])
        expected = []
        for series, time, value, grade in batch:
            if series == 1 or time < newest[series]:
                expected.append(False)
                continue
            newest[series] = time
            change, silence = limits[series]
            history = reported[series]
            within = bool(history) and (
                time - history[-1][0] < silence
                and grade == history[-1][2]
                and (grade == Grade.UNUSABLE or abs(value - history[-1][1]) <= change)
            )
            if not within:
                history.append((time, value, grade))
            expected.append(within)
        columns = [np.array([row[at] for row in batch]) for at in range(4)]
        found = deadband.within(
            columns[0].astype(np.int64),
            columns[1].astype(np.int64),
            columns[2].astype(float),
            columns[3].astype(np.uint8),
        )
        assert found.tolist() == expected
