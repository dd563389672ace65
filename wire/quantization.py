"""Exact quantization of values as integer multiples of a step, so that columns hold integers.

The step is the series' resolution if the values are multiples of it, else a step found from the data; otherwise the
IEEE 754 bits of the values are used as integers. A step is a decimal, m x 10^e: k x m / 10^-e is the double nearest to
the decimal number, which is what sensors and their drivers produce.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from wire.errors import FormatError
from wire.model import FloatArray, IntArray
from wire.varint import Cursor, number

LARGEST = 2**50
"""Bound of multiples (and of the finer units of means), so that doubles hold them exactly."""
_EXPONENTS = range(-22, 23)
"""Exponents of powers of ten that a double holds exactly, as multiplier or divisor."""
_MANTISSA = 2**31
_NONE, _DOUBLE, _ZERO = 0, 1, 32
_PLACES = range(10)
_FINER = range(5)


class Form(IntEnum):
    """Representation of a series' values as integers."""

    RESOLUTION = 0
    """Multiples of the series' resolution."""
    FOUND = 1
    """Multiples of a step found from the data."""
    SINGLE = 2
    """Multiples of a step found from the data, each rounded to single precision."""
    BITS = 3
    """Bits of the double, folded so that integer order equals value order."""


@dataclass(frozen=True, slots=True)
class Step:
    """Quantization step of a series: ``size`` in the series' unit.

    Means use the finer unit ``size / 10^(1 + finer)``; with BITS they use the bits themselves.
    """

    form: Form
    size: float
    finer: int = 0

    @property
    def parts(self) -> int:
        """Units of a mean per step."""
        return 1 if self.form is Form.BITS else 10 ** (1 + self.finer)


BITS = Step(Form.BITS, 1.0)


@lru_cache(maxsize=4096)
def split(size: float) -> tuple[float, float]:
    """Return a step as (multiplier, divisor), both exact doubles; (size, 1) if it is not a short decimal."""
    short = decimal(size)
    if short is None:
        return size, 1.0
    mantissa, exponent = short
    return float(mantissa * 10 ** max(exponent, 0)), float(10 ** max(-exponent, 0))


@lru_cache(maxsize=4096)
def decimal(size: float) -> tuple[int, int] | None:
    """Return a size as (m, e) with m x 10^e, or None if it is not a short decimal."""
    _, digits, exponent = Decimal(repr(size)).normalize().as_tuple()
    mantissa = int("".join(map(str, digits)))
    if not isinstance(exponent, int) or exponent not in _EXPONENTS or mantissa >= _MANTISSA:
        return None
    return (mantissa, exponent) if mantissa * 10 ** max(exponent, 0) < 2**53 else None


def write_size(size: float | None) -> bytes:
    """Return a step or resolution as bytes."""
    if size is None:
        return bytes((_NONE,))
    short = decimal(size)
    if short is None:
        return bytes((_DOUBLE,)) + np.float64(size).tobytes()
    return bytes((_ZERO + short[1],)) + number(short[0])


def read_size(cursor: Cursor, field: str) -> float | None:
    """Read a size written by :func:`write_size`; raises FormatError unless it is finite, above 0 and canonical."""
    tag = cursor.byte(field)
    if tag == _NONE:
        return None
    short = None
    if tag == _DOUBLE:
        size = float(np.frombuffer(cursor.take(8, field), "<f8")[0])
    elif tag - _ZERO in _EXPONENTS:
        exponent, mantissa = tag - _ZERO, cursor.number(field)
        if mantissa >= _MANTISSA:
            raise FormatError(f"{field}: mantissa {mantissa}, below {_MANTISSA}")
        size = float(mantissa * 10**exponent) if exponent >= 0 else mantissa / 10**-exponent
        short = mantissa, exponent
    else:
        raise FormatError(f"{field}: tag {tag}")
    if not (math.isfinite(size) and size > 0):
        raise FormatError(f"{field}: {size}")
    if decimal(size) != short:
        raise FormatError(f"{field}: {size} is not written so")
    return size


def fold_bits(values: FloatArray) -> IntArray:
    """Return doubles as integers that sort in the same order."""
    return _turn(np.ascontiguousarray(values, np.float64).view(np.int64))


def unfold_bits(values: IntArray) -> FloatArray:
    """Return the doubles from :func:`fold_bits`."""
    return _turn(values).view(np.float64)


def _turn(bits: IntArray) -> IntArray:
    return bits ^ ((bits >> 63) & np.int64(2**63 - 1))


class Scales:
    """Steps of all rows as arrays, one element per row."""

    def __init__(self, steps: Sequence[Step], series: npt.NDArray[np.int64]) -> None:
        splits = np.array([split(step.size) for step in steps]).reshape(-1, 2)
        self.multiplier, self.divisor = splits[series, 0], splits[series, 1]
        self.parts = np.array([step.parts for step in steps], np.int64)[series]
        forms = np.array([step.form for step in steps], np.int64)[series]
        self.bits, self.single = forms == Form.BITS, forms == Form.SINGLE
        self.declared = forms == Form.RESOLUTION
        self._plain = not (self.bits.any() or self.single.any())

    def whole(self, values: FloatArray, mean: bool = False) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Return the nearest integers and a mask of the values that have one (finite and not too large)."""
        divisor = self.divisor * self.parts if mean else self.divisor
        with np.errstate(all="ignore"):
            scaled = np.rint(values * divisor / self.multiplier)
            fits = np.abs(scaled) < LARGEST / (1 if mean else self.parts)
        result = np.where(fits, scaled, 0.0).astype(np.int64)
        if self._plain:
            return result, fits
        return np.where(self.bits, fold_bits(values), result), fits | self.bits

    def value(self, whole: IntArray, mean: bool = False) -> FloatArray:
        """Return the values that the integers represent."""
        divisor = self.divisor * self.parts if mean else self.divisor
        with np.errstate(over="ignore"):
            values: FloatArray = whole * self.multiplier / divisor
            if self._plain:
                return values
            if self.single.any() and not mean:
                values = np.where(self.single, values.astype(np.float32).astype(np.float64), values)
        return np.where(self.bits, unfold_bits(whole), values)


def choose_all(
    resolutions: Sequence[float | None],
    series: IntArray,
    values: Sequence[FloatArray],
    means: FloatArray | None = None,
) -> tuple[Step, ...]:
    """Return the step of each series: its resolution if that fits, else the result of :func:`choose`.

    ``series`` gives the series of each row, ascending; ``values`` one or more columns to represent as multiples. A
    resolution fits if at least seven of eight values are multiples of it.
    """
    counts = np.bincount(series, minlength=len(resolutions))
    misses = _misses(resolutions, series, values, len(resolutions))
    known = {size: Step(Form.RESOLUTION, size) for size in set(resolutions) if size is not None}
    declared = [
        known[size] if size is not None and missed * 8 <= count * len(values) else None
        for size, missed, count in zip(resolutions, misses.tolist(), counts.tolist(), strict=True)
    ]
    if None not in declared:
        return tuple(step for step in declared if step is not None)
    open_ids = np.cumsum([step is None for step in declared]) - 1
    rows = np.array([step is None for step in declared])[series]
    own = [column[rows] for column in values]
    found = iter(_choose(open_ids[series[rows]], int(open_ids[-1]) + 1, own, None if means is None else means[rows]))
    return tuple(next(found) if step is None else step for step in declared)


def _misses(
    resolutions: Sequence[float | None], series: IntArray, values: Sequence[FloatArray], count: int
) -> npt.NDArray[np.int64]:
    """Return for each series the number of finite values that are not multiples of its resolution or are too large."""
    splits = np.array([(np.nan, 1.0) if size is None else split(size) for size in resolutions]).reshape(-1, 2)
    multiplier, divisor = splits[series, 0], splits[series, 1]
    misses = np.zeros(count, np.int64)
    for column in values:
        with np.errstate(all="ignore"):
            scaled = column * divisor / multiplier
            fits = (np.abs(scaled - np.rint(scaled)) <= 1e-6) & (np.abs(scaled) < LARGEST / 10)
        misses += np.bincount(series[~fits & np.isfinite(column)], minlength=count)
    return misses


def choose(values: FloatArray, means: FloatArray | None = None) -> Step:
    """Return the step of a series without a known resolution: a decimal of which all finite values are multiples, or
    BITS.

    If the ``means`` are integers in a finer unit of the step, that unit is kept, so that rows which were rounded once
    are not rounded again when they are encoded in another batch.
    """
    rows = max(len(values), 0 if means is None else len(means))
    own = [
        np.pad(column, (0, rows - len(column)), constant_values=np.nan)
        for column in (values, means)
        if column is not None
    ]
    return _choose(np.zeros(rows, np.int64), 1, own[:1], own[1] if means is not None else None)[0]


def _choose(series: IntArray, count: int, values: Sequence[FloatArray], means: FloatArray | None) -> list[Step]:
    """Return the result of :func:`choose` for each of ``count`` series; ``series`` gives that of each row, ascending.

    All series are tried together: most batches hold a row or two of each, where one after the other costs 5 ms a row.
    """
    open_ = np.zeros(count, bool)
    open_[series[np.any([np.isfinite(column) for column in values], axis=0)]] = True
    sizes, forms = np.ones(count), np.full(count, Form.BITS, np.int64)
    for form in (Form.FOUND, Form.SINGLE):
        for places in _PLACES:
            if not open_.any():
                break
            rows = open_[series]
            ids = np.flatnonzero(open_)
            fits, common = _common(
                (np.cumsum(open_) - 1)[series[rows]], len(ids), [v[rows] for v in values], places, form
            )
            done = ids[fits]
            sizes[done] = [_size(one, float(10**places)) for one in common[fits].tolist()]
            forms[done] = form
            open_[done] = False
    finer = np.zeros(count, np.int64) if means is None else _finer(series, count, sizes, means)
    return [
        BITS if form == Form.BITS else Step(Form(form), size, parts)
        for form, size, parts in zip(forms.tolist(), sizes.tolist(), finer.tolist(), strict=True)
    ]


def _common(
    series: IntArray, count: int, values: Sequence[FloatArray], places: int, form: Form
) -> tuple[npt.NDArray[np.bool_], IntArray]:
    """Return a mask of the series whose finite values have at most ``places`` decimals, and the divisor common to each.

    In units of the last place; 1 for a series of zeros.
    """
    scale = float(10**places)
    starts = np.flatnonzero(np.diff(series, prepend=-1))
    fits, common = np.ones(count, bool), np.zeros(count, np.int64)
    for column in values:
        finite = np.isfinite(column)
        with np.errstate(all="ignore"):
            whole = np.rint(column * scale)
            back = whole / scale
            if form is Form.SINGLE:
                back = back.astype(np.float32).astype(np.float64)
            good = (np.abs(whole) < LARGEST / 10) & (back == column)
        fits[series[finite & ~good]] = False
        units = np.where(good, np.abs(whole), 0.0).astype(np.int64)
        common = np.gcd(common, np.gcd.reduceat(units, starts))
    return fits, np.maximum(common, 1)


@lru_cache(maxsize=4096)
def _size(common: int, scale: float) -> float:
    """Return the step of ``common`` units of the last place, or one unit if such a step cannot be written."""
    size = common / scale if common < _MANTISSA else 1 / scale
    return size if split(size)[1] <= scale else 1 / scale


def _finer(series: IntArray, count: int, sizes: FloatArray, means: FloatArray) -> IntArray:
    """Return for each series the coarsest finer unit of its step of which all finite means are multiples, or 0."""
    splits = np.array([split(size) for size in sizes.tolist()])
    multiplier, divisor = splits[series, 0], splits[series, 1]
    finite, found = np.isfinite(means), np.full(count, -1, np.int64)
    for finer in _FINER:
        parts = divisor * 10 ** (1 + finer)
        with np.errstate(all="ignore"):
            whole = np.rint(means * parts / multiplier)
            good = (np.abs(whole) < LARGEST) & (whole * multiplier / parts == means)
        fits = np.ones(count, bool)
        fits[series[finite & ~good]] = False
        found[(found < 0) & fits] = finer
    return np.maximum(found, 0)


def describe(step: Step) -> dict[str, Any]:
    """Return a step in readable form."""
    return {"form": step.form.name.lower(), "step": step.size}
