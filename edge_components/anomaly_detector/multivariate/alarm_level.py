"""The alarm level of a group's joint score for a configured rate of false alarms.

Pure. The input is the minimum of the score over as many rows as an onset takes. Its greatest value in each block of
rows is recorded: in the blocks of the calibration, scored by parts left out of the fit, and in all later blocks without
an anomaly. Scores are distances, and the squared distance of normal errors has an exponential tail; so that of the
squares above the greatest third is assumed exponential (peaks over threshold, Pickands 1975; Coles 2001), and extended
to the configured rate. While few blocks are known, the mean excess is shrunk towards a usual one. It is then uncertain,
so the extension is that of the predictive distribution (Lomax), which is longer for few excesses. An onset counts as a
block above the alarm level of that time by an unknown amount (censored), so the size of a fault does not raise the
level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, FloatArray, push, stored

BLOCK = 50
"""Rows in a block: more than the score's memory."""
KEPT = 256
"""Number of blocks in memory, which limits how fast a change the level follows."""
UPPER = 1 / 3
USUAL_SLOPE = 0.5
"""Usual mean excess of the squares, in mean squared blocks."""
WEIGHT = 5.0
"""Weight of the usual mean excess, in excesses of the group's own."""
OBSERVED = 0.1
"""Relative change of the level if alarms are e times as frequent, or as rare, as configured."""
MAX_OFTEN, MIN_OFTEN = 50.0, 0.02
"""Bounds of that change, as factors."""
LOWEST = 0.3

CURRENT, ROWS, WATCHED, ALARMS, BETWEEN, LEVEL = range(6)


@dataclass(slots=True)
class AlarmLevel:
    """``recent`` [onset rows] the last scores; ``greatest`` and ``censored`` [KEPT] the last blocks, NaN where unknown;
    ``numbers`` the current block's greatest value and its rows, all rows and alarms, and the number of rows between
    alarms (0: none) for which the level was computed last, and that level."""

    recent: FloatArray = stored("tail.lately")
    greatest: FloatArray = stored("tail.greatest")
    censored: BoolArray = stored("tail.censored")
    numbers: FloatArray = stored("tail.numbers")

    @classmethod
    def empty(cls, onset_rows: int) -> AlarmLevel:
        """Return an alarm level without blocks."""
        return cls(np.zeros(onset_rows), np.full(KEPT, np.nan), np.zeros(KEPT, np.bool_), np.zeros(6))

    def fit(self, scores: FloatArray) -> None:
        """Record the scores of the calibration's rows, in order."""
        rows = len(self.recent)
        held = np.lib.stride_tricks.sliding_window_view(scores, rows).min(axis=1)
        blocks = max(1, len(held) // BLOCK)
        for block in np.array_split(held[-blocks * BLOCK :], blocks):
            self._push(float(block.max()), censored=False)

    def learn(self, score: float) -> None:
        """Record the score of a row outside of anomalies."""
        push(self.recent, score)
        numbers = self.numbers
        numbers[CURRENT] = max(numbers[CURRENT], self.recent.min())
        numbers[ROWS] += 1
        numbers[WATCHED] += 1
        if numbers[ROWS] >= BLOCK:
            self._push(float(numbers[CURRENT]), censored=False)

    def alarmed(self, level: float) -> None:
        """Record the onset of an anomaly: the score has stayed above ``level``."""
        self.numbers[ALARMS] += 1
        self.recent[:] = 0.0
        self._push(level, censored=True)

    def level(self, rows_between: float) -> float:
        """Return the level that the score exceeds once in ``rows_between`` rows; it changes only after a block."""
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
        blocks = np.sort(np.square(self.greatest[known]))[::-1]
        upper = max(1, int(len(blocks) * UPPER))
        threshold = blocks[min(upper, len(blocks) - 1)]
        over = upper - min(int(self.censored[known].sum()), upper)
        excesses = WEIGHT + over
        excess = (WEIGHT * USUAL_SLOPE * blocks.mean() + (blocks[:upper] - threshold).sum()) / excesses
        # Close to the logarithm of the ratio once many excesses are known.
        rarer = excesses * np.expm1(np.log(max(upper / len(blocks) * rows_between / BLOCK, 1.0)) / excesses)
        often = (1.0 + self.numbers[ALARMS]) / (1.0 + self.numbers[WATCHED] / rows_between)
        moved = 1.0 + OBSERVED * np.log(np.clip(often, MIN_OFTEN, MAX_OFTEN))
        return max(float(np.sqrt(threshold + excess * rarer) * moved), LOWEST)
