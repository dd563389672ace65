"""The baselines are causal, have no scores during calibration, and detect the faults that they are designed for."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection_baselines import GROUPS, ONE_CHANNEL, Baseline, FloatArray, known

CALIBRATE = 200
PACKAGES = {name: package for table in (ONE_CHANNEL, GROUPS) for name, (_, package) in table.items()}
CASES = [("one", name) for name in ONE_CHANNEL] + [("group", name) for name in GROUPS]


def case(kind: str, name: str) -> tuple[Baseline, FloatArray]:
    if PACKAGES[name]:
        pytest.importorskip(PACKAGES[name])
    rng = np.random.default_rng(1)
    if kind == "one":
        # A period, because the matrix profile compares shapes.
        values = 3.0 * np.sin(np.arange(500) * 2 * np.pi / 25) + 0.5 * rng.normal(size=500)
        values[400:403] += 12.0
        return ONE_CHANNEL[name][0], values
    # Two channels that go together, and then do not, without leaving their range.
    common = rng.normal(size=500)
    values = np.stack([common, common + 0.1 * rng.normal(size=500)], axis=1)
    values[400:, 1] = -values[400:, 1]
    return GROUPS[name][0], values


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_scores_do_not_depend_on_later_rows(kind: str, name: str) -> None:
    baseline, values = case(kind, name)
    whole, part = baseline(values, CALIBRATE), baseline(values[:450], CALIBRATE)
    assert len(whole) == len(values)
    assert whole[:450] == pytest.approx(part, rel=1e-6)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_calibration_is_not_scored(kind: str, name: str) -> None:
    baseline, values = case(kind, name)
    scores = baseline(values, CALIBRATE)
    assert not scores[:CALIBRATE].any()
    assert scores[CALIBRATE:].any()


# An isolation forest splits along single channels, and does not detect a changed relation of two channels.
@pytest.mark.parametrize(("kind", "name"), [case for case in CASES if case != ("group", "PyOD IForest")])
def test_rows_that_differ_from_the_calibration_have_higher_scores(kind: str, name: str) -> None:
    baseline, values = case(kind, name)
    scores = baseline(values, CALIBRATE)
    assert scores[400:404].max() > np.quantile(scores[CALIBRATE:400], 0.99)


def test_missing_values_are_replaced_by_the_previous_value() -> None:
    assert known(np.array([np.nan, 1.0, np.nan, np.nan, 2.0])).tolist() == [0.0, 1.0, 1.0, 1.0, 2.0]
    assert known(np.array([[1.0, np.nan], [np.nan, 3.0]])).tolist() == [[1.0, 0.0], [1.0, 3.0]]
