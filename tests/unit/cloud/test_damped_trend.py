"""The damped trend: estimated parameters, and the width of its forecasts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_functions.core import damped_trend
from cloud_functions.core.damped_trend import Fit, FloatArray, fit, grid
from tests.examples import examples


def damped(n: int, phi: float, trend: float = 1.0, noise: float = 0.0, seed: int = 1) -> FloatArray:
    steps = trend * phi ** np.arange(1, n + 1)
    return np.asarray(20.0 + np.cumsum(steps) + noise * np.random.default_rng(seed).normal(size=n), np.float64)


def held(found: Fit, alpha: float, beta: float, phi: float) -> Fit:
    """Return the fit with a single model, a certain initial state, and no widening by past errors."""
    at = int(np.argmin(np.abs(grid()[0] - np.array([[alpha], [beta], [phi]])).sum(0)))
    weight, nothing = np.zeros_like(found.weight), np.full_like(found.values, np.nan)
    weight[at] = 1.0
    return replace(found, weight=weight, spread=np.zeros_like(found.spread), best=at, values=nothing)


@pytest.mark.parametrize("phi", [0.9, 0.98, 1.0])
def test_a_trend_without_noise_is_estimated_with_its_damping_and_limit(phi: float) -> None:
    values = damped(60, phi)
    found = fit(values)
    assert found.parameters["phi"] == phi
    assert found.parameters["level"] == pytest.approx(values[-1], abs=1e-3)
    assert found.parameters["trend"] == pytest.approx(phi**60, rel=1e-2)
    assert found.parameters["sigma"] == pytest.approx(0.0, abs=1e-3)
    assert found.trend_certainty > 0.999
    bound = values[-1] + phi**61 / (1 - phi) if phi < 1 else np.inf
    assert found.bound == pytest.approx(bound, rel=1e-3)


def test_forecasts_of_a_trend_without_noise_follow_the_trend() -> None:
    values = damped(120, 0.98)
    found = fit(values[:60])
    assert np.median(found.paths(60), axis=1) == pytest.approx(values[60:], abs=0.02)


@pytest.mark.parametrize(("alpha", "share", "phi"), [(0.2, 0.1, 0.9), (0.5, 0.3, 0.98), (1.0, 0.0, 0.8)])
def test_the_width_of_forecasts_is_that_of_the_state_space_model(alpha: float, share: float, phi: float) -> None:
    beta, steps = alpha * share, np.arange(1, 41)
    found = held(fit(damped(80, 0.95, noise=1.0)), alpha, beta, phi)
    # Hyndman et al. (2008), table 6.1: the effect of a shock is alpha + beta (phi + ... + phi^j) after j steps.
    lasting = alpha + beta * np.cumsum(phi**steps)
    variance = 1.0 + np.concatenate(([0.0], np.cumsum(lasting**2)[:-1]))
    sigma = found.sigma[found.best] * found.scale
    assert found.paths(40).std(axis=1) == pytest.approx(sigma * np.sqrt(variance), rel=0.1)


def test_the_initial_state_minimises_the_errors() -> None:
    values = damped(50, 0.95, noise=0.5)
    found = fit(values)
    alpha, beta, phi = grid()[0][:, found.best].tolist()

    def squares(level: float, trend: float) -> float:
        total = 0.0
        for value in values.tolist():
            trend *= phi
            error = value - level - trend
            level, trend = level + trend + alpha * error, trend + beta * error
            total += error**2
        return total

    least = (found.parameters["sigma"] ** 2) * (len(values) - 5)
    steps = np.linspace(-3, 3, 41)
    assert min(squares(20 + a, 1 + b) for a in steps for b in steps / 3) >= least * (1 - 1e-9)


def test_missing_values_are_skipped_and_the_trend_continues() -> None:
    values = damped(80, 1.0)
    values[30:40] = np.nan
    found = fit(values)
    assert found.parameters["level"] == pytest.approx(values[-1], abs=1e-6)
    assert found.parameters["trend"] == pytest.approx(1.0, abs=1e-6)


def test_the_weights_sum_to_one_and_noise_has_no_trend() -> None:
    found = fit(np.random.default_rng(3).normal(size=200))
    assert found.weight.sum() == pytest.approx(1.0)
    assert (found.weight >= 0).all()
    assert found.trend_certainty < 0.5


@settings(max_examples=examples(15), deadline=None)
@given(st.floats(-1e6, 1e6), st.sampled_from([1e-6, 0.01, 3.0, 1e5]), st.sampled_from([-1.0, 1.0]))
def test_forecasts_are_equivariant_to_the_unit_of_the_values(shift: float, factor: float, sign: float) -> None:
    values = damped(60, 0.98, noise=0.3)
    plain, other = fit(values), fit(sign * factor * values + shift)
    # A large shift reduces the precision of the other series.
    lost = 1e-12 * abs(shift) / factor
    assert other.trend_certainty == pytest.approx(plain.trend_certainty, abs=1e-3 + lost)
    ours, theirs = plain.paths(20), (other.paths(20) - shift) / (sign * factor)
    assert np.median(theirs, axis=1) == pytest.approx(np.median(ours, axis=1), abs=0.3 + lost)


def test_forecasts_are_deterministic() -> None:
    values = damped(60, 0.98, noise=0.3)
    assert np.array_equal(fit(values).paths(30), fit(values).paths(30))


def test_the_width_of_forecasts_grows_with_the_errors_in_the_history() -> None:
    # A cycle that no trend predicts: the forecasts of the models alone would be too narrow.
    at = np.arange(240)
    values = 5.0 * np.sin(at / 9.0) + 0.2 * np.random.default_rng(5).normal(size=240)
    found = fit(values)
    alone = replace(found, values=np.full_like(found.values, np.nan))
    widths = [np.subtract(*np.quantile(one.paths(30), (0.9, 0.1), axis=1)) for one in (found, alone)]
    assert (widths[0] >= widths[1] - 1e-9).all()
    assert widths[0][-1] > 6.0
    assert found.paths(2).shape[1] == damped_trend.PATHS
