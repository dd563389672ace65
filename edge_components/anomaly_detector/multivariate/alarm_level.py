"""How high the joint score of a group goes when nothing is wrong, and the alarm level that follows for a wanted rate.

Pure. What counts is how high the score stands for as many rows as an onset takes. Its greatest value in each block of
rows is kept: of the calibration's blocks, as the parts of the calibration that were left out see them, and of all
blocks since in which there was no anomaly. Above the greatest third of them the score is taken to fall off as an
exponential does (peaks over threshold, Pickands 1975; Coles 2001), and that is extended to the wanted rate. The mean
excess leans on what groups are usually like while few blocks are known. An onset counts as a block that went over the
level of that time, by how much is unknown (it is censored), so no fault can push the level up by being great.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, FloatArray, push

BLOCK = 50
"""Rows in a block: more than the score takes to forget."""
KEPT = 256
"""So many blocks are remembered; the level follows what changes more slowly."""
UPPER = 1 / 3
USUAL_SLOPE = 0.25
"""A mean excess usually is this part of the mean block; in simulated groups it was 0.07 to 0.4."""
WEIGHT = 5.0
"""That counts as much as so many excesses."""
OBSERVED = 0.1
"""How far the level is moved, in parts of itself, when alarms come e times as often as they should, or as rarely,"""
MOST_OFTEN, LEAST_OFTEN = 50.0, 0.02
"""taken for no more and no less than so many times."""
LOWEST = 0.3

CURRENT, ROWS, WATCHED, ALARMS, BETWEEN, LEVEL = range(6)


@dataclass(slots=True)
class Tail:
    """``lately`` [onset rows] the last scores, ``greatest`` and ``censored`` [KEPT] the last blocks, NaN where there is
    none yet; ``numbers`` the current block's greatest and its rows, the rows and alarms there were in all, and for how
    many rows between alarms (0: for none) the level was worked out last."""

    lately: FloatArray
    greatest: FloatArray = field(default_factory=lambda: np.full(KEPT, np.nan))
    censored: BoolArray = field(default_factory=lambda: np.zeros(KEPT, np.bool_))
    numbers: FloatArray = field(default_factory=lambda: np.zeros(6))

    @classmethod
    def empty(cls, onset_rows: int) -> Tail:
        """Return what knows no block yet."""
        return cls(np.zeros(onset_rows))

    def fit(self, scores: FloatArray) -> None:
        """Take the scores of the calibration's rows in, in order."""
        rows = len(self.lately)
        held = np.lib.stride_tricks.sliding_window_view(scores, rows).min(axis=1)
        blocks = max(1, len(held) // BLOCK)
        for block in np.array_split(held[-blocks * BLOCK :], blocks):
            self._push(float(block.max()), censored=False)

    def learn(self, score: float) -> None:
        """Take a row's score in that is in no anomaly."""
        push(self.lately, score)
        numbers = self.numbers
        numbers[CURRENT] = max(numbers[CURRENT], self.lately.min())
        numbers[ROWS] += 1
        numbers[WATCHED] += 1
        if numbers[ROWS] >= BLOCK:
            self._push(float(numbers[CURRENT]), censored=False)

    def alarmed(self, level: float) -> None:
        """Take in that an anomaly began: the score has stood above ``level``."""
        self.numbers[ALARMS] += 1
        self.lately[:] = 0.0
        self._push(level, censored=True)

    def level(self, rows_between: float) -> float:
        """Return the level that the score passes about once in so many rows; it changes at the end of a block only."""
        numbers = self.numbers
        if numbers[BETWEEN] != rows_between:
            numbers[[BETWEEN, LEVEL]] = rows_between, self._level(rows_between)
        return float(numbers[LEVEL])

    def _push(self, greatest: float, censored: bool) -> None:
        push(self.greatest, greatest)
        push(self.censored, censored)
        self.numbers[[CURRENT, ROWS, BETWEEN]] = 0.0

    def _level(self, rows_between: float) -> float:
        known = np.isfinite(self.greatest)
        blocks = np.sort(self.greatest[known])[::-1]
        upper = max(1, int(len(blocks) * UPPER))
        threshold = blocks[min(upper, len(blocks) - 1)]
        over = upper - min(int(self.censored[known].sum()), upper)
        excess = (WEIGHT * USUAL_SLOPE * blocks.mean() + (blocks[:upper] - threshold).sum()) / (WEIGHT + over)
        rarer = np.log(max(upper / len(blocks) * rows_between / BLOCK, 1.0))
        often = (1.0 + self.numbers[ALARMS]) / (1.0 + self.numbers[WATCHED] / rows_between)
        moved = 1.0 + OBSERVED * np.log(np.clip(often, LEAST_OFTEN, MOST_OFTEN))
        return max(float((threshold + excess * rarer) * moved), LOWEST)
