"""Unusable readings are dropped with the first matching reason; others are not changed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_components.aggregator.cleaning import Cleaner, Columns, Rules
from edge_components.aggregator.deadband import Deadband
from edge_components.aggregator.grade import WITHIN_DEADBAND, Grade
from wire.model import Quality

NOW = 1_700_000_000_000
DAY = 86_400_000
GOOD, BAD = int(Quality.GOOD), int(Quality.BAD)
Row = tuple[int, int, float, int]


def columns(*rows: Row) -> Columns:
    series_id, time_ms, value, quality = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Columns(
        np.array(series_id, np.int64), np.array(time_ms, np.int64), np.array(value, float), np.array(quality, np.uint8)
    )


def clean(cleaner: Cleaner, *rows: Row, now: int = NOW) -> tuple[list[float], dict[str, int]]:
    low, high = np.array([-np.inf, 0.0]), np.array([np.inf, 10.0])
    cleaned = cleaner.clean(columns(*rows), low, high, now)
    used = cleaned.columns.quality != Grade.UNUSABLE
    return cleaned.columns.value[used].tolist(), dict(cleaned.dropped)


def test_each_bad_reading_is_counted_under_its_reason_and_the_good_ones_are_kept_in_order() -> None:
    kept, dropped = clean(
        Cleaner(Rules()),
        (0, NOW, 1.0, GOOD),
        (0, NOW, np.nan, GOOD),
        (0, NOW, -np.inf, BAD),
        (0, NOW, 1e101, GOOD),
        (1, NOW, -0.1, GOOD),
        (1, NOW, 10.1, GOOD),
        (1, NOW, 10.0, int(Quality.UNCERTAIN)),
        (0, NOW, 2.0, BAD),
        (0, -1, 3.0, GOOD),
        (0, 253_402_300_800_000, 3.0, GOOD),
        (0, NOW + DAY, 4.0, GOOD),
        (0, NOW + DAY + 1, 5.0, GOOD),
        (0, NOW - 10 * DAY, 6.0, GOOD),
    )
    assert kept == [1.0, 10.0, 4.0, 6.0]
    assert dropped == {
        "rejected_not_finite": 2,
        "rejected_range": 3,
        "rejected_time": 2,
        "rejected_bad_quality": 1,
        "rejected_future": 1,
    }


def test_bad_quality_is_kept_when_that_is_configured() -> None:
    rules = Rules(drop_bad_quality=False)
    assert clean(Cleaner(rules), (0, NOW, 1.0, BAD), (0, NOW, 1.0, BAD)) == ([1.0, 1.0], {})


def test_no_reading_is_in_the_future_while_the_clock_is_not_set() -> None:
    assert clean(Cleaner(Rules()), (0, NOW, 1.0, GOOD), now=60_000) == ([1.0], {})


def test_a_bad_reading_does_not_hide_the_good_one_that_repeats_it() -> None:
    kept, dropped = clean(Cleaner(Rules()), (0, NOW, 5.0, BAD), (0, NOW, 5.0, GOOD))
    assert (kept, dropped) == ([5.0], {"rejected_bad_quality": 1})


def test_no_readings_give_no_rows() -> None:
    assert clean(Cleaner(Rules())) == ([], {})


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(-(2**62), 2**62), st.floats(), st.integers(0, 255)),
        max_size=40,
    )
)
def test_any_readings_are_kept_or_counted(rows: list[Row]) -> None:
    kept, dropped = clean(Cleaner(Rules()), *rows)
    assert len(kept) + sum(dropped.values()) == len(rows)
    assert np.isfinite(kept).all()


def test_readings_within_a_deadband_that_was_given_first_are_marked() -> None:
    cleaner = Cleaner(Rules(), {"pump*": Deadband(1.0, 60_000)})
    for series_id, name in enumerate(("pump", "fan")):
        cleaner.assign(series_id, name)
    given_ = columns(*((series_id, NOW + at, 5.0, GOOD) for at in range(2) for series_id in (0, 1)))
    cleaned = cleaner.clean(given_, np.full(2, -np.inf), np.full(2, np.inf), NOW)
    assert (cleaned.columns.quality & WITHIN_DEADBAND > 0).tolist() == [False, False, True, False]
