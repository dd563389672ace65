"""What writing and reading a column by the model (coder 3) have in common: what its groups begin with, and what a row's
other cells tell of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wire.adaptive import Followed, Past, State
from wire.columns import Id
from wire.expectation import FRACTION
from wire.varint import Signed

CHAINED = frozenset({Id.STD, Id.SCORE})
"""The columns whose cells are alike in all series: each group goes on where the last one ended."""
BESIDE = {Id.HIGH: Id.LOW}
"""The columns that have the cells of another, row by row, to go by."""
SHARES = 8
"""A share is a number of eighths, from -8 to 8; it is written with this added."""


def past(
    column: Id,
    kinds: Sequence[int],
    groups: int,
    known: Sequence[State] | None,
    late: int,
    ended: Mapping[Id, Sequence[State | None]],
) -> Past:
    """Return what the groups of a column begin with; ``ended`` has the states in which those of others ended."""
    of = [0] * len(kinds) if column in CHAINED else kinds
    if groups != len(kinds):  # a series at rest is a group of its own, and learns from others at rest
        of = [2 * kind + regime for kind in of for regime in (0, 1)]
        known = None if known is None else [state for state in known for _ in (0, 1)]
    begun = ended.get(BESIDE[column]) if column in BESIDE else None
    return Past(of, known, late, wide=column is Id.VALUE, chained=column in CHAINED, begun=begun)


def aways(followed: Followed) -> list[int]:
    """Return how far each cell lies above what was expected of it, with eight fractional bits."""
    return [(cell << FRACTION) - centre for cell, centre in zip(followed.cells, followed.expected, strict=True)]


def with_share(offsets: Signed | None, beside: Sequence[int], share: int) -> list[int]:
    """Return a row's offsets with ``share`` eighths of how far the cell beside lies above what was expected."""
    own = [0] * len(beside) if offsets is None else offsets.tolist()
    return [offset + (away * share >> 3) for offset, away in zip(own, beside, strict=True)]


def best_share(followed: Followed, beside: Sequence[int]) -> int:
    """Return the share that makes a column lie nearest to what is expected of it."""
    own, other = np.array(aways(followed), np.float64), np.array(beside, np.float64)
    # What is far off in either says little of the others.
    far, other_far = 4 * np.median(np.abs(own)) + 256, 4 * np.median(np.abs(other)) + 256
    own, other = np.clip(own, -far, far), np.clip(other, -other_far, other_far)
    return int(np.clip(np.rint(8 * float(own @ other) / max(float(other @ other), 1.0)), -SHARES, SHARES))
