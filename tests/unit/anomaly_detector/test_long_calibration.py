"""The anomaly detector on fakes after a long calibration: an end of the range that is not reached, and an early end."""

from pathlib import Path

import numpy as np
import pytest

from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.univariate.experts.envelope import SHORTEST, STRETCHES
from edge_components.common.config import load
from tests.unit.anomaly_detector.test_component import Bench, batch
from wire.model import Phase

CALIBRATION = STRETCHES * SHORTEST
CHANGE = CALIBRATION + 100
CONFIG = load(Config, {"calibration_windows": CALIBRATION, "groups": {"*": ""}})
FIRST_MS = 1_700_000_000_000


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, CONFIG)


def run(bench: Bench, pulsing: np.ndarray, steady: np.ndarray) -> None:
    """Send a batch of both series for each window."""
    for second, values in enumerate(zip(pulsing, steady, strict=True)):
        bench.send(batch(second, values))


def noise(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.02, rows)


def test_pulses_that_stop_are_reported_as_a_change_of_the_range(bench: Bench) -> None:
    """A press that no longer closes: no value is unusual, and the mean is nearly the same."""
    rows = CHANGE + 3 * SHORTEST
    pressure = noise(rows, 1)
    closings = np.cumsum(np.random.default_rng(4).integers(8, 16, CHANGE // 8))
    pressure[closings[closings < CHANGE]] += 0.3
    run(bench, pressure, 3.0 + noise(rows, 3))
    (onset,) = [report for report in bench.reports() if report.phase is Phase.ONSET]
    assert (onset.series, onset.cause, onset.direction) == ("a.x", "range", "down")
    late = (onset.onset_ms - FIRST_MS) / 1000 - CHANGE
    assert SHORTEST < late <= 2 * SHORTEST
    assert onset.observed is not None
    assert onset.expected is not None
    assert onset.observed < 0.1 < 0.25 < onset.expected < 0.4


def test_one_burst_is_one_anomaly_that_ends_when_the_windows_are_usual_again(bench: Bench) -> None:
    """The means over more windows contain the burst for much longer, but do not begin another one."""
    rows = CHANGE + 250
    burst = 3.0 + noise(rows, 3)
    burst[CHANGE : CHANGE + 3] += 5.0
    run(bench, noise(rows, 1), burst)
    phases = [(report.series, report.phase) for report in bench.reports() if report.phase is not Phase.UPDATE]
    assert phases == [("a.y", Phase.ONSET), ("a.y", Phase.END)]
    end = bench.reports()[-1]
    assert (end.time_ms - FIRST_MS) / 1000 - CHANGE <= 30
