"""Proof that the aggregates in the cloud consist of exactly the readings that were sent; pure.

A window can be stored in several rows (late parts), and several windows in one row (merged by a full spool). The unit
of comparison is therefore a *span*: the shortest interval of a series that splits neither a window nor a row. Its
count and sum identify its readings (see numbering), its minimum and maximum must be those of the readings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from device_sim.chaos.numbering import CYCLE, RESOLUTION, UNIT, Numbering
from wire.model import Aggregates, IntArray

MEAN_ERROR = 0.05 * RESOLUTION
"""Maximum error of a stored mean, which is rounded to a tenth of the resolution."""

MAX_REPEATS = 4
"""Exclusive upper bound of extra copies of a reading in the search; a span with more is unexplained."""


@dataclass(frozen=True, slots=True)
class Span:
    """Interval of a series whose stored rows differ from the readings sent.

    ``missing`` and ``doubled`` are the numbers of missing readings and of duplicates (one per extra copy), from the
    explanation of count and sum with the fewest missing readings. ``windows`` is the number of windows in the span, and
    ``empty`` the starts of those whose readings are all missing. ``unexplained`` is the reason why no set of readings
    explains the span; the other fields are then derived from the counts alone.
    """

    series: str
    start_ms: int
    end_ms: int
    windows: int
    empty: tuple[int, ...]
    expected: int
    stored: int
    missing: tuple[int, ...]
    doubled: tuple[int, ...]
    unexplained: str = ""

    def __str__(self) -> str:
        text = (
            f"{self.series} from {self.start_ms} to {self.end_ms}: {self.expected} readings sent, {self.stored} stored"
        )
        for what, numbers in (("missing", self.missing), ("doubled", self.doubled)):
            text += f", {what} {list(numbers)}" if numbers else ""
        return text + (f" ({self.unexplained})" if self.unexplained else "")


@dataclass(frozen=True, slots=True)
class Proof:
    """Result of the comparison: readings sent and stored, windows expected, rows stored, and differing spans."""

    readings_sent: int
    readings_stored: int
    rows_expected: int
    rows_stored: int
    spans: tuple[Span, ...]

    @property
    def missing(self) -> int:
        """Number of readings that are not in the cloud."""
        return sum(len(span.missing) for span in self.spans)

    @property
    def duplicated(self) -> int:
        """Number of extra copies of readings in the cloud."""
        return sum(len(span.doubled) for span in self.spans)

    @property
    def unexplained(self) -> int:
        """Number of spans that no set of readings explains."""
        return sum(bool(span.unexplained) for span in self.spans)

    @property
    def complete(self) -> bool:
        """True when every reading is stored exactly once."""
        return not self.spans


def prove(sent: Mapping[str, IntArray], stored: Aggregates, numbering: Numbering) -> Proof:
    """Compare the stored rows with the unique numbers sent by series; rows of other series are ignored."""
    spans: list[Span] = []
    rows_stored = readings_stored = rows_expected = 0
    by_series = _rows_by_series(stored, sent)
    for name, numbers in sorted(sent.items()):
        rows = by_series[name]
        rows_stored += len(rows)
        readings_stored += int(rows.count.sum())
        rows_expected += len(np.unique(numbering.windows(numbers)))
        spans += _compare(name, np.sort(numbers), rows, numbering)
    return Proof(sum(map(len, sent.values())), readings_stored, rows_expected, rows_stored, tuple(spans))


def _rows_by_series(stored: Aggregates, sent: Mapping[str, IntArray]) -> dict[str, Aggregates]:
    """Return the non-empty rows of each series sent, sorted by start; of revised windows the highest revision."""
    indexes: dict[str, list[int]] = {}
    for at, series in enumerate(stored.series):
        indexes.setdefault(series.name, []).append(at)
    order = np.argsort(stored.start_ms, kind="stable")
    full = _latest(stored.take(order[stored.count[order] > 0]))
    return {name: full.take(np.flatnonzero(np.isin(full.series_index, indexes.get(name, [])))) for name in sent}


def _latest(rows: Aggregates) -> Aggregates:
    """Return the rows without those that a higher revision of the same series and window replaces."""
    if not rows.revision.any():
        return rows
    names = {series.name: at for at, series in enumerate(rows.series)}
    name = np.array([names[series.name] for series in rows.series], np.int64)[rows.series_index]
    order = np.lexsort((rows.revision, rows.width_ms, rows.start_ms, name))
    key = np.stack((name, rows.start_ms, rows.width_ms))[:, order]
    replaced = np.append((key[:, 1:] == key[:, :-1]).all(axis=0), False)
    replaced[:-1] &= rows.revision[order][1:] > rows.revision[order][:-1]
    return rows.take(np.sort(order[~replaced]))


def _compare(name: str, numbers: IntArray, rows: Aggregates, numbering: Numbering) -> Iterator[Span]:
    """Yield the spans of one series that differ from the readings sent."""
    windows = np.unique(numbering.windows(numbers))
    starts = np.concatenate((windows, rows.start_ms))
    ends = np.concatenate((windows + numbering.width_ms, rows.start_ms + rows.width_ms))
    for start, end in _merged_intervals(starts, ends):
        low, high = np.searchsorted(numbers, (-(-start // numbering.period_ms), -(-end // numbering.period_ms)))
        first, last = np.searchsorted(rows.start_ms, (start, end))
        span = _check_span(name, (start, end), numbers[low:high], rows.take(slice(int(first), int(last))), numbering)
        if span is not None:
            yield span


def _merged_intervals(starts: IntArray, ends: IntArray) -> Iterator[tuple[int, int]]:
    """Yield the unions of overlapping intervals, ascending."""
    if not len(starts):
        return
    order = np.lexsort((ends, starts))
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    first = np.flatnonzero(np.concatenate(([True], starts[1:] >= reach[:-1])))
    last = np.append(first[1:], len(starts)) - 1
    yield from zip(starts[first].tolist(), reach[last].tolist(), strict=True)


def _check_span(
    name: str, bounds: tuple[int, int], numbers: IntArray, rows: Aggregates, numbering: Numbering
) -> Span | None:
    """Return the span with its differences, or None when it is correct."""
    expected = [int(number) for number in numbers]
    values = [numbering.value(number) for number in expected]
    count = int(rows.count.sum())
    total = float((rows.mean * rows.count).sum()) / UNIT
    surplus = round(total) - sum(values) // UNIT
    missing: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    unexplained = ""
    if abs(total - round(total)) > MEAN_ERROR * count / UNIT + 1e-3 or MEAN_ERROR * count >= UNIT / 2:
        unexplained = (
            f"{count} readings with a sum of {total * UNIT:g}: not a sum of sent readings, or too many readings"
        )
    elif count != len(expected) or surplus:
        found = explain([number % CYCLE for number in expected], count - len(expected), surplus)
        if found is None:
            unexplained = f"no set of readings has {count} of them with a sum {surplus * UNIT:+d} off"
            # Derived from the counts alone.
            missing = tuple(expected[: max(0, len(expected) - count)])
            doubled = tuple(expected[:1] * max(0, count - len(expected)))
        else:
            missing, doubled = (tuple(_numbers(positions, expected, bounds, numbering)) for positions in found)
    elif expected and (float(rows.min.min()) != min(values) or float(rows.max.max()) != max(values)):
        unexplained = f"from {rows.min.min():g} to {rows.max.max():g}, must be {min(values)} to {max(values)}"
    if not (missing or doubled or unexplained):
        return None
    windows = np.unique(numbering.windows(numbers))
    present = set(expected) - set(missing)
    empty = set(windows.tolist()) - set(numbering.windows(np.array(sorted(present), np.int64)).tolist())
    return Span(name, *bounds, len(windows), tuple(sorted(empty)), len(expected), count, missing, doubled, unexplained)


def _numbers(
    positions: tuple[int, ...], expected: list[int], bounds: tuple[int, int], numbering: Numbering
) -> Iterator[int]:
    """Yield the number at each position of the cycle; for one that was not sent, the first match in the span."""
    by_position = {number % CYCLE: number for number in expected}
    first = -(-bounds[0] // numbering.period_ms)
    for position in positions:
        yield by_position.get(position, first + (position - first) % CYCLE)


def explain(positions: list[int], more: int, surplus: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return missing and duplicated positions that explain ``more`` extra readings and ``surplus`` extra units.

    The explanation with the fewest missing positions is chosen. Returns None when an explanation does not exist. For a
    span of more readings than the cycle has positions, only simple explanations are tried: :func:`_explain_repeating`.
    """
    if len(set(positions)) < len(positions):
        return _explain_repeating(positions, more, surplus)
    here = frozenset(positions)

    @cache
    def search(position: int, left: int, surplus: int) -> tuple[int, tuple[int, ...]] | None:
        """Return (number missing, differences from this position up) of the best explanation of the rest."""
        if position == CYCLE:
            return (0, ()) if left == 0 and surplus == 0 else None
        best: tuple[int, tuple[int, ...]] | None = None
        least = -1 if position in here else 0
        for difference in range(least, MAX_REPEATS):
            if (surplus - difference) % 2:
                continue
            rest = search(position + 1, left - difference, (surplus - difference) // 2)
            if rest is not None:
                cost = rest[0] + (difference < 0)
                if best is None or cost < best[0]:
                    best = (cost, (difference, *rest[1]))
        return best

    found = search(0, more, surplus)
    if found is None:
        return None
    missing = tuple(position for position, difference in enumerate(found[1]) if difference < 0)
    doubled = tuple(position for position, difference in enumerate(found[1]) for _ in range(max(0, difference)))
    return missing, doubled


def _explain_repeating(positions: list[int], more: int, surplus: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Explain a span in which values repeat: all missing, or one reading missing or doubled."""
    if more == -len(positions) and surplus == -sum(1 << position for position in positions):
        return tuple(positions), ()
    for position in sorted(set(positions)):
        if (more, surplus) == (-1, -(1 << position)):
            return (position,), ()
        if (more, surplus) == (1, 1 << position):
            return (), (position,)
    return None
