"""Groups without wandering channels: fixed levels, several faults, oscillations, and the state."""

import numpy as np
import pytest

from edge_components.anomaly_detector.multivariate import baseline, stationary
from tests.unit.anomaly_detector.test_group_detector import CALIBRATION, correlated, group, in_anomaly, wandering, watch
from wire.model import Phase


def phases(found):
    return [(at, one.phase) for at, one in enumerate(found) if one.phase in (Phase.ONSET, Phase.END)]


def test_a_fault_that_begins_during_another_one_lasts_until_its_own_end():
    values = correlated(1100)
    values[500:650, 0] += 8.0
    values[600:900, 2] += 8.0
    found = watch(group(), values)
    (onset, _), (end, _) = phases(found)
    assert 500 <= onset <= 510
    assert 900 <= end <= 920
    assert found[800].channel == 2


def test_a_fault_directly_after_another_one_is_an_anomaly_and_its_recovery_is_not():
    values = correlated(1100)
    values[500:560, 0] += 8.0
    values[570:800, 2] += 3.0
    anomaly = in_anomaly(watch(group(), values))
    assert anomaly[585:800].all()
    assert not anomaly[820:].any()


def test_an_oscillation_about_the_level_is_an_anomaly():
    values = correlated(900)
    values[500:700, 1] += 3.0 * np.sin(np.arange(200) * 2 * np.pi / 20)
    anomaly = in_anomaly(watch(group(), values))
    assert not anomaly[:500].any()
    assert anomaly[530:700].all()
    assert not anomaly[730:].any()


def test_levels_do_not_follow_a_slow_change_that_was_absent_from_the_calibration():
    values = correlated(1400)
    values[500:, 1] += np.arange(900) / 200
    anomaly = in_anomaly(watch(group(drift_rows=2000), values))
    assert not anomaly[:500].any()
    assert anomaly[900:].all()


def test_a_group_with_a_wandering_channel_has_no_fixed_levels():
    steady, wanders = correlated(CALIBRATION), wandering(CALIBRATION)
    usual = baseline.fit(steady)[0]
    fitted = stationary.fit(steady, usual)
    assert fitted is not None
    values, _ = baseline.cleaned(baseline.filled(steady), usual.centre, usual.scale)
    centre = values.mean(axis=0)
    ends = range(stationary.ROWS, len(values) + 1)
    assert max(fitted.distance(values[:end], [centre]) for end in ends) < 1.0
    assert stationary.fit(wanders, baseline.fit(wanders)[0]) is None


def test_saved_state_with_another_layout_is_rejected():
    joint = group()
    watch(joint, correlated(CALIBRATION))
    arrays = joint.state() | {"stationary.limit": np.zeros(2)}
    with pytest.raises(ValueError, match=r"stationary\.limit is float64 \(2,\), this version saves float64 \(1,\)"):
        group().restore(arrays)
