"""Coarser windows keep counts, extremes and moments of the windows that they replace."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_components.forwarder.spool.coarsening import coarsen
from wire.model import Aggregates, Series

SERIES = tuple(Series(f"s{n}") for n in range(3))


@st.composite
def aggregates(draw: st.DrawFn) -> Aggregates:
    n = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = rng.integers(0, 20, n)
    filled = count > 0
    mean = np.where(filled, rng.normal(0, 100, n), np.nan)
    spread = rng.random(n) * 10
    start = rng.integers(0, 40, n) * 1000 + draw(st.sampled_from([0, 1_700_000_000_000, -60_000]))
    return Aggregates(
        SERIES,
        rng.integers(0, 3, n),
        start,
        np.full(n, 1000),
        count,
        mean,
        np.where(filled, mean - spread, np.nan),
        np.where(filled, mean + spread, np.nan),
        np.where(filled, spread / 2, np.nan),
        np.where(rng.random(n) < 0.3, np.nan, rng.random(n)),
    )


@given(aggregates(), st.sampled_from([1, 2, 4, 60]))
def test_coarser_windows_keep_counts_extremes_and_moments(rows: Aggregates, factor: int) -> None:
    coarse = coarsen(rows, factor)
    assert len(coarse) <= len(rows)
    assert np.all(coarse.start_ms % coarse.width_ms == 0)
    keys = set(zip(coarse.series_index.tolist(), coarse.start_ms.tolist(), strict=True))
    assert len(keys) == len(coarse), "a series has two rows for one window"
    for at in range(len(coarse)):
        width = int(coarse.width_ms[at])
        inside = (rows.series_index == coarse.series_index[at]) & (
            rows.start_ms // width * width == coarse.start_ms[at]
        )
        count = rows.count[inside]
        assert coarse.count[at] == count.sum()
        some = inside & (rows.count > 0)
        if not some.any():
            assert np.isnan(coarse.mean[at])
            continue
        assert coarse.min[at] == rows.min[some].min()
        assert coarse.max[at] == rows.max[some].max()
        weight = rows.count[some]
        mean = np.average(rows.mean[some], weights=weight)
        second = np.average(rows.std[some] ** 2 + rows.mean[some] ** 2, weights=weight)
        np.testing.assert_allclose(coarse.mean[at], mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(coarse.std[at] ** 2, max(0.0, second - mean**2), rtol=1e-6, atol=1e-6)
        scores = rows.score[inside]
        if np.isnan(scores).all():
            assert np.isnan(coarse.score[at])
        else:
            assert coarse.score[at] == np.nanmax(scores)
