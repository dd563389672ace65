"""Golden batches with encodings that a decoder must support but the encoder rarely or never writes (see FORMAT.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tests.contract.forced import Way, forced
from wire.columns import Id, Mode
from wire.container import Coder
from wire.model import Aggregates, Readings, Series
from wire.model_coder.adaptive_model import ModelParameters
from wire.profile import Profile

BYTES_WINDOWS = (0, 1, 2, 7, 63, 64, 65, 72, 80)
"""Window codes of each kind in modes 1 and 2: no prediction, running means (64 is one too), linear extrapolation."""
MODEL_WINDOWS = (*BYTES_WINDOWS, 96, 97, 103, 104, 127, 152, 159)
"""Window codes of the model: additionally those from 96, between the last cell and a running mean."""


def uneven(rows: Aggregates) -> Aggregates:
    """Return the rows with frequently changing widths, counts and times."""
    n = np.arange(len(rows))
    return replace(
        rows,
        start_ms=rows.start_ms + n * n % 97,
        width_ms=rows.width_ms + 10 * (n * 7 % 5) - 20,
        count=rows.count + n * 3 % 7,
    )


def many_rest(rows: Aggregates) -> Aggregates:
    """Return the rows with every third series temporarily at rest."""
    rest = (rows.series_index % 3 == 1) & (np.arange(len(rows)) // len(rows.series) % 9 < 4)
    mean, low, high, std = (np.where(rest, 0.0, column) for column in (rows.mean, rows.min, rows.max, rows.std))
    return replace(rows, mean=mean, min=low, max=high, std=std)


def huge(n: int) -> Readings:
    """Return random doubles from their whole range."""
    rng = np.random.default_rng(11)
    bits = rng.integers(-(2**63), 2**63, (9, n), np.int64)
    bits[1] = np.where(np.arange(n) % 2, 2**63 - 1, -(2**63))
    bits[2, ::3] = np.float64(1.7e308).view(np.int64)
    bits[4, ::2] = np.float64(-math.inf).view(np.int64)
    # NaN is replaced, because JSON does not preserve its payload bits.
    values = np.where(np.isnan(bits.view(np.float64)), math.inf, bits.view(np.float64))
    series = tuple(Series(f"huge.{i}") for i in range(9))
    times = np.tile(1_750_000_000_000 + 1000 * np.arange(n), 9)
    return Readings(series, np.repeat(np.arange(9), n), times, values.reshape(-1), np.zeros(9 * n, np.uint8))


def huge_spans(rows: Aggregates) -> Aggregates:
    """Return rows whose means, minima and maxima are so far apart that the differences of their bits overflow."""
    rng = np.random.default_rng(12)
    low, mean, high = np.sort(rng.uniform(-300, 300, (3, len(rows))), axis=0)
    mean, low, high = (np.copysign(10.0 ** np.abs(column), column) for column in (mean, low, high))
    series = tuple(Series(f"span.{i}") for i in range(len(rows.series)))
    return replace(rows, series=series, mean=mean, min=low, max=high, std=np.abs(mean) / 3)


def graded(rows: Readings) -> Readings:
    """Return the readings with a frequently changing quality."""
    return replace(rows, quality=(np.arange(len(rows)) * 37 % 256).astype(np.uint8))


def jumps(rows: Aggregates) -> Aggregates:
    """Return the rows with exceptional widths and counts: a frequent one and some of all sizes."""
    width, count = rows.width_ms.copy(), rows.count.copy()
    width[::9], width[4::40], width[7] = 20_000, 60_000, 2**63 - 1
    count[5::11], count[8], count[70], count[71] = 9, 2**62, -(2**63), 10_007
    return replace(rows, width_ms=width, count=count)


def batches(rows: Aggregates, many: Aggregates, some: Readings, known: Profile) -> Iterator[tuple[str, bytes]]:
    """Yield packed batches by name; ``rows`` have the 12 series of ``known``, ``many`` has 16."""
    signed, unsigned, model = Mode.SIGNED, Mode.UNSIGNED, Mode.MODELLED
    yield (
        "windows-signed",
        forced(
            uneven(many), dict.fromkeys(_AGGREGATES, Way(signed, BYTES_WINDOWS)), Coder.NONE, order=range(15, -1, -1)
        ),
    )
    yield (
        "windows-unsigned",
        forced(uneven(many), dict.fromkeys(_AGGREGATES, Way(unsigned, BYTES_WINDOWS[::-1])), Coder.NONE),
    )
    by = dict.fromkeys(_AGGREGATES, Way(model, MODEL_WINDOWS, ModelParameters(5, 4, 3), 1))
    by |= {Id.HIGH: Way(model, MODEL_WINDOWS[::-1], ModelParameters(7, 11, -8), 2, share=-8), Id.STD: Way(model, (68,))}
    yield "windows-model", forced(uneven(many), by)
    same = dict.fromkeys(_AGGREGATES, Way(model, (63,), ModelParameters(5, 0, 8), 0))
    yield "seen-model", forced(uneven(many), same | {Id.HIGH: Way(model, (63,), ModelParameters(0, 2, 0), 0, share=5)})
    yield (
        "quality-model",
        forced(
            graded(some),
            dict.fromkeys((Id.TIME, Id.VALUE, Id.QUALITY), Way(model, (64, 80, 103), ModelParameters(5, 3, -2))),
        ),
    )
    rare = {Id.WIDTH: Way(Mode.RARE, (0,), usual=10_000, size=2), Id.COUNT: Way(Mode.RARE, (1,), usual=1, size=0)}
    yield "rare-model", forced(jumps(rows), rare)
    yield (
        "rest-order",
        forced(
            many_rest(rows),
            dict.fromkeys((Id.VALUE, Id.LOW, Id.HIGH, Id.STD), Way(signed, (1, 72))) | {Id.SCORE: Way(Mode.FEW, (1,))},
            Coder.DEFLATE,
            order=[7, 3, 0, 11, 10, 1, 2, 9, 8, 4, 6, 5],
        ),
    )
    turned = tuple(reversed(range(12)))
    places = replace(rows, series=tuple(rows.series[at] for at in turned), series_index=11 - rows.series_index)
    yield "late-profile", forced(places, {}, known=known, late=3)
    more = dict.fromkeys((Id.TIME, Id.WIDTH, Id.COUNT, Id.STD, Id.SCORE), Way(model, (5,), ModelParameters(5, 2, 1)))
    yield "rest-profile", forced(uneven(many_rest(rows)), more, known=known, late=16)
    yield "huge-none", forced(huge(12), {Id.VALUE: Way(signed, BYTES_WINDOWS)}, Coder.NONE)
    yield "huge-lzma1", forced(huge(12), {Id.VALUE: Way(unsigned, BYTES_WINDOWS[::-1])}, Coder.LZMA1)
    yield (
        "huge-model",
        forced(huge(12), {Id.VALUE: Way(model, (63, 80, 103, 64, 0, 1, 159, 96, 72), ModelParameters(1, 11, 5))}),
    )
    spans = dict.fromkeys(_AGGREGATES, Way(signed, (1, 64, 72)))
    yield "huge-spans-deflate", forced(huge_spans(many), spans, Coder.DEFLATE)
    by = dict.fromkeys((Id.VALUE, Id.LOW, Id.HIGH), Way(model, (63, 80, 103, 64), ModelParameters(2, 6, 0), 1))
    yield "huge-spans-model", forced(huge_spans(many), by)


_AGGREGATES = (Id.TIME, Id.WIDTH, Id.COUNT, Id.VALUE, Id.LOW, Id.HIGH, Id.STD, Id.SCORE)
