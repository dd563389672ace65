"""Groups of series: members, completion of windows, and reports."""

import numpy as np
import pytest

from edge_components.anomaly_detector.multivariate.groups import Groups, GroupSettings
from wire.model import Anomaly, Phase, Series

NAMES = ("pump-1.flow", "pump-1.current", "pump-1.pressure", "pump-2.flow", "pump-2.current", "alone")
SETTINGS = GroupSettings(windows=150, names={"spare.*": ""}, drift_windows=400, false_alarms_per_month=10.0)
FIRST = 7


def made(settings=SETTINGS, names=NAMES):
    groups = Groups(settings)
    groups.add([Series(name, "bar", 0.1) for name in names])
    return groups


def plant(windows, fault=None):
    """Return values [windows, series] with a large common component in each machine; the fault is on pump-1.current."""
    rng = np.random.default_rng(4)
    shared = rng.normal(size=(windows, 6))[:, [0, 0, 0, 3, 3, 5]] + 0.5 * rng.normal(size=(windows, 6))
    if fault is not None:
        shared[fault:, 1] += 9.0
    return shared + 20.0


def run(groups, values, first=FIRST):
    every = np.arange(values.shape[1])
    reports = []
    for at, row in enumerate(values):
        reports += groups.window(every, (first + at) * 1000, 1000, row)
    return reports


def test_series_of_a_device_are_a_group_unless_globs_assign_another():
    settings = GroupSettings(names={"host.*": "", "*.ambient": "hall", "hall.host.*": "x"})
    assert settings.group_of("pump-1.flow") == "pump-1"
    assert settings.group_of("site.pump-1.flow") == "site.pump-1"
    assert settings.group_of("host.cpu") == ""
    assert settings.group_of("pump-1.ambient") == "hall"
    assert settings.group_of("alone") == ""


def test_a_fault_is_reported_for_the_group_with_channel_and_expected_value():
    reports = run(made(), plant(260, fault=200))
    onset = reports[0]
    assert (onset.series, onset.phase, onset.cause) == ("pump-1.joint", Phase.ONSET, "joint")
    assert onset.channel == "pump-1.current"
    assert (onset.direction, onset.unit) == ("up", "bar")
    assert onset.lower < onset.expected < onset.upper < onset.observed
    assert onset.expected == pytest.approx(20, abs=0.5)
    assert 200 + FIRST <= onset.onset_ms / 1000 <= 210 + FIRST
    assert onset.time_ms == onset.onset_ms + 1000
    assert len(onset.history) == 16
    assert {report.series for report in reports} == {"pump-1.joint"}


def test_a_report_is_encoded_and_decoded_unchanged():
    (onset, *_) = run(made(), plant(260, fault=200))
    assert Anomaly.from_dict(onset.to_dict()) == onset


@pytest.mark.slow
def test_series_of_a_window_can_arrive_in_parts():
    values, groups, parts = plant(260, fault=200), made(), []
    for at, row in enumerate(values):
        for part in ([0, 3], [1], [2, 4, 5]):
            parts += groups.window(np.array(part), (FIRST + at) * 1000, 1000, row[part])
    assert parts == run(made(), values)


def test_an_incomplete_window_is_scored_when_the_next_begins():
    values, groups = plant(300, fault=200), made()
    reports = run(groups, values[:150])
    without = np.array([0, 1, 3, 4, 5])
    for at in range(150, 300):
        reports += groups.window(without, (FIRST + at) * 1000, 1000, values[at, without])
    assert [report.phase for report in reports][:1] == [Phase.ONSET]
    assert reports[0].channel == "pump-1.current"


@pytest.mark.slow
def test_a_repeated_or_late_window_is_ignored():
    values, groups = plant(260, fault=200), made()
    every, reports = np.arange(6), []
    for at, row in enumerate(values):
        for start in (FIRST + at, FIRST + at, FIRST + at - 3):
            reports += groups.window(every, start * 1000, 1000, row if start == FIRST + at else row + 1e6)
    assert reports == run(made(), values)


@pytest.mark.slow
def test_reports_are_the_same_after_a_restart():
    values = plant(300, fault=200)
    before, after = made(), made()
    first = run(before, values[:230])
    after.restore(before.state())
    assert first + run(after, values[230:], first=FIRST + 230) == run(made(), values)


def test_saved_state_of_other_groups_is_rejected():
    with pytest.raises(ValueError, match="the saved groups differ from the configured ones"):
        made().restore(made(names=NAMES[:4]).state())


def test_a_series_that_appears_after_the_calibration_is_not_part_of_the_group():
    groups = made()
    run(groups, plant(200))
    groups.add([Series("pump-1.late")])
    assert groups.window(np.array([6]), 900_000, 1000, np.array([1e9])) == []


def test_the_number_of_windows_of_a_group_is_found_by_its_name():
    groups = made()
    run(groups, plant(30))
    assert groups.watched("pump-1.joint") == 30
    assert groups.watched("pump-1.flow") is None


def test_groups_can_be_disabled():
    assert run(made(GroupSettings(windows=0)), plant(400, fault=200)) == []


def test_windows_between_false_alarms_follow_from_the_rate_and_the_windows_length():
    assert SETTINGS.windows_between(60_000) == pytest.approx(4320)
    assert SETTINGS.windows_between(1000) == pytest.approx(259_200)


def test_a_lower_alarm_rate_requires_a_larger_fault():
    values = plant(260)
    values[200:, 1] += 1.5
    often, seldom = (made(GroupSettings(windows=150, false_alarms_per_month=rate)) for rate in (1000.0, 0.001))
    assert "pump-1.joint" in {report.series for report in run(often, values)}
    assert run(seldom, values) == []


def test_a_series_that_replaces_another_changes_only_the_groups_of_the_two():
    groups, alone = made(), made(names=NAMES[:3])
    values = plant(200)
    run(groups, values)
    run(alone, values[:, :3])
    groups.replace(np.array([3, 5]), [Series("pump-3.flow"), Series("pump-2.level")])
    assert groups.watched("pump-1.joint") == alone.watched("pump-1.joint") == 200
    assert groups.watched("pump-2.joint") == 0
    names = ("pump-1.flow", "pump-1.current", "pump-1.pressure", "pump-3.flow", "pump-2.current", "pump-2.level")
    again = made(names=names)
    again.restore(groups.state())
    assert again.watched("pump-1.joint") == 200
    more = plant(260, fault=230)[200:]
    reported = [report for report in run(groups, more, FIRST + 200) if report.series == "pump-1.joint"]
    assert reported == [report for report in run(again, more, FIRST + 200) if report.series == "pump-1.joint"]
    assert reported == run(alone, more[:, :3], FIRST + 200)
    assert reported


def test_a_group_without_series_is_removed_and_the_others_keep_their_state():
    groups = made()
    run(groups, plant(200))
    groups.replace(np.array([0, 1, 2]), [Series("a.b"), Series("a.c"), Series("alone-too")])
    assert groups.watched("pump-1.joint") is None
    assert groups.watched("pump-2.joint") == 200
    assert groups.watched("a.joint") == 0
    run(groups, plant(20), FIRST + 200)
    assert groups.watched("pump-2.joint") == 220
    assert groups.watched("a.joint") == 20


def test_a_calibrated_group_is_restored_although_a_later_series_has_its_prefix():
    groups = made()
    run(groups, plant(200))
    groups.add([Series("pump-1.level")])
    again = made(names=(*NAMES, "pump-1.level"))
    again.restore(groups.state())
    assert again.watched("pump-1.joint") == 200
