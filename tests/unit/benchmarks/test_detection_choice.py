"""A constant is chosen on the groups other than the one that it is scored on."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks import detection_choice
from benchmarks.detection_choice import JOINT, SERIES, Constant, applied, chosen, evaluate, quality, settings_of
from benchmarks.detection_data import Group, Recording, ranges
from edge_components.anomaly_detector.univariate import calibration


def test_the_choice_for_a_group_does_not_use_its_own_quality() -> None:
    found = np.array([[0.5, 0.5, 0.5], [0.9, 0.4, 0.4], [0.4, 0.6, 0.6]])
    assert chosen(found) == 1
    assert chosen(found, apart=0) == 2
    assert chosen(found, apart=2) == 1


def test_without_a_better_setting_the_present_one_is_chosen() -> None:
    assert chosen(np.array([[0.5, 0.5], [0.5, 0.5]])) == 0


def test_a_setting_applies_within_its_block_only() -> None:
    one = Constant("edge_components.anomaly_detector.univariate.calibration", "POWER", (2.5,))
    before = calibration.POWER
    with applied({one: 2.5}):
        assert calibration.POWER == 2.5
    assert before == calibration.POWER


def test_every_constant_exists_and_its_values_differ_from_the_present_one() -> None:
    for setting in settings_of((*SERIES, *JOINT))[1:]:
        ((one, value),) = setting.items()
        assert getattr(importlib.import_module(one.module), one.name) != value, one.title


def test_quality_of_events_counts_false_alarms_and_the_highest_score() -> None:
    row = {"found": 3, "events": 4, "false_alarms": 1}
    assert quality(row, 4) == pytest.approx(6 / 8)
    assert quality(row | {"highest_at_event": 1}, 4) == pytest.approx(0.5 * (6 / 8 + 1 / 4))
    assert quality({"nab_fixed": 80.0}, 4) == 0.8
    assert detection_choice.named({SERIES[0]: 2.5}) == {"calibration.POWER": 2.5}


def test_a_setting_of_groups_changes_the_joint_score_of_several_channels() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(700, 3))
    values[500:600] += 4.0
    faulty = np.zeros(700, np.bool_)
    faulty[500:600] = True
    group = Group("shifts", "rows", [Recording("", np.arange(700) * 1000, values, 400, ranges(faulty))])
    together, alone, rougher, stationary = (
        next(one for one in JOINT if one.title == title)
        for title in ("baseline.TOGETHER", "baseline.ALONE", "baseline.ROUGHER", "stationary.LIMIT")
    )
    assert evaluate(({}, group, Path("none"))) > 0.85
    assert evaluate(({together: 99.0, alone: 99.0, rougher: 99.0, stationary: 99.0}, group, Path("none"))) < 0.1
