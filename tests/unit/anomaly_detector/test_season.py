"""Days are compared with previous days, and with the same weekday after a calibration of two weeks."""

import numpy as np
import pytest

from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows

DAY = 24
WORKING, SUNDAY = np.maximum(0.0, np.sin((np.arange(DAY) - 7) * np.pi / 10)), np.full(DAY, 0.1)


def days(kinds: str, seed: int = 1) -> np.ndarray:
    """Return hourly values, a day for each letter: w is a working day, s a Sunday."""
    values = np.concatenate([SUNDAY if kind == "s" else WORKING for kind in kinds])
    return values + np.random.default_rng(seed).normal(0, 0.02, len(values))


def statistics(values: np.ndarray, calibration_days: int, missing: range = range(0)) -> dict[str, np.ndarray]:
    """Return the scores of the season's statistics by window; windows in ``missing`` do not come."""
    ensemble = Ensemble(Settings(calibration=DAY * calibration_days, false_alarms_per_month=None, season=DAY))
    ensemble.add_series([None])
    one, causes = np.ones(1), []
    for row, value in enumerate(values):
        mean = np.array([value])
        if row not in missing:
            step = ensemble.step(slice(None), row + 1, 1, Windows(mean, mean, mean, 0 * one, one, one * row))
            causes.append(step.causes[0])
    return {name: np.array(causes)[:, ensemble.experts.index(name)] for name in ("season", "seasons", "weekday")}


WEEK = "wwwwwws"


@pytest.mark.slow
def test_a_holiday_that_is_like_a_sunday_is_unusual_for_its_weekday_only() -> None:
    values = days(3 * WEEK + "www" + "s" + "wws" + WEEK)
    found = statistics(values, 15)
    holiday = slice(DAY * 24, DAY * 25)
    assert found["weekday"][holiday].max() > 1.5
    assert found["seasons"][holiday].max() < 0.7
    assert np.nanmax(found["weekday"][DAY * 15 : DAY * 24]) < 0.9


@pytest.mark.slow
def test_a_new_level_is_usual_for_its_weekday_after_a_day() -> None:
    values = days(5 * WEEK)
    values[DAY * 24 :] += 1.0
    found = statistics(values, 15)["weekday"]
    assert found[DAY * 24 : DAY * 25].max() > 1.0
    assert found[DAY * 27 :].max() < 0.7


@pytest.mark.slow
def test_the_first_sunday_of_a_calibration_does_not_widen_the_limits() -> None:
    values = days(3 * WEEK)
    odd = DAY * 16 + np.arange(8, 16)
    values[odd] = 0.5 * WORKING[8:16]
    found = statistics(values, 15)["seasons"]
    assert found[odd].max() > 1.5
    assert np.nanmax(found[DAY * 15 : DAY * 16]) < 0.9


@pytest.mark.slow
def test_missing_windows_in_the_calibration_shift_nothing() -> None:
    values = days(4 * WEEK)
    gap = range(DAY * 5 + 3, DAY * 5 + 10)
    whole, with_gap = statistics(values, 15), statistics(values, 15, gap)
    for name, scores in with_gap.items():
        last = scores[-DAY * 5 :]
        assert np.nanmax(last) < 0.9, name
        assert last == pytest.approx(whole[name][-DAY * 5 :], abs=0.3), name


def test_weekdays_are_not_compared_after_a_calibration_of_less_than_two_weeks() -> None:
    assert np.isnan(statistics(days(2 * WEEK), 10)["weekday"]).all()
