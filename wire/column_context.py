"""Context that a column coded by the model takes from others: initial states of its groups, offsets from other cells of
the row. Shared by the writer and the reader of columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wire.columns import Id
from wire.model_coder.adaptive_model import GroupStarts, PredictedColumn, State
from wire.model_coder.prediction import FRACTION
from wire.varint import Signed

CHAINED = frozenset({Id.STD, Id.SCORE})
"""Columns with similar cells in all series: each group continues with the state of the previous one."""
BESIDE = {Id.HIGH: Id.LOW}
"""Columns that are predicted from another column of the same row."""
SHARES = 8
"""Limit of a share, in eighths (-8 to 8); it is written with this added."""


def group_starts(
    column: Id,
    kinds: Sequence[int],
    groups: int,
    known: Sequence[State] | None,
    late: int,
    ended: Mapping[Id, Sequence[State | None]],
) -> GroupStarts:
    """Return the initial states of a column's groups; ``ended`` holds the final states of other columns' groups."""
    of = [0] * len(kinds) if column in CHAINED else kinds
    if groups != len(kinds):  # a series at rest is a group of its own and learns from other series at rest
        of = [2 * kind + regime for kind in of for regime in (0, 1)]
        known = None if known is None else [state for state in known for _ in (0, 1)]
    begun = ended.get(BESIDE[column]) if column in BESIDE else None
    return GroupStarts(of, known, late, wide=column is Id.VALUE, chained=column in CHAINED, begun=begun)


def deviations(column: PredictedColumn) -> list[int]:
    """Return each cell minus its prediction, with eight fractional bits."""
    return [(cell << FRACTION) - centre for cell, centre in zip(column.cells, column.expected, strict=True)]


def add_share(offsets: Signed | None, beside: Sequence[int], share: int) -> list[int]:
    """Return the offsets plus ``share`` eighths of the deviation of the same row's cell in the related column."""
    own = [0] * len(beside) if offsets is None else offsets.tolist()
    return [offset + (away * share >> 3) for offset, away in zip(own, beside, strict=True)]


def choose_share(column: PredictedColumn, beside: Sequence[int]) -> int:
    """Return the share that minimizes the squared prediction error of a column."""
    own, other = np.array(deviations(column), np.float64), np.array(beside, np.float64)
    # Limit outliers in both columns.
    limit, other_limit = 4 * np.median(np.abs(own)) + 256, 4 * np.median(np.abs(other)) + 256
    own, other = np.clip(own, -limit, limit), np.clip(other, -other_limit, other_limit)
    return int(np.clip(np.rint(8 * float(own @ other) / max(float(other @ other), 1.0)), -SHARES, SHARES))
