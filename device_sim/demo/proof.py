"""Proof that the cloud stored exactly the aggregator's rows, and that these count exactly the readings sent.

Pure. Two independent proofs: row by row between the recorded output of the aggregator and the cloud's store, and count
by count between the sensors' ledger and the cloud's store. The readings that devices served are compared in
``served_proof``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wire.model import Aggregates, FloatArray, IntArray
from wire.quantization import BITS, choose

EXAMPLES = 5
STD_RELATIVE = 0.025
"""Relative precision of the standard deviation on the wire; count, minimum and maximum are exact, the mean has a
tenth of the resolution."""


STEPS = {"min": 1e-3, "max": 1e-3, "mean": 0.1}
"""Precision of minimum, maximum and mean on the wire, in steps of the series' resolution."""


@dataclass(frozen=True, slots=True)
class RowProof:
    """Rows by (series, window start, width): numbers of distinct rows ``made`` and ``stored``, and of differences."""

    made: int
    stored: int
    lost: int
    duplicated: int
    unexpected: int
    different: int
    examples: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """True if the cloud has exactly the rows that were made."""
        return not (self.lost or self.duplicated or self.unexpected or self.different)


@dataclass(frozen=True, slots=True)
class CountProof:
    """Readings: ``sent`` by the sensors, ``stored`` in the cloud's counts, ``dropped`` as the gateway counted it.

    ``windows_over`` and ``windows_under`` are the numbers of windows with more and with fewer readings than were sent,
    ``different`` is the number of windows with other values than were served.
    """

    sent: int
    stored: int
    dropped: int
    windows_over: int
    windows_under: int
    examples: tuple[str, ...] = ()
    different: int = 0

    @property
    def missing(self) -> int:
        """Number of unaccounted readings; negative if more were stored than sent."""
        return self.sent - self.stored - self.dropped

    @property
    def holds(self) -> bool:
        """True if every reading is accounted for exactly once."""
        complete = self.dropped > 0 or self.windows_under == 0
        return self.missing == 0 and self.windows_over == 0 and self.different == 0 and complete

    def __add__(self, other: CountProof) -> CountProof:
        """Return the proof of both sets of readings."""
        return CountProof(
            sent=self.sent + other.sent,
            stored=self.stored + other.stored,
            dropped=self.dropped + other.dropped,
            windows_over=self.windows_over + other.windows_over,
            windows_under=self.windows_under + other.windows_under,
            examples=(*self.examples, *other.examples)[:EXAMPLES],
            different=self.different + other.different,
        )


def compare_rows(made: Aggregates, stored: Aggregates, resolutions: Mapping[str, float]) -> RowProof:
    """Compare the stored rows with those made; ``resolutions`` has those of series whose rows do not contain them.

    ``made`` must not contain repeated rows.
    """
    names = sorted({series.name for rows in (made, stored) for series in rows.series})
    ids = {name: at for at, name in enumerate(names)}
    made_keys, stored_keys = _keys(made, ids), _keys(stored, ids)
    made_first = _first(made_keys)
    stored_first = _first(stored_keys)
    both_made, both_stored = _matching(made_keys, made_first, stored_keys, stored_first)
    differs = _different(made.take(both_made), stored.take(both_stored), resolutions)
    lost = np.setdiff1d(made_first, both_made)
    unexpected = np.setdiff1d(stored_first, both_stored)
    repeated = np.setdiff1d(np.arange(len(stored_keys)), stored_first)
    examples = [
        *_examples("lost", made, lost),
        *_examples("duplicated", stored, repeated),
        *_examples("unexpected", stored, unexpected),
        *_examples("made", made, both_made[differs]),
        *_examples("stored", stored, both_stored[differs]),
    ]
    return RowProof(
        made=len(made_first),
        stored=len(stored_first),
        lost=len(lost),
        duplicated=len(repeated),
        unexpected=len(unexpected),
        different=int(differs.sum()),
        examples=tuple(examples),
    )


def compare_counts(sent: Mapping[tuple[str, int], int], stored: Aggregates, dropped: int) -> CountProof:
    """Compare the stored counts with the readings sent, by (series, start of the window), of the same window width."""
    sums: dict[tuple[str, int], int] = {}
    series = {name for name, _ in sent}
    index, start, count = (getattr(stored, name).tolist() for name in ("series_index", "start_ms", "count"))
    for at, begin, number in zip(index, start, count, strict=True):
        name = stored.series[at].name
        if name in series:
            sums[name, begin] = sums.get((name, begin), 0) + number
    over = [key for key in sums if sums[key] > sent.get(key, 0)]
    under = [key for key in sent if sums.get(key, 0) < sent[key]]
    examples = [
        f"{name} at {begin}: sent {sent.get((name, begin), 0)}, stored {sums.get((name, begin), 0)}"
        for name, begin in sorted(over + under)[:EXAMPLES]
    ]
    return CountProof(sum(sent.values()), sum(sums.values()), dropped, len(over), len(under), tuple(examples))


def _keys(rows: Aggregates, ids: Mapping[str, int]) -> IntArray:
    """Return int64[n, 3]: series, start and width."""
    mapped = np.array([ids[series.name] for series in rows.series], np.int64)
    return np.stack([mapped[rows.series_index], rows.start_ms, rows.width_ms], axis=1)


def _first(keys: IntArray) -> npt.NDArray[np.intp]:
    """Return the positions of the distinct keys, each one's first, ascending."""
    return np.sort(np.unique(keys, axis=0, return_index=True)[1]) if len(keys) else np.empty(0, np.intp)


def _matching(
    a: IntArray, a_at: npt.NDArray[np.intp], b: IntArray, b_at: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the positions in ``a`` and in ``b`` of the keys that both have, pairwise."""
    joined = np.concatenate([a[a_at], b[b_at]])
    if not len(joined):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    _, group = np.unique(joined, axis=0, return_inverse=True)
    group = group.reshape(-1)
    _, in_a, in_b = np.intersect1d(group[: len(a_at)], group[len(a_at) :], assume_unique=True, return_indices=True)
    return a_at[in_a], b_at[in_b]


def _different(made: Aggregates, stored: Aggregates, resolutions: Mapping[str, float]) -> npt.NDArray[np.bool_]:
    """Return bool[n]: True for a stored row that deviates by more than the stated precision of the wire format."""
    resolution = np.array([s.resolution or resolutions.get(s.name, 0.0) for s in made.series] or [0.0])
    step = resolution[made.series_index] if len(made) else np.empty(0)
    # Without a resolution the wire finds a step from the data: at most the one that a row alone has.
    for at in np.flatnonzero(step == 0.0):
        found = choose(np.array([made.min[at], made.max[at]]))
        step[at] = 0.0 if found is BITS else found.size
    wrong = made.count != stored.count
    for name, steps in STEPS.items():
        wrong |= ~close(getattr(made, name), getattr(stored, name), steps * step)
    wrong |= ~close(made.std, stored.std, STD_RELATIVE * np.abs(made.std))
    return np.asarray(wrong, np.bool_)


def close(a: FloatArray, b: FloatArray, tolerance: FloatArray) -> npt.NDArray[np.bool_]:
    """Return bool[n]: whether two values agree within the tolerance; NaN agrees with NaN."""
    # Rounding errors of two decodings, on top of the precision of the format.
    rounding = 1e-9 * np.maximum(1.0, np.abs(a))
    return np.asarray((np.abs(a - b) <= tolerance + rounding) | (np.isnan(a) & np.isnan(b)), np.bool_)


def _examples(what: str, rows: Aggregates, at: npt.NDArray[np.intp]) -> list[str]:
    return [
        f"{what}: {rows.series[rows.series_index[i]].name} at {rows.start_ms[i]}: count {rows.count[i]},"
        f" mean {rows.mean[i]:g}, min {rows.min[i]:g}, max {rows.max[i]:g}, std {rows.std[i]:g}"
        for i in at[:EXAMPLES]
    ]
