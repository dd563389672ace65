"""Conditions of cloud rules over rows: hysteresis, rates, absence, and the same result for any portions of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.core import rules
from cloud_functions.core.dry_run import FORECAST_STEPS, MAX_SERIES, SeriesName, dry_run, rows_of_series
from cloud_functions.core.errors import RequestError
from cloud_functions.core.rule_evaluation import Breach, Progress, Row, absent, evaluate
from cloud_functions.core.rules import Absence, Condition, Rate, Threshold
from wire.model import Aggregates, Series

STEP_MS = 10_000
HOT = Threshold(80.0, None, 5.0)


def rows(*means: float, first: int = 0) -> list[Row]:
    return [Row(at * STEP_MS, (at + 1) * STEP_MS, mean) for at, mean in enumerate(means, first)]


def breaches(condition: Condition, *means: float) -> list[tuple[int, int | None, float]]:
    """Return onset and end in windows, and the peak."""
    found = evaluate(condition, Progress(), rows(*means))[1]
    ends = [None if one.ended_ms is None else one.ended_ms // STEP_MS for one in found]
    return [(one.onset_ms // STEP_MS, end, one.peak) for one, end in zip(found, ends, strict=True)]


def test_a_threshold_is_over_when_the_mean_is_back_by_the_margin() -> None:
    assert breaches(HOT, 70, 81, 79, 90, 76, 75, 70) == [(1, 5, 90)]


def test_without_a_margin_each_crossing_of_the_limit_counts() -> None:
    assert breaches(Threshold(80.0, None), 81, 80, 82) == [(0, 1, 81), (2, None, 82)]


def test_a_mean_may_be_too_low_or_too_high_in_one_rule() -> None:
    assert breaches(Threshold(80.0, 10.0, 1.0), 5, 10.5, 11, 81) == [(0, 2, 5), (3, None, 81)]


def test_a_jump_from_one_limit_to_the_other_ends_one_breach_and_begins_another() -> None:
    assert breaches(Threshold(80.0, 10.0), 90, 5) == [(0, 1, 90), (1, None, 5)]


def test_a_rate_is_the_change_per_unit_of_time() -> None:
    assert breaches(Rate(5.0, None, "1m"), 0, 0.5, 2, 4, 4) == [(2, 4, 12)]
    assert breaches(Rate(None, -5.0, "1s"), 100, 0) == [(1, None, -10)]


def test_the_first_row_has_no_rate() -> None:
    assert breaches(Rate(0.0, None, "1s"), 1_000) == []


def test_a_gap_longer_than_allowed_is_an_absence_that_ends_with_the_next_row() -> None:
    gap = Absence(30.0)
    found = evaluate(gap, Progress(), [*rows(1.0), *rows(1.0, first=9)])[1]
    assert [(one.onset_ms, one.ended_ms, one.value) for one in found] == [(40_000, 90_000, 80.0)]


def test_a_running_absence_ends_when_a_row_comes() -> None:
    gap = Absence(30.0)
    progress, _ = evaluate(gap, Progress(), rows(1.0))
    assert absent(gap, progress, 39_999) == (progress, None)
    progress, running = absent(gap, progress, 50_000)
    assert running is not None
    assert (running.onset_ms, running.ended_ms) == (40_000, None)
    progress, found = evaluate(gap, progress, rows(1.0, first=6))
    assert [(one.onset_ms, one.ended_ms) for one in found] == [(40_000, 60_000)]
    assert progress.breach is None


def test_a_series_that_never_sent_a_row_is_not_absent() -> None:
    assert absent(Absence(1.0), Progress(), 10**12)[1] is None


@pytest.mark.parametrize(
    "condition", [HOT, Threshold(60.0, 40.0, 3.0), Rate(3.0, -3.0, "1s"), Absence(25.0)], ids=lambda one: repr(one)
)
@given(means=st.lists(st.floats(0, 100), min_size=1, max_size=30), gaps=st.sets(st.integers(0, 29)), data=st.data())
def test_rows_in_any_portions_and_repeated_give_the_same_breaches(
    condition: Condition, means: list[float], gaps: set[int], data: st.DataObject
) -> None:
    all_rows = [row for at, row in enumerate(rows(*means)) if at not in gaps]
    whole_progress, whole = evaluate(condition, Progress(), all_rows)
    progress, parts, at = Progress(), dict[int, Breach](), 0
    while at < len(all_rows):
        size = data.draw(st.integers(1, len(all_rows)))
        again = data.draw(st.integers(0, at))
        progress, found = evaluate(condition, progress, all_rows[again : at + size])
        progress = Progress.from_dict(progress.to_dict())
        parts |= {one.onset_ms: one for one in found}
        at += size
    assert progress == whole_progress
    # A breach that began and ended is listed once; one that ran on is listed with its newest state.
    assert list(parts.values()) == whole


class FakeHistory:
    """Rows of series by name."""

    def __init__(self, **means: list[float]) -> None:
        self.means = means

    def series(self, rule: rules.Rule) -> Iterator[SeriesName]:
        yield from (SeriesName("gw-1", name) for name in self.means if rule.applies_to("gw-1", name))

    def rows(self, name: SeriesName, from_ms: int, to_ms: int) -> Aggregates:
        found = aggregates(self.means[name.series])
        return found.take(np.flatnonzero((found.start_ms >= from_ms) & (found.start_ms < to_ms)))


def aggregates(means: list[float]) -> Aggregates:
    n = len(means)
    mean = np.array(means, np.float64)
    zeros = np.zeros(n)
    return Aggregates(
        (Series("a", "Cel"),),
        np.zeros(n, np.int64),
        np.arange(n, dtype=np.int64) * STEP_MS,
        np.full(n, STEP_MS, np.int64),
        np.ones(n, np.int64),
        mean,
        mean,
        mean,
        zeros,
        zeros,
    )


def rule(condition: dict[str, object], **more: object) -> rules.Rule:
    return rules.parse({"name": "r", "condition": condition} | more)


def test_a_dry_run_lists_what_the_rule_would_have_fired() -> None:
    history = FakeHistory(hot=[70, 90, 90, 90, 70, 90, 70], cold=[1.0] * 7)
    answer = dry_run(rule({"type": "threshold", "above": 80}, for_s=20), history, 0, 70_000)
    firing = {"gateway": "gw-1", "series": "hot", "from_ms": 10_000, "to_ms": 40_000, "peak": 90.0}
    assert answer == {"series_evaluated": 2, "firings": [firing], "count": 1}


def test_a_dry_run_includes_a_series_that_is_absent_at_its_end() -> None:
    answer = dry_run(rule({"type": "absence", "after_s": 60}), FakeHistory(a=[1.0, 1.0]), 0, 200_000)
    assert [(one["from_ms"], one["to_ms"]) for one in answer["firings"]] == [(80_000, 200_000)]


@pytest.mark.slow
def test_a_dry_run_of_a_forecast_finds_when_the_limit_came_within_reach() -> None:
    rng = np.random.default_rng(1)
    means = (np.arange(600) * 0.1 + rng.normal(0, 0.05, 600)).tolist()
    condition = {"type": "forecast", "limit": 70, "side": "high", "within_s": 2_000}
    answer = dry_run(rule(condition), FakeHistory(a=means), 1_000_000, 6_000_000)
    (firing,) = answer["firings"]
    # 70 is reached at 7,000 s, so it is within 2,000 s from 5,000 s on.
    step_ms = 5_000_000 // FORECAST_STEPS
    assert abs(firing["from_ms"] - 5_000_000) <= 2 * step_ms
    assert dry_run(rule(condition), FakeHistory(a=[5.0] * 600), 1_000_000, 6_000_000)["count"] == 0


def test_a_dry_run_is_bounded() -> None:
    many = FakeHistory(**{f"s{at}": [90.0] for at in range(MAX_SERIES + 1)})
    answer = dry_run(rule({"type": "threshold", "above": 80}), many, 0, 10_000)
    assert (answer["series_evaluated"], answer["truncated"]) == (MAX_SERIES, True)
    with pytest.raises(RequestError, match="at most 31 days"):
        dry_run(rule({"type": "threshold", "above": 80}), many, 0, 32 * 86_400_000)
    with pytest.raises(RequestError, match="is not before to"):
        dry_run(rule({"type": "threshold", "above": 80}), many, 5, 5)


def test_rows_without_a_value_are_left_out_and_sorted_by_time() -> None:
    found = aggregates([1.0, float("nan"), 3.0])
    assert [row.mean for row in rows_of_series(found.take(np.array([2, 1, 0])))] == [1.0, 3.0]
    assert rows_of_series(found.take(np.array([], np.int64))) == []


def test_the_progress_before_the_first_row_is_stored_as_before_all_times() -> None:
    assert Progress().to_dict() == {"until_ms": -1, "value": 0.0}
    assert Progress.from_dict(Progress().to_dict()) == Progress()
