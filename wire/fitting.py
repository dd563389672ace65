"""How the encoder chooses the model's parameters of a column: by what they would cost, approximately and in floats.

Nothing here is part of the format: a reader takes the parameters as it finds them.
"""

from __future__ import annotations

import numpy as np

from wire.adaptive import GAINS, Fit, Followed
from wire.expectation import FRACTION
from wire.model import FloatArray
from wire.shapes import LEAN, SHAPES, SKEWS

_TRIED = (-6, -4, -2, 0, 2, 3, 4, 5, 6, 8)
"""Skews."""
_USUAL_SHAPE = 3
_LOOK = 500
"""Cells that a column's parameters are chosen by, about."""


def fit(followed: Followed) -> Fit:
    """Return the parameters that would code the cells in the fewest bits, approximately."""
    away, spread = _seen(followed)
    shape, gain, skew = _USUAL_SHAPE, 0, 0
    for _ in range(2):
        gain = int(np.argmin([_cost(away, spread, Fit(shape, number, skew)) for number in range(len(GAINS))]))
        skew = min(_TRIED, key=lambda number: _cost(away, spread, Fit(shape, gain, number)))
        shape = int(np.argmin([_cost(away, spread, Fit(number, gain, skew)) for number in range(len(SHAPES))]))
    return Fit(shape, gain, skew)


def cost(followed: Followed, how: Fit) -> float:
    """Return what a look at the cells says they would cost, to compare one way of following them with another."""
    return _cost(*_seen(followed), how)


def _seen(followed: Followed) -> tuple[FloatArray, FloatArray]:
    """Return how far off some of the cells are, and the spreads they are measured by."""
    cells, expected, spreads = followed.cells, followed.expected, followed.spreads
    # Golden steps: spread out evenly, and never in step with where series begin.
    places = range(len(cells)) if len(cells) <= _LOOK else [i * 40503 % 65536 * len(cells) >> 16 for i in range(_LOOK)]
    away = np.array([(cells[at] << FRACTION) - expected[at] for at in places], np.float64) / 256
    return away, np.array([spreads[at] for at in places], np.float64) / 256


def _cost(away: FloatArray, spread: FloatArray, how: Fit) -> float:
    scale = np.maximum(spread * (GAINS[how.gain] / 16), 0.3)
    away = away / scale + how.skew * LEAN / 256
    away /= np.where(away > 0, 1 + how.skew / SKEWS, 1 - how.skew / SKEWS)
    tails = SHAPES[how.shape] * np.log1p(away**2 / (2 * SHAPES[how.shape] - 1))
    return float((np.log(scale) + tails).sum()) + len(away) * _NORMS[how.shape]


def _norm(power: int) -> float:
    grid = np.arange(-400, 400, 0.01)
    return float(np.log(((1 + grid**2 / (2 * power - 1)) ** -power).sum() * 0.01))


_NORMS = tuple(_norm(power) for power in SHAPES)
