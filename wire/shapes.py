"""How likely a cell is, at a distance from what was expected: integer tables of Student's t, by shape and spread.

The weight of a distance d from the mode is (1 + d^2 / (v s^2))^-m with v = 2m - 1: heavy tails for m = 1 (Cauchy),
nearly a normal distribution for m = 16. Everything is integer, so that every platform has the same tables.
"""

from __future__ import annotations

from functools import lru_cache

from wire.rans import TOTAL

SKEWS, MOST_SKEWED = 16, 8
"""A skew is a number of sixteenths by which the side above is wider and the one below narrower."""
LEAN = 25
"""How far the mode lies below the mean, in spreads and 1/256 of the skew."""
SHAPES = (1, 2, 3, 4, 6, 8, 12, 16)
"""The exponents m that a column may name, by number."""


def spread_level(spread: int) -> int:
    """Return the middle of the quarter octave that a spread (1 to 127 sixteenths) lies in; up to 7 it is its own."""
    if spread < 8:
        return max(1, spread)
    shift = spread.bit_length() - 3
    return (spread >> shift << shift) + (1 << (shift - 1))


LEVELS = tuple(spread_level(spread) for spread in range(128))


@lru_cache(maxsize=4096)
def table(shape: int, level: int, phase: int, skew: int = 0) -> tuple[int, tuple[int, ...]]:
    """Return (reach, first slots): slots of the distances -reach to reach, and of the escape beyond, out of TOTAL.

    ``shape`` indexes SHAPES; ``level`` is the spread in sixteenths; the centre lies ``phase`` eighths above 0. Above
    its mode the distribution is ``skew`` sixteenths wider than the spread, below it as much narrower.
    """
    power = SHAPES[shape]
    below, above = level * (SKEWS - skew), level * (SKEWS + skew)
    lean = level * skew * LEAN >> 8
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
    # Each has one slot for sure; the others are shared out by weight, and the likeliest gets what rounding leaves.
    free, total = TOTAL - len(weights) - 1, sum(weights) + beyond
    slots = [1 + weight * free // total for weight in [*weights, beyond]]
    slots[slots.index(max(slots))] += TOTAL - sum(slots)
    firsts, first = [], 0
    for count in slots:
        firsts.append(first)
        first += count
    return reach, (*firsts, TOTAL)
