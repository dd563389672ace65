"""Frequency tables of the distance between a cell and its prediction: Student's t in integers, by shape and spread.

The weight of a distance d from the mode is (1 + d^2 / (v s^2))^-m with v = 2m - 1: heavy tails for m = 1 (Cauchy),
nearly a normal distribution for m = 16. Everything is integer, so that every platform has the same tables.
"""

from __future__ import annotations

from functools import lru_cache

from wire.model_coder.rans import TOTAL

SKEWS, MAX_SKEW = 16, 8
"""Unit and limit of a skew: sixteenths by which the upper side is wider and the lower side narrower."""
MODE_OFFSET = 25
"""Distance of the mode below the mean, in spreads and 1/256 of the skew."""
SHAPES = (1, 2, 3, 4, 6, 8, 12, 16)
"""Exponents m of the distribution, by index."""


def spread_level(spread: int) -> int:
    """Return a spread (1 to 127 sixteenths) rounded to the middle of its quarter octave; up to 7 it is unchanged."""
    if spread < 8:
        return max(1, spread)
    shift = spread.bit_length() - 3
    return (spread >> shift << shift) + (1 << (shift - 1))


LEVELS = tuple(spread_level(spread) for spread in range(128))


@lru_cache(maxsize=4096)
def table(shape: int, level: int, phase: int, skew: int = 0) -> tuple[int, tuple[int, ...]]:
    """Return (reach, first slots) of the distances -reach to reach and of the escape symbol, out of TOTAL slots.

    ``shape`` indexes SHAPES; ``level`` is the spread in sixteenths; the centre lies ``phase`` eighths above 0. Above
    its mode the distribution is ``skew`` sixteenths wider than the spread, below it as much narrower.
    """
    power = SHAPES[shape]
    below, above = level * (SKEWS - skew), level * (SKEWS + skew)
    lean = level * skew * MODE_OFFSET >> 8
    reach = 2 + level // 2
    weights = []
    for distance in range(-reach, reach + 1):
        away = 16 * distance - 2 * phase + lean
        side = above if away > 0 else below
        scale = (2 * power - 1) * side * side
        ratio, weight = (scale << 24) // (scale + (SKEWS * away) ** 2), 1 << 24
        for _ in range(power):
            weight = weight * ratio >> 24
        weights.append(weight)
    beyond = (weights[0] + weights[-1]) * reach // (2 * power - 1) + 1
    # Every symbol gets one slot; the rest is shared by weight, and the most likely symbol gets the rounding remainder.
    free, total = TOTAL - len(weights) - 1, sum(weights) + beyond
    slots = [1 + weight * free // total for weight in [*weights, beyond]]
    slots[slots.index(max(slots))] += TOTAL - sum(slots)
    firsts, first = [], 0
    for count in slots:
        firsts.append(first)
        first += count
    return reach, (*firsts, TOTAL)
