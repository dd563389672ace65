"""The encoder's choice of a column's model parameters, by their estimated cost in floating point.

Not part of the format: a reader uses the parameters that the batch states.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wire.model_coder.adaptive_model import GAINS, ModelParameters, PredictedColumn
from wire.model_coder.distributions import MODE_OFFSET, SHAPES, SKEWS
from wire.model_coder.prediction import FRACTION

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SKEWS = (-6, -4, -2, 0, 2, 3, 4, 5, 6, 8)
"""Skews that are tried."""
_ALL_SHAPES, _ALL_GAINS, _TRIED_SKEWS = (
    np.array(candidates)[:, np.newaxis] for candidates in (range(len(SHAPES)), range(len(GAINS)), _SKEWS)
)
_INITIAL_SHAPE = 3
_SAMPLED_CELLS = 500
"""Approximate number of cells on which a column's parameters are chosen."""


def search_parameters(column: PredictedColumn) -> ModelParameters:
    """Return the parameters with the smallest estimated cost, by coordinate descent."""
    away, spread = _sampled_errors(column)
    shape, gain, skew = _INITIAL_SHAPE, 0, 0
    for _ in range(2):
        gain = int(np.argmin(_costs(away, spread, shape, _ALL_GAINS, skew)))
        skew = _SKEWS[int(np.argmin(_costs(away, spread, shape, gain, _TRIED_SKEWS)))]
        shape = int(np.argmin(_costs(away, spread, _ALL_SHAPES, gain, skew)))
    return ModelParameters(shape, gain, skew)


def estimated_cost(column: PredictedColumn, parameters: ModelParameters) -> float:
    """Return the estimated cost (in nats, up to a constant) of a sample of the cells, to compare predictions."""
    return float(_costs(*_sampled_errors(column), parameters.shape, parameters.gain, parameters.skew)[0])


def _sampled_errors(column: PredictedColumn) -> tuple[FloatArray, FloatArray]:
    """Return the prediction errors of sampled cells and their spreads."""
    cells, expected, spreads = column.cells, column.expected, column.spreads
    # Golden-ratio steps sample evenly and do not resonate with the start of series.
    sampled = (
        range(len(cells))
        if len(cells) <= _SAMPLED_CELLS
        else [i * 40503 % 65536 * len(cells) >> 16 for i in range(_SAMPLED_CELLS)]
    )
    away = np.array([(cells[at] << FRACTION) - expected[at] for at in sampled], np.float64) / 256
    return away, np.array([spreads[at] for at in sampled], np.float64) / 256


def _costs(
    away: FloatArray, spread: FloatArray, shape: int | IntArray, gain: int | IntArray, skew: int | IntArray
) -> FloatArray:
    """Return the cost of each candidate: of the three parameters at most one is a column with a row for each."""
    power = _POWERS[shape]
    scale = np.maximum(spread * _FACTORS[gain], 0.3)
    away = away / scale + skew * MODE_OFFSET / 256
    away /= np.where(away > 0, 1 + skew / SKEWS, 1 - skew / SKEWS)
    tails = power * np.log1p(away**2 / (2 * power - 1))
    costs: FloatArray = (np.log(scale) + tails).sum(axis=-1) + len(spread) * _NORMS[shape].T
    return costs.reshape(-1)


def _norm(power: int) -> float:
    grid = np.arange(-400, 400, 0.01)
    return float(np.log(((1 + grid**2 / (2 * power - 1)) ** -power).sum() * 0.01))


_NORMS = np.array([_norm(power) for power in SHAPES])
_POWERS = np.array(SHAPES, np.float64)
_FACTORS = np.array(GAINS) / 16
