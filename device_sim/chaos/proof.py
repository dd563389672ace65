"""Whether the cloud's aggregates are made of exactly the readings that were sent. Pure.

A window may have come in several rows (late parts), and several windows in one (a full spool merges). So what is
compared is a *span*: the least stretch of one series' time that cuts neither a window nor a row. Its count and sum name
the readings that are in it (see numbering), its minimum and maximum must be among theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from device_sim.chaos.numbering import CYCLE, RESOLUTION, UNIT, Numbering
from wire.model import Aggregates, IntArray

MEAN_ERROR = 0.05 * RESOLUTION
"""How far a stored mean may be off: it is kept to a tenth of the resolution."""

MOST_TIMES = 4
"""How often one reading is looked for in a span at most; more is told as a span that cannot be explained."""


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of a series that is not as it must be.

    ``missing`` and ``doubled`` are the numbers of readings that are not in, and those that are in again (once for each
    time); of the ways to explain count and sum, the one with the fewest missing. ``windows`` lie in the span, and
    ``empty`` of them (the starts) are those of which every reading is missing. ``unexplained`` is why no set of
    readings explains it; then the other fields say no more than the counts do.
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
    """What was sent and what is stored: readings, and rows as the windows that were to be and the rows there are."""

    readings_sent: int
    readings_stored: int
    rows_expected: int
    rows_stored: int
    spans: tuple[Span, ...]

    @property
    def missing(self) -> int:
        """How many readings are not in the cloud."""
        return sum(len(span.missing) for span in self.spans)

    @property
    def duplicated(self) -> int:
        """How many readings are in the cloud more than once, counted once for each time too many."""
        return sum(len(span.doubled) for span in self.spans)

    @property
    def unexplained(self) -> int:
        """How many spans hold something that no set of readings explains."""
        return sum(bool(span.unexplained) for span in self.spans)

    @property
    def complete(self) -> bool:
        """Whether every reading is stored exactly once."""
        return not self.spans


def prove(sent: Mapping[str, IntArray], stored: Aggregates, numbering: Numbering) -> Proof:
    """Hold the stored rows against the numbers sent, by series (each number once); other series' rows are ignored."""
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
    """Return the rows that hold readings of each series sent, by start."""
    place: dict[str, list[int]] = {}
    for at, series in enumerate(stored.series):
        place.setdefault(series.name, []).append(at)
    order = np.argsort(stored.start_ms, kind="stable")
    full = stored.take(order[stored.count[order] > 0])
    return {name: full.take(np.flatnonzero(np.isin(full.series_index, place.get(name, [])))) for name in sent}


def _compare(name: str, numbers: IntArray, rows: Aggregates, numbering: Numbering) -> Iterator[Span]:
    """Yield the spans of one series that are not as they must be."""
    windows = np.unique(numbering.windows(numbers))
    starts = np.concatenate((windows, rows.start_ms))
    ends = np.concatenate((windows + numbering.width_ms, rows.start_ms + rows.width_ms))
    for start, end in _stretches(starts, ends):
        low, high = np.searchsorted(numbers, (-(-start // numbering.period_ms), -(-end // numbering.period_ms)))
        first, last = np.searchsorted(rows.start_ms, (start, end))
        span = _judge(name, (start, end), numbers[low:high], rows.take(slice(int(first), int(last))), numbering)
        if span is not None:
            yield span


def _stretches(starts: IntArray, ends: IntArray) -> Iterator[tuple[int, int]]:
    """Yield the stretches of overlapping intervals, ascending."""
    if not len(starts):
        return
    order = np.lexsort((ends, starts))
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    first = np.flatnonzero(np.concatenate(([True], starts[1:] >= reach[:-1])))
    last = np.append(first[1:], len(starts)) - 1
    yield from zip(starts[first].tolist(), reach[last].tolist(), strict=True)


def _judge(
    name: str, bounds: tuple[int, int], numbers: IntArray, rows: Aggregates, numbering: Numbering
) -> Span | None:
    """Return what is wrong with one span, None when nothing is."""
    expected = [int(number) for number in numbers]
    values = [numbering.value(number) for number in expected]
    count = int(rows.count.sum())
    total = float((rows.mean * rows.count).sum()) / UNIT
    surplus = round(total) - sum(values) // UNIT
    missing: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    unexplained = ""
    if abs(total - round(total)) > MEAN_ERROR * count / UNIT + 1e-3 or MEAN_ERROR * count >= UNIT / 2:
        unexplained = f"{count} readings with a sum of {total * UNIT:g}: none of ours, or too many to tell"
    elif count != len(expected) or surplus:
        found = explain([number % CYCLE for number in expected], count - len(expected), surplus)
        if found is None:
            unexplained = f"no set of readings has {count} of them with a sum {surplus * UNIT:+d} off"
            # What the counts alone say; never less than one, for something is wrong.
            missing = tuple(expected[: max(0, len(expected) - count)])
            doubled = tuple(expected[:1] * max(0, count - len(expected)))
        else:
            missing, doubled = (tuple(_numbers(places, expected, bounds, numbering)) for places in found)
    elif expected and (float(rows.min.min()) != min(values) or float(rows.max.max()) != max(values)):
        unexplained = f"from {rows.min.min():g} to {rows.max.max():g}, must be {min(values)} to {max(values)}"
    if not (missing or doubled or unexplained):
        return None
    windows = np.unique(numbering.windows(numbers))
    present = set(expected) - set(missing)
    empty = set(windows.tolist()) - set(numbering.windows(np.array(sorted(present), np.int64)).tolist())
    return Span(name, *bounds, len(windows), tuple(sorted(empty)), len(expected), count, missing, doubled, unexplained)


def _numbers(
    places: tuple[int, ...], expected: list[int], bounds: tuple[int, int], numbering: Numbering
) -> Iterator[int]:
    """Yield the number at each place of the cycle; one that was not sent is told as the first in the span that fits."""
    by_place = {number % CYCLE: number for number in expected}
    first = -(-bounds[0] // numbering.period_ms)
    for place in places:
        yield by_place.get(place, first + (place - first) % CYCLE)


def explain(places: list[int], more: int, surplus: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the places missing and those in again, for ``more`` readings and ``surplus`` units than there must be.

    Of all explanations that with the fewest missing. None when there is none, which is also so for a span of more
    readings than the cycle has places, unless nothing but whole readings' absence or presence explains it.
    """
    if len(set(places)) < len(places):
        return _explain_long(places, more, surplus)
    here = frozenset(places)

    @cache
    def search(place: int, left: int, surplus: int) -> tuple[int, tuple[int, ...]] | None:
        """Return (missing, differences from this place up) of the best way to make up the rest."""
        if place == CYCLE:
            return (0, ()) if left == 0 and surplus == 0 else None
        best: tuple[int, tuple[int, ...]] | None = None
        least = -1 if place in here else 0
        for difference in range(least, MOST_TIMES):
            if (surplus - difference) % 2:
                continue
            rest = search(place + 1, left - difference, (surplus - difference) // 2)
            if rest is not None:
                cost = rest[0] + (difference < 0)
                if best is None or cost < best[0]:
                    best = (cost, (difference, *rest[1]))
        return best

    found = search(0, more, surplus)
    if found is None:
        return None
    missing = tuple(place for place, difference in enumerate(found[1]) if difference < 0)
    doubled = tuple(place for place, difference in enumerate(found[1]) for _ in range(max(0, difference)))
    return missing, doubled


def _explain_long(places: list[int], more: int, surplus: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Explain a span in which values repeat: all missing, or one reading missing or doubled."""
    if more == -len(places) and surplus == -sum(1 << place for place in places):
        return tuple(places), ()
    for place in sorted(set(places)):
        if (more, surplus) == (-1, -(1 << place)):
            return (place,), ()
        if (more, surplus) == (1, 1 << place):
            return (), (place,)
    return None
