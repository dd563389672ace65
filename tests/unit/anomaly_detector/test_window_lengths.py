"""Series with windows of different length are scored beside one another."""

from __future__ import annotations

import numpy as np
import pytest

from edge_components.anomaly_detector.univariate import ensemble_state
from edge_components.common import batch_message
from tests.unit.anomaly_detector.test_component import Bench, normal
from wire.model import Aggregates, Batch, Phase, Series

SERIES = (Series("a.fast", "V", 0.01), Series("b.slow", "A", 0.01))
START_MS = 1_699_999_980_000
SLOW_MS = 4_000


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def batch(number, rows):
    """A batch of rows (series index, start, width, mean)."""
    index, start, width, mean = (np.array(column) for column in zip(*rows, strict=True))
    n, mean = len(rows), mean.astype(float)
    columns = (np.full(n, 5), mean, mean - 0.1, mean + 0.1, np.full(n, 0.05), np.full(n, np.nan))
    return batch_message.encode(Batch("gw-test", 7, number, Aggregates(SERIES, index, start, width, *columns)))


def run(bench, seconds, slow=True):
    """Send a window of a second, every second, and one of four seconds when it is complete."""
    for second in seconds:
        start = START_MS + 1000 * second
        fast, slow_value = normal(second)
        rows = [(0, start, 1000, fast)]
        if slow and second % 4 == 3:
            rows.append((1, start + 1000 - SLOW_MS, SLOW_MS, slow_value))
        bench.send(batch(second + 1, sorted(rows, key=lambda row: row[1])))


@pytest.mark.slow
def test_a_series_with_longer_windows_than_the_others_has_no_gap_while_it_reports(bench):
    run(bench, range(100))
    assert bench.reports() == []
    scores = [rows.score[rows.width_ms == SLOW_MS] for rows in (b.rows for b in bench.scored())]
    assert np.isfinite(np.concatenate(scores)).sum() == 5


@pytest.mark.slow
def test_a_series_with_longer_windows_that_stops_has_a_gap_after_windows_of_its_own_length(bench):
    run(bench, range(84))
    run(bench, range(84, 84 + 4 * 4), slow=False)
    assert bench.reports() == []
    run(bench, range(84 + 4 * 4, 84 + 8 * 4), slow=False)
    (onset,) = [report for report in bench.reports() if report.phase is Phase.ONSET]
    assert (onset.series, onset.cause) == ("b.slow", "gap")


@pytest.mark.slow
def test_windows_of_two_lengths_with_one_start_are_both_scored(bench):
    run(bench, range(84))
    start = START_MS + 84_000
    bench.send(batch(85, [(0, start, 1000, normal(84)[0]), (1, start, SLOW_MS, normal(84)[1])]))
    assert np.isfinite(bench.scored()[-1].rows.score).all()


@pytest.mark.slow
def test_state_of_an_earlier_version_has_one_length_for_all_series(bench):
    run(bench, range(84))
    ensemble = bench.detector._scoring.ensemble
    arrays = {name: array for name, array in ensemble.state().items() if name != "collected.width_ms"}
    assert ensemble.windows.width_ms.tolist() == [1000, SLOW_MS]
    ensemble_state.restore(ensemble, arrays)
    assert set(ensemble.windows.width_ms.tolist()) == {ensemble.width_ms}
