"""Numbers of rows and times of a batch, read from its head without NumPy.

The integers wrap at 64 bits, as those of :mod:`wire.rows` do, which decodes the same bytes with NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from wire.column_ids import EACH, Entry, Mode
from wire.cursor import Cursor
from wire.errors import FormatError, LimitError
from wire.limits import MAX_ROWS

_LOWEST, _RANGE = -(2**63), 2**64


def read_counts(cursor: Cursor, series: int) -> list[int]:
    """Read the number of rows of each series; raises LimitError for too many."""
    counts = accumulated(cursor.signed_numbers(series, "rows a series"))
    if counts and (min(counts) < 0 or max(counts) > MAX_ROWS or sum(counts) > MAX_ROWS):
        raise LimitError(f"more than {MAX_ROWS} rows, or a negative number in a series")
    return counts


def accumulated(values: Iterable[int]) -> list[int]:
    """Return the running sums."""
    return _wrapped(accumulate(values))


def _wrapped(values: Iterable[int]) -> list[int]:
    found = list(values)
    if found and not (min(found) >= _LOWEST and max(found) < -_LOWEST):
        return [_wrap(value) for value in found]
    return found


def _wrap(value: int) -> int:
    return (value - _LOWEST) % _RANGE + _LOWEST


@dataclass(frozen=True, slots=True)
class Times:
    """First time and step of each series that has rows, with its number of rows; ``tick`` is the unit of steps."""

    firsts: Sequence[int]
    steps: Sequence[int]
    counts: Sequence[int]
    tick: int

    def range(self, deviations: dict[int, list[int]]) -> tuple[int, int]:
        """Return the earliest and the latest time of a batch with rows.

        ``deviations`` has, for series whose rows are not equidistant, by index among those with rows, the distances of
        the rows after the first from the expected times, in ticks.
        """
        earliest, latest = -_LOWEST, _LOWEST
        for at, (first, step, count) in enumerate(zip(self.firsts, self.steps, self.counts, strict=True)):
            times = [first, first + (count - 1) * step * self.tick]
            if at in deviations or not _LOWEST <= times[1] < -_LOWEST:
                off = [0, *deviations.get(at, [0] * (count - 1))]
                times = _wrapped(first + (n * step + off[n]) * self.tick for n in range(count))
            earliest, latest = min(earliest, *times), max(latest, *times)
        return earliest, latest


def read_times(cursor: Cursor, counts: Sequence[int]) -> Times:
    """Read first times, tick and steps."""
    used = [count for count in counts if count]
    base, tick = cursor.signed("first time"), cursor.number("tick")
    if not 1 <= tick < -_LOWEST:
        raise FormatError(f"tick: {tick}")
    jumps = accumulated(cursor.signed_numbers(len(used), "first times"))
    steps = accumulated(cursor.signed_numbers(len(counts), "steps"))
    return Times(
        _wrapped(base + jump * tick for jump in jumps),
        [step for step, count in zip(steps, counts, strict=True) if count],
        used,
        tick,
    )


def deviations_of(entry: Entry | None, counts: Sequence[int]) -> dict[int, list[int]] | None:
    """Return the deviations of the column TIME (see Times.range), or None if its rows must be decoded for them."""
    inner = [count - 1 for count in counts if count]
    if entry is None or not sum(inner):
        return {}
    cursor, name = Cursor(entry.payload), "column time"
    if entry.mode == Mode.FEW:
        residuals, windows = _read_few(cursor, sum(inner), name), [cursor.data[0]] * len(inner)
    elif entry.mode == Mode.SIGNED:
        window = cursor.byte(name)
        # One window for each series, also for those without rows.
        if window == EACH or window > 1:
            return None
        residuals, windows = cursor.signed_numbers(sum(inner), name), [window] * len(inner)
    else:
        return None
    if cursor.left:
        raise FormatError(f"{name}: {cursor.left} bytes are left")
    found, at = {}, 0
    for index, count in enumerate(inner):
        cells = residuals[at : at + count]
        at += count
        if any(cells):
            found[index] = accumulated(cells) if windows[index] else cells
    return found


def _read_few(cursor: Cursor, total: int, name: str) -> list[int]:
    """Return the residuals of a column of which the exceptions are listed."""
    window, found = cursor.byte(name), cursor.number(name)
    if window > 1 or found > total:
        raise FormatError(f"{name}: {found} exceptions for {total} cells, window {window}")
    indexes = list(accumulate([-1, *(gap + 1 for gap in cursor.numbers(found, name))]))[1:]
    if indexes and indexes[-1] >= total:
        raise FormatError(f"{name}: exceptions outside its {total} cells")
    residuals = [0] * total
    for index, value in zip(indexes, cursor.signed_numbers(found, name), strict=True):
        residuals[index] = value
    return residuals


def check_order(entry: Entry | None) -> None:
    """Raise FormatError unless a column ORDER names each series once."""
    if entry is None:
        return
    if entry.mode != Mode.BYTES:
        raise FormatError(f"column order: mode {entry.mode}")
    cursor = Cursor(entry.payload)
    order = cursor.numbers(sum(byte < 128 for byte in entry.payload), "order")
    if sorted(order) != list(range(len(order))) or cursor.left:
        raise FormatError("order: does not name each series once")
