"""An anomaly ends when the series is usual again, although means over more windows still contain it."""

import numpy as np
import pytest

from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.tracking import Tracks, without_past
from edge_components.anomaly_detector.univariate.windows import Windows
from wire.model import Phase

CALIBRATION = 240
AT = CALIBRATION + 60
SETTINGS = Settings(calibration=CALIBRATION)
SPIKE_LOOKBACK = 12


def bursts(rows: int) -> np.ndarray:
    """Return noise with usual bursts in one direction, so that a greater one is not replaced as an outlier."""
    rng = np.random.default_rng(6)
    values = rng.normal(0.0, 0.1, rows)
    values[np.arange(5, CALIBRATION, 12)] += rng.uniform(0.5, 1.5, 20)
    return values


def anomalies(values: np.ndarray) -> list[tuple[int, Phase]]:
    """Return the windows at which anomalies begin and end."""
    ensemble = Ensemble(SETTINGS)
    ensemble.add_series([None])
    none, one = np.zeros(1), np.ones(1)
    found: list[tuple[int, Phase]] = []
    for row, value in enumerate(values):
        mean = np.array([value])
        step = ensemble.step(slice(None), row + 1, 1, Windows(mean, mean, mean, none, one, one * row))
        found += [(row, change.phase) for change in step.changes if change.phase is not Phase.UPDATE]
    return found


def test_an_anomaly_of_one_burst_ends_before_the_burst_has_left_the_means() -> None:
    values = bursts(AT + 80)
    values[AT] += 12.0
    (first, begin), (last, end) = [one for one in anomalies(values) if one[0] >= AT]
    assert (first, begin, end) == (AT, Phase.ONSET, Phase.END)
    assert last - AT <= 2 * SETTINGS.end_windows + SPIKE_LOOKBACK


def test_an_anomaly_of_a_level_lasts_while_the_level_does() -> None:
    values = bursts(AT + 80)
    values[AT : AT + 40] += 3.0
    (first, begin), (last, end) = [one for one in anomalies(values) if one[0] >= AT]
    assert (begin, end) == (Phase.ONSET, Phase.END)
    assert AT <= first < AT + 5
    assert last >= AT + 40


@pytest.mark.parametrize("rows", [1, 3, 8, 20, 60])
def test_an_anomaly_is_not_reported_again_while_it_leaves_the_means(rows: int) -> None:
    values = np.random.default_rng(3).normal(0.0, 0.1, AT + rows + 300)
    values[AT : AT + rows] += 25.0
    found = [phase for row, phase in anomalies(values) if row >= AT]
    assert found == [Phase.ONSET, Phase.END]


def tracks(lasted: int, usual: int, rest: int = 0) -> Tracks:
    """Return the tracks of one series, in an anomaly if it has lasted."""
    one = Tracks.empty(1)
    one.active[:], one.lasted[:], one.usual[:], one.rest[:] = lasted > 0, lasted, usual, rest
    return one


def score(one: Tracks, recent: float) -> float:
    """Return what counts of a score of 3."""
    return float(without_past(one, np.array([3.0]), np.array([recent]), SETTINGS)[0])


def test_an_anomaly_that_the_last_windows_have_shown_is_over_without_them() -> None:
    assert score(tracks(lasted=9, usual=4), recent=0.5) == 0.0
    assert score(tracks(lasted=9, usual=3), recent=0.5) == 3.0
    assert score(tracks(lasted=9, usual=4), recent=1.5) == 3.0


def test_an_anomaly_that_only_the_means_have_shown_lasts_with_them() -> None:
    """Such as a slow drift."""
    assert score(tracks(lasted=9, usual=20), recent=0.5) == 3.0


def test_the_means_begin_an_anomaly_unless_they_contain_the_one_before() -> None:
    assert score(tracks(lasted=0, usual=50), recent=0.5) == 3.0
    assert score(tracks(lasted=0, usual=50, rest=7), recent=0.5) == 0.5
    assert score(tracks(lasted=0, usual=50, rest=7), recent=9.0) == 3.0
