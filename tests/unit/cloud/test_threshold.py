"""Time to a limit: an interval that contains the outcome, or a reason for its absence."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_functions.core.damped_trend import FloatArray
from cloud_functions.core.history import MIN_STEPS, History
from cloud_functions.core.threshold import LEVEL, Estimate, NoEstimate, Reason, Side, SimulatedForecast


def past(values: FloatArray, gap_ms: int = 0, silent_ms: int = 0) -> History:
    return History(np.asarray(values, np.float64), 1_000, 5_000_000, len(values), gap_ms, silent_ms)


def noise(n: int, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).normal(size=n)


RISING = 0.1 * np.arange(120) + 0.3 * noise(120)


def refused(values: FloatArray, side: Side, limit: float, horizon: int = 100, **more: int) -> NoEstimate:
    answer = SimulatedForecast(past(values, **more), horizon).reach(side, limit)
    assert isinstance(answer, NoEstimate)
    return answer


def test_the_interval_contains_the_time_at_which_a_steady_trend_reaches_the_limit() -> None:
    answer = SimulatedForecast(past(RISING), 100).reach(Side.HIGH, 17.0)
    assert isinstance(answer, Estimate)
    assert 40 <= answer.early <= answer.middle <= answer.late <= 60
    assert answer.probability > 0.95


def test_estimates_for_low_and_high_limits_are_symmetric() -> None:
    rising, falling = SimulatedForecast(past(RISING), 100), SimulatedForecast(past(-RISING), 100)
    one, other = rising.reach(Side.HIGH, 17.0), falling.reach(Side.LOW, -17.0)
    assert isinstance(one, Estimate)
    assert isinstance(other, Estimate)
    # Their forecasts are different random samples.
    assert other.middle == pytest.approx(one.middle, abs=2)
    assert other.late - other.early == pytest.approx(one.late - one.early, abs=6)


def test_too_little_history_has_no_estimate() -> None:
    assert refused(RISING[: MIN_STEPS - 1], Side.HIGH, 17.0).reason is Reason.TOO_SHORT
    sparse = RISING.copy()
    sparse[np.arange(120) % 6 != 0] = np.nan
    assert refused(sparse, Side.HIGH, 17.0).reason is Reason.TOO_SHORT


def test_too_little_history_since_a_gap_and_silence_have_no_estimate() -> None:
    assert refused(RISING[:20], Side.HIGH, 17.0, gap_ms=90_000).reason is Reason.GAP
    answer = refused(RISING, Side.HIGH, 17.0, silent_ms=90_000)
    assert (answer.reason, answer.detail) == (Reason.GAP, "no rows in the last 90000 ms")


def test_sufficient_history_since_a_gap_has_an_estimate() -> None:
    assert isinstance(SimulatedForecast(past(RISING, gap_ms=90_000), 100).reach(Side.HIGH, 17.0), Estimate)


def test_a_value_at_or_beyond_the_limit_has_no_estimate() -> None:
    last = float(RISING[-1])
    assert refused(RISING, Side.HIGH, last).reason is Reason.BEYOND
    assert refused(RISING, Side.LOW, last + 1).reason is Reason.BEYOND
    assert refused(np.full(50, 4.0), Side.HIGH, 4.0).reason is Reason.BEYOND


@pytest.mark.parametrize(
    "values",
    [noise(200), np.cumsum(noise(200)), np.full(200, 3.0), np.where(np.arange(200) > 90, 5.0, 0.0) + noise(200)],
    ids=["noise", "random walk", "constant", "step"],
)
def test_a_series_without_a_trend_has_no_estimate(values: FloatArray) -> None:
    assert refused(values, Side.HIGH, float(values.max()) + 1.0).reason is Reason.NO_TREND


def test_a_trend_that_leads_away_from_the_limit_has_no_estimate() -> None:
    assert refused(RISING, Side.LOW, -2.0).reason is Reason.AWAY


def test_a_damped_trend_that_ends_before_the_limit_has_no_estimate() -> None:
    saturating = 20.0 * (1 - np.exp(-np.arange(200) / 40.0)) + 0.05 * noise(200)
    answer = refused(saturating[:120], Side.HIGH, 30.0)
    assert answer.reason is Reason.BOUND
    assert answer.probability == 0.0


def test_a_limit_beyond_the_horizon_has_only_a_probability() -> None:
    answer = refused(RISING, Side.HIGH, 17.0, horizon=20)
    assert (answer.reason, answer.probability) == (Reason.HORIZON, 0.0)
    answer = refused(RISING, Side.HIGH, 17.0, horizon=50)
    assert answer.reason is Reason.HORIZON
    assert answer.probability is not None
    assert 0.0 < answer.probability < 0.5 + LEVEL / 2


def test_a_trend_with_a_daily_cycle_is_estimated_to_the_hour() -> None:
    at = np.arange(360)
    values = 0.02 * at + 3.0 * np.sin(2 * np.pi * at / 24) + 0.2 * np.random.default_rng(4).normal(size=360)
    outlook = SimulatedForecast(past(values[:240]), 120)
    assert outlook.cycle is not None
    assert outlook.cycle.period == pytest.approx(24, rel=0.01)
    answer = outlook.reach(Side.HIGH, 8.6)
    assert isinstance(answer, Estimate)
    reached = int(np.flatnonzero(values[240:] >= 8.6)[0]) + 1
    assert answer.early <= reached <= answer.late
    assert answer.late - answer.early <= 30
    assert refused(values[:240], Side.LOW, -5.0).reason is Reason.AWAY


def test_a_cycle_without_a_trend_has_no_estimate() -> None:
    swing = 3.0 * np.sin(2 * np.pi * np.arange(240) / 24)
    assert refused(swing, Side.HIGH, 3.5).reason is Reason.NO_TREND
    assert refused(swing + 0.1 * noise(240), Side.HIGH, 3.5).reason is Reason.NO_TREND


@pytest.mark.parametrize("factor", [1e-300, 1e-90, 1e-9, 1e99])
@pytest.mark.parametrize("limit", [-1e300, -1e-300, 0.0, 5e-299, 3.0, 1e300])
def test_values_and_limits_of_every_magnitude_are_accepted(factor: float, limit: float) -> None:
    outlook = SimulatedForecast(past(RISING * factor), 50)
    for side in Side:
        assert isinstance(outlook.reach(side, limit), Estimate | NoEstimate)


def test_the_horizon_is_no_longer_than_twice_the_history() -> None:
    assert SimulatedForecast(past(RISING), 10_000).horizon == 240


@pytest.mark.slow
def test_the_intervals_contain_about_four_fifths_of_the_outcomes() -> None:
    inside, asked = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = rng.uniform(0.03, 0.1) * np.arange(300) + rng.normal(size=300)
        limit = float(values[:150].max() + 2.0)
        reached = np.flatnonzero(values[150:] >= limit)
        answer = SimulatedForecast(past(values[:150]), 150).reach(Side.HIGH, limit)
        if isinstance(answer, Estimate):
            asked += 1
            inside += bool(len(reached) and answer.early <= reached[0] + 1 <= answer.late)
    assert asked >= 25
    # Three standard errors of a fraction of forty.
    assert abs(inside / asked - LEVEL) < 0.2
