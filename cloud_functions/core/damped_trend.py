"""Damped trend in state-space form, ETS(A,Ad,N), fitted to a series on a regular grid, with simulated forecasts.

Gardner & McKenzie (1985), "Forecasting trends in time series", for the damped trend; Hyndman, Koehler, Ord & Snyder
(2008), "Forecasting with Exponential Smoothing: The State Space Approach", chapters 2, 5 and 6, for the model, its
least-squares fit and its intervals; Burnham & Anderson (2002) for weighing models by Akaike's criterion::

    y[t] = l[t-1] + phi b[t-1] + e[t]
    l[t] = l[t-1] + phi b[t-1] + alpha e[t]
    b[t] = phi b[t-1] + beta e[t]

The parameters are tried on a fixed grid, and for each the first level and trend are those that minimise the squared
one-step error (a linear problem, solved exactly). The best is what is named; but its rivals, in proportion to how well
they do, and the first states' own uncertainty go into the futures too: a best fit alone is too sure of itself. The
grid also holds the models without a trend, so how sure it is that there is one comes out of the same weighing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

ALPHAS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
BETA_SHARES = (0.0, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0)
"""Values of beta as fractions of alpha."""
PHIS = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
"""Damping factors; 1.0 is Holt's linear trend without damping."""
PATHS, SEED = 1000, 20
_PARAMETERS_TREND, _PARAMETERS_LEVEL = 5, 2
_TINY = 1e-12


@cache
def grid() -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return float64[3, m] of alpha, beta, phi, and bool[m]: which have a trend."""
    trends = [(a, a * s, p) for a in ALPHAS for s in (BETA_SHARES if a else (0.0,)) for p in PHIS]
    levels = [(a, 0.0, 0.0) for a in ALPHAS]
    columns = np.array(trends + levels).T
    columns.flags.writeable = False
    return columns, np.arange(columns.shape[1]) < len(trends)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Fit of the history. Columns are the grid's m models; states are (level, trend) after the last value.

    ``weight`` [m] sums to 1; ``state`` [2, m]; ``response`` [2, 2, m]: how the last state follows from the first;
    ``spread`` [m, 2, 2]: of the first state, in units of ``sigma`` [m], the one-step error; ``best`` is the best model
    with a trend, ``levels`` and ``trends`` [n] its states after each value; ``trend_certainty`` is the weight of all
    models with a trend, 0 to 1. Values are in units of ``scale`` above ``centre``.
    """

    weight: FloatArray
    state: FloatArray
    response: FloatArray
    spread: FloatArray
    sigma: FloatArray
    best: int
    levels: FloatArray
    trends: FloatArray
    values: FloatArray
    centre: float
    scale: float

    @property
    def trend_certainty(self) -> float:
        """Probability that the series has a trend: the weight of the models with a trend."""
        return float(self.weight[grid()[1]].sum())

    @property
    def parameters(self) -> dict[str, float]:
        """The best trend: its parameters, one-step error, and last level and trend (in the values' unit, a step)."""
        (alpha, beta, phi), at = grid()[0][:, self.best], self.best
        return {
            "alpha": float(alpha),
            "beta": float(beta),
            "phi": float(phi),
            "sigma": float(self.sigma[at]) * self.scale,
            "level": float(self.state[0, at]) * self.scale + self.centre,
            "trend": float(self.state[1, at]) * self.scale,
        }

    @property
    def bound(self) -> float:
        """Limit of the best trend; infinite if it is not damped."""
        phi = float(grid()[0][2, self.best])
        level, trend = self.state[:, self.best]
        rest = trend * phi / (1 - phi) if phi < 1 else (np.sign(trend) * np.inf if trend else 0.0)
        return float((level + rest) * self.scale + self.centre)

    def paths(self, steps: int) -> FloatArray:
        """Return float64[steps, PATHS]: simulated forecasts (deterministic), widened by the errors in the history."""
        paths = self._futures(steps)
        middle = np.median(paths, axis=1)
        factor = self._widening(middle, paths)
        return np.asarray((middle[:, None] + (paths - middle[:, None]) * factor[:, None]) * self.scale + self.centre)

    def _futures(self, steps: int) -> FloatArray:
        """Return simulated forecasts of the models, in proportion to their weights."""
        chance = np.random.default_rng(SEED)
        ranks = (np.arange(PATHS) + 0.5) / PATHS
        model = np.searchsorted(np.cumsum(self.weight), ranks).clip(0, len(self.weight) - 1)
        (alpha, beta, phi), sigma = grid()[0][:, model], self.sigma[model]
        first = np.einsum("mij,mj->mi", self.spread[model], chance.normal(size=(PATHS, 2))) * sigma[:, None]
        level, trend = self.state[:, model] + np.einsum("abm,mb->am", self.response[:, :, model], first)
        errors = chance.normal(size=(steps, PATHS)) * sigma
        paths = np.empty((steps, PATHS))
        for step, error in enumerate(errors):
            trend = phi * trend
            expected = level + trend
            paths[step] = expected + error
            level, trend = expected + alpha * error, trend + beta * error
        return paths

    def _widening(self, middle: FloatArray, paths: FloatArray) -> FloatArray:
        """Return float64[steps]: the factor by which forecasts are widened to contain 80% of the errors in the history.

        Forecasts of the best trend from every step of the history except its first quarter are compared with the later
        values (conformal prediction, Vovk et al. 2005; in sample except for the steps ahead). The factor is at least 1.
        """
        steps, n = len(paths), len(self.values)
        phi = grid()[0][2, self.best]
        ahead = np.cumsum(phi ** np.arange(1, steps + 1))
        low, high = np.quantile(paths, (0.1, 0.9), axis=1)
        have = np.maximum((high - low) / 2, _TINY)
        at, factors, factor, step = [0], [1.0], 1.0, 1
        while step <= min(steps, n // 2):
            origin = np.arange(n // 4, n - step)
            error = self.values[origin + step] - (self.levels[origin] + ahead[step - 1] * self.trends[origin])
            error = np.abs(error[np.isfinite(error)])
            if len(error):
                factor = max(factor, float(np.quantile(error, 0.8)) / float(have[step - 1]))
            at.append(step)
            factors.append(factor)
            step = max(step + 1, step * 3 // 2)
        return np.interp(np.arange(1, steps + 1), at, factors)


def fit(values: FloatArray) -> Fit:
    """Fit float64[n] (NaN: missing) with at least two different values."""
    known = values[np.isfinite(values)]
    centre, scale = float(known.mean()), float(known.std())
    scaled = (values - centre) / scale
    errors, state, response = _filter(scaled)
    _, has_trend = grid()
    design = -errors[:, 1:]
    normal = np.einsum("nim,njm->mij", design, design)
    right = np.einsum("nim,nm->mi", design, errors[:, 0])
    # Without a trend the first one is held at 0; the rest keeps a first state that nothing depends on from being free.
    normal[~has_trend] *= np.array([[1.0, 0.0], [0.0, 0.0]])
    normal[~has_trend, 1, 1] = 1 / _TINY
    right[~has_trend, 1] = 0.0
    normal[:, [0, 1], [0, 1]] += 1e-9
    first = np.linalg.solve(normal, right[:, :, None])[:, :, 0].T
    squares = ((errors[:, 0] + (errors[:, 1:] * first).sum(1)) ** 2).sum(0)
    count = np.where(has_trend, _PARAMETERS_TREND, _PARAMETERS_LEVEL)
    criterion = len(known) * np.log(squares + _TINY) + 2.0 * count
    # Both kinds have the same prior weight, regardless of their number in the grid.
    plausible = np.exp((criterion.min() - criterion) / 2) / np.where(has_trend, has_trend.sum(), (~has_trend).sum())
    best = int(np.argmin(np.where(has_trend, criterion, np.inf)))
    levels, trends = _states(scaled, *grid()[0][:, best].tolist(), *first[:, best].tolist())
    return Fit(
        weight=plausible / plausible.sum(),
        state=state + np.einsum("abm,bm->am", response, first),
        response=response,
        spread=np.linalg.cholesky(np.linalg.inv(normal)),
        sigma=np.sqrt(squares / np.maximum(1, len(known) - count)),
        best=best,
        levels=levels,
        trends=trends,
        values=scaled,
        centre=centre,
        scale=scale,
    )


def _filter(values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return one-step errors [n, 3, m], last states [2, m] and their response [2, 2, m] to the initial state.

    The three errors are those of the values with an initial state of 0, and those of an initial level and an initial
    trend of 1 alone: by linearity the errors for any initial state are their combination.
    """
    (alpha, beta, phi), _ = grid()
    m = len(alpha)
    level, trend = np.zeros((3, m)), np.zeros((3, m))
    level[1], trend[2] = 1.0, 1.0
    errors = np.zeros((len(values), 3, m))
    for at, value in enumerate(values.tolist()):
        trend = phi * trend
        expected = level + trend
        if value != value:  # NaN: nothing is learned
            level = expected
            continue
        error = -expected
        error[0] += value
        errors[at] = error
        level, trend = expected + alpha * error, trend + beta * error
    return errors, np.stack([level[0], trend[0]]), np.array([[level[1], level[2]], [trend[1], trend[2]]])


def _states(
    values: FloatArray, alpha: float, beta: float, phi: float, level: float, trend: float
) -> tuple[FloatArray, FloatArray]:
    levels, trends = np.empty(len(values)), np.empty(len(values))
    for at, value in enumerate(values.tolist()):
        trend *= phi
        expected = level + trend
        error = 0.0 if value != value else value - expected
        level, trend = expected + alpha * error, trend + beta * error
        levels[at], trends[at] = level, trend
    return levels, trends
