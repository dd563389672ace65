"""Detection of a cycle that continues to the end of the history."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_functions.core.cycle import find
from cloud_functions.core.damped_trend import FloatArray


def noise(n: int, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).normal(size=n)


def shape(at: FloatArray, period: float) -> FloatArray:
    phase = 2 * np.pi * at / period
    return np.asarray(3.0 * np.sin(phase) + 1.0 * np.cos(2 * phase + 1.0))


@pytest.mark.parametrize("period", [7.0, 24.0, 31.4, 75.0])
@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_a_cycle_with_a_trend_is_detected_and_extrapolated(period: float, slope: float) -> None:
    at = np.arange(360.0)
    values = shape(at, period) + slope * at + 0.3 * noise(360)
    found = find(values[:240])
    assert found is not None
    assert found.period == pytest.approx(period, rel=0.02)
    ahead = found.at(at[240:])
    assert np.std(ahead - shape(at[240:], period)) < 0.7


def test_a_cycle_is_detected_despite_missing_values() -> None:
    at = np.arange(240.0)
    values = shape(at, 24.0) + 0.3 * noise(240)
    values[50:70] = values[::9] = np.nan
    found = find(values)
    assert found is not None
    assert found.period == pytest.approx(24.0, rel=0.02)


def test_noise_constants_and_short_histories_have_no_cycle() -> None:
    assert find(noise(240)) is None
    assert find(np.full(240, 5.0)) is None
    assert find(np.full(240, np.nan)) is None
    assert find(shape(np.arange(20.0), 6.0)) is None
    assert find(shape(np.arange(240.0), 120.0) + 0.1 * noise(240)) is None


@pytest.mark.slow
def test_a_random_walk_rarely_has_a_cycle() -> None:
    assert sum(find(np.cumsum(noise(240, seed))) is not None for seed in range(60)) <= 3


def test_a_cycle_that_has_stopped_is_not_detected() -> None:
    values = shape(np.arange(240.0), 24.0)
    values[150:] = 0.0
    assert find(values + 0.3 * noise(240)) is None
