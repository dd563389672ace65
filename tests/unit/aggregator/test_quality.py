"""A window counts its readings by quality, and aggregates the usable ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.aggregator.test_component import START, Rig, readings
from wire import codec

GOOD, UNCERTAIN, BAD = 0, 1, 2
Row = tuple[int, int, int, int, float, float, float]


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator[Any]:
    opened: list[Rig] = []

    def make(**values: Any) -> Rig:
        opened.append(Rig(tmp_path / str(len(opened)), **values))
        return opened[-1]

    yield make
    for rig in opened:
        rig.kill()


def offer(rig: Rig, sequence: int, rows: list[tuple[int, float, int]]) -> None:
    times, values, quality = (list(column) for column in zip(*rows, strict=True))
    columns = readings([START + time_ms for time_ms in times], values)
    # In the wire format, as an earlier version of the reader sends it: that can hold a value that is not finite.
    rig.offer(sequence, replace(columns, quality=np.array(quality, np.uint8)), encode=codec.encode)


def windows(rig: Rig) -> dict[int, Row]:
    """Return (revision, count, uncertain, bad, mean, min, max) by start after START, of the highest revision."""
    found: dict[int, Row] = {}
    for rows in rig.batches().values():
        names = ("start_ms", "revision", "count", "uncertain", "bad", "mean", "min", "max")
        for start, *row in zip(*(getattr(rows, name).tolist() for name in names), strict=True):
            if row[0] >= found.get(start - START, (-1,))[0]:
                found[start - START] = tuple(row)
    return found


def test_readings_are_counted_by_quality_and_bad_ones_are_not_used(rigs: Any) -> None:
    rig = rigs(gap_windows=0)
    offer(rig, 1, [(0, 1.0, GOOD), (100, 2.0, UNCERTAIN), (200, 300.0, BAD), (300, 6.0, GOOD), (1100, 4.0, GOOD)])
    offer(rig, 2, [(5000, 1.0, GOOD)])
    rig.run_out(2.0)
    assert windows(rig)[0] == (0, 3, 1, 1, 3.0, 1.0, 6.0)
    assert windows(rig)[1000] == (0, 1, 0, 0, 4.0, 4.0, 4.0)
    assert rig.runtime.counters["rejected_bad_quality"] == 1


def test_a_window_of_bad_readings_alone_has_a_count_of_0_and_their_number(rigs: Any) -> None:
    rig = rigs(ranges={"pump-*": [0, 100]})
    offer(rig, 1, [(0, 1.0, BAD), (100, np.nan, GOOD), (200, 900.0, GOOD), (1000, 2.0, GOOD), (2000, 2.0, GOOD)])
    rig.run_out(4.0)
    revision, count, uncertain, bad, *values = windows(rig)[0]
    assert (revision, count, uncertain, bad) == (0, 0, 0, 3)
    assert np.isnan(values).all()
    assert rig.runtime.counters["gaps"] == 0


def test_bad_readings_are_used_and_counted_where_that_is_configured(rigs: Any) -> None:
    rig = rigs(drop_bad_quality=False, gap_windows=0)
    offer(rig, 1, [(0, 1.0, BAD), (100, 3.0, GOOD), (5000, 1.0, GOOD)])
    rig.run_out(2.0)
    assert windows(rig)[0] == (0, 2, 0, 1, 2.0, 1.0, 3.0)


def test_the_numbers_add_up_over_restarts_and_revisions(rigs: Any) -> None:
    rig = rigs(gap_windows=0)
    offer(rig, 1, [(0, 1.0, UNCERTAIN), (100, 3.0, BAD)])
    rig.tick()
    rig.kill()
    rig.boot()
    offer(rig, 2, [(200, 3.0, UNCERTAIN), (300, 5.0, BAD), (5000, 1.0, GOOD)])
    rig.run_out(2.0)
    assert windows(rig)[0] == (0, 2, 2, 2, 2.0, 1.0, 3.0)
    rig.aggregator.close()
    rig.boot()
    offer(rig, 3, [(400, 5.0, UNCERTAIN), (500, 5.0, BAD)])
    rig.run_out(4.0)
    assert windows(rig)[0] == (1, 3, 3, 3, 3.0, 1.0, 5.0)


def test_a_usable_reading_is_not_a_repetition_of_an_unusable_one(rigs: Any) -> None:
    rig = rigs(gap_windows=0)
    offer(rig, 1, [(0, 5.0, BAD)])
    offer(rig, 2, [(0, 5.0, GOOD), (5000, 1.0, GOOD)])
    offer(rig, 3, [(0, 5.0, BAD)])
    rig.run_out(2.0)
    assert windows(rig)[0] == (0, 1, 0, 1, 5.0, 5.0, 5.0)


def test_a_value_that_changes_too_fast_is_bad_and_a_stuck_one_uncertain(rigs: Any) -> None:
    rig = rigs(max_rates={"pump-*": 10}, stuck_after_ms={"*.temperature": 300}, gap_windows=0)
    offer(rig, 1, [(0, 1.0, GOOD), (100, 90.0, GOOD), (200, 1.0, GOOD), (900, 1.0, GOOD), (5000, 2.0, GOOD)])
    rig.run_out(2.0)
    assert windows(rig)[0] == (0, 3, 1, 1, 1.0, 1.0, 1.0)
    assert rig.runtime.counters["rejected_too_fast"] == 1
    assert rig.runtime.counters["readings_stuck"] == 1
