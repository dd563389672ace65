"""Detection over a group: faults in the relation of channels, their ends, and slow changes."""

import functools

import numpy as np
import pytest

from device_sim.simulation import rigs
from edge_components.anomaly_detector.multivariate import baseline
from edge_components.anomaly_detector.multivariate.group_detector import GroupDetector
from strandline.recorded import offline
from tests.examples import some_slow
from wire.model import Phase

CALIBRATION = 400


def group(channels=4, drift_rows=600):
    return GroupDetector(channels, CALIBRATION, drift_rows, update_rows=100)


def correlated(rows, seed=4, channels=4):
    """Return channels with a large common component."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 1)) * 2.0 + rng.normal(size=(rows, channels)) * 0.3 + 50.0


def wandering(rows, slow=3, seed=4):
    """Return correlated channels of which one, slow, wanders in the calibration as later."""
    values = correlated(rows, seed)
    steps = np.random.default_rng(seed + 1).normal(size=rows) * 0.1
    for row in range(1, rows):
        steps[row] += 0.99 * steps[row - 1]
    values[:, slow] = 50.0 + steps + 0.1 * np.random.default_rng(seed + 2).normal(size=rows)
    return values


def watch(joint, values):
    return [joint.step(row) for row in values]


def in_anomaly(found):
    return np.array([one.anomaly for one in found])


def test_a_fault_in_the_correlation_is_detected_while_each_channel_stays_in_its_range():
    values = correlated(700)
    values[500:, 2] -= 2.0  # the channel's own deviation is 2
    found = watch(group(), values)
    onset = next(at for at, one in enumerate(found) if one.phase is Phase.ONSET)
    assert 500 <= onset <= 520
    assert found[onset].channel == 2
    assert in_anomaly(found)[onset:].all()


@pytest.mark.slow
def test_an_anomaly_lasts_as_long_as_its_fault():
    values = correlated(1000)
    values[500:800, 1] += 8.0
    anomaly = in_anomaly(watch(group(), values))
    assert not anomaly[:500].any()
    assert anomaly[510:800].all()
    assert not anomaly[820:].any()


@pytest.mark.slow
def test_an_anomaly_lasts_while_one_of_its_channels_has_not_returned():
    values = correlated(1000)
    values[500:600, :2] += 8.0
    values[500:800, 2] += 8.0
    found = watch(group(), values)
    assert [one.phase for one in found if one.phase in (Phase.ONSET, Phase.END)] == [Phase.ONSET, Phase.END]
    assert in_anomaly(found)[510:800].all()
    assert not in_anomaly(found)[830:].any()


@pytest.mark.slow
def test_state_of_an_earlier_version_in_an_anomaly_is_continued():
    values = correlated(1000)
    values[500:800, 1] += 8.0
    before, after = group(), group()
    watch(before, values[:600])
    after.restore(
        {name: array for name, array in before.state().items() if not name.startswith(("persistence.", "stationary."))}
    )
    anomaly = in_anomaly(watch(after, values[600:]))
    assert anomaly[:200].all()
    assert not anomaly[220:].any()


@pytest.mark.slow
@pytest.mark.parametrize("cut", [450, 600])
def test_state_of_a_stationary_group_of_an_earlier_version_is_continued(cut):
    values = correlated(1000)
    values[500:800, 1] += 8.0
    before, after = group(), group()
    watch(before, values[:cut])
    saved = before.state()
    # That version saved its fixed levels apart, and a speed that it did not use.
    speed = np.full(4, 0.01)
    after.restore(saved | {"stationary.centre": saved["state.level"], "baseline.slew": speed})
    anomaly = in_anomaly(watch(after, values[cut:]))
    assert anomaly[max(510 - cut, 0) : 800 - cut].all()
    assert not anomaly[830 - cut :].any()
    assert (speed == 0.01).all()


def test_levels_are_fixed_only_if_no_channel_wanders():
    assert not baseline.fit(correlated(CALIBRATION))[0].slew.any()
    fitted, _ = baseline.fit(wandering(CALIBRATION))
    assert (fitted.slew > 0).all()


@pytest.mark.slow
def test_an_anomaly_ends_although_a_slow_channel_has_permanently_moved():
    values = wandering(1000)
    values[500:800, 1] += 8.0
    values[500:, 3] += np.minimum(np.arange(500) / 60, 5.0)
    anomaly = in_anomaly(watch(group(), values))
    assert anomaly[510:800].all()
    assert not anomaly[825:].any()


@pytest.mark.slow
def test_a_channel_heated_by_a_fault_neither_delays_the_end_nor_alarms_while_cooling():
    values = wandering(1200)
    values[500:700, :2] += 8.0
    heat = 40.0 * (1.0 - np.exp(-np.arange(200) / 100))
    values[500:700, 3] += heat
    values[700:, 3] += heat[-1] * np.exp(-np.arange(500) / 200)
    anomaly = in_anomaly(watch(group(), values))
    assert anomaly[510:700].all()
    assert not anomaly[730:].any()


@pytest.mark.slow
def test_anomaly_of_a_slow_channel_alone_ends_when_half_of_the_deviation_has_ended():
    values = wandering(1200)
    cooling = 40.0 * np.exp(-np.arange(400) / 100)  # half of it after 69 rows
    values[500:700, 3] += 40.0
    values[700:1100, 3] += cooling
    anomaly = in_anomaly(watch(group(), values))
    assert anomaly[510:760].all()
    assert not anomaly[820:].any()


@pytest.mark.slow
def test_a_fault_that_pauses_is_detected_again():
    values = correlated(1000)
    values[500:600, 1] += 8.0
    values[625:800, 1] += 8.0
    found = watch(group(), values)
    onsets = [at for at, one in enumerate(found) if one.phase is Phase.ONSET]
    assert len(onsets) == 2
    assert 625 <= onsets[1] <= 640
    assert in_anomaly(found)[onsets[1] : 800].all()
    assert not in_anomaly(found)[820:].any()


@pytest.mark.slow
def test_the_levels_before_a_drift_remain_normal_for_the_length_of_the_calibration():
    values = correlated(1300)
    values[500:900, 1] += 8.0
    found = watch(group(drift_rows=200), values)
    assert [one.drifted for one in found if one.phase is Phase.END] == [True]
    assert not in_anomaly(found)[730:].any()


def test_a_step_does_not_increase_the_roughness():
    values = np.random.default_rng(3).normal(size=(baseline.HISTORY, 2))
    stepped = values.copy()
    stepped[10:, 1] += 50.0
    plain, rough = baseline.roughness_of(values), baseline.roughness_of(stepped)
    assert rough[0] == plain[0]
    assert abs(rough[1] - plain[1]) < 0.2


@pytest.mark.slow
def test_a_drift_as_slow_as_in_the_calibration_is_normal():
    values = correlated(1600)
    values[:, 0] += np.arange(1600) / 50
    assert not in_anomaly(watch(group(), values)).any()


def test_single_outliers_are_ignored():
    values = correlated(900)
    values[np.arange(450, 900, 30), 2] += 500.0
    assert not in_anomaly(watch(group(), values)).any()


def test_constant_channels_and_missing_values_cause_no_alarm():
    values = correlated(900)
    values[:, 1] = 7.0
    values[420:500, 0] = np.nan
    values[:, 3] = np.nan
    found = watch(group(), values)
    assert np.isfinite([one.score for one in found[CALIBRATION:]]).all()
    assert not in_anomaly(found).any()


@pytest.mark.slow
def test_an_anomaly_of_a_group_at_a_new_level_ends_as_drift_and_the_level_becomes_normal():
    values = correlated(1200)
    values[500:, 1] += 8.0
    found = watch(group(drift_rows=200), values)
    ends = [(at, one.drifted) for at, one in enumerate(found) if one.phase is Phase.END]
    assert len(ends) == 1
    assert 700 <= ends[0][0] <= 720
    assert ends[0][1]
    assert not in_anomaly(found)[721:].any()


@pytest.mark.slow
def test_a_continuing_anomaly_is_reported_again_and_levels_are_frozen():
    values = correlated(900)
    values[500:, 1] += 8.0
    found = watch(group(), values)
    phases = [one.phase for one in found if one.phase is not None]
    assert phases == [Phase.ONSET, Phase.UPDATE, Phase.UPDATE, Phase.UPDATE]
    onset = next(at for at, one in enumerate(found) if one.phase is Phase.ONSET)
    assert np.array_equal(found[onset].expected, found[-1].expected)


@functools.cache
def _without_restart():
    values = correlated(800)
    values[600:700, 1] += 8.0
    return watch(group(), values)


@pytest.mark.slow
@pytest.mark.parametrize("cut", some_slow([450, 708, 100, 620, 720, 760], fast=2))
def test_a_restart_changes_nothing(cut):
    values = correlated(800)
    values[600:700, 1] += 8.0
    straight = _without_restart()
    before, after = group(), group()
    watch(before, values[:cut])
    after.restore(before.state())
    rest = watch(after, values[cut:])
    assert [one.anomaly for one in rest] == [one.anomaly for one in straight[cut:]]
    assert np.array_equal([one.score for one in rest], [one.score for one in straight[cut:]], equal_nan=True)


def test_state_of_another_shape_is_rejected():
    with pytest.raises(ValueError, match=r"state\.rows is float64 .*, this version saves float64"):
        group(3).restore(group(4).state())


def test_too_few_rows_are_rejected():
    with pytest.raises(ValueError, match="100 rows: at least 120"):
        baseline.fit(correlated(100))


@pytest.mark.slow
@pytest.mark.parametrize("cut", [401, 560, 700])
def test_the_joint_score_does_not_depend_on_later_rows(cut):
    run = rigs.run("leak", 3)
    whole = offline.score(run.time_ms, run.values, rigs.CHANNELS, CALIBRATION)
    part = offline.score(run.time_ms[:cut], run.values[:cut], rigs.CHANNELS, CALIBRATION)
    assert np.array_equal(whole.score[:cut], part.score)
    assert np.array_equal(whole.anomaly[:cut], part.anomaly)
    assert whole.channel[:cut] == part.channel


@pytest.mark.slow
def test_outside_of_anomalies_scores_are_below_the_alarm_level():
    run = rigs.run("imbalance", 4)
    found = offline.score(run.time_ms, run.values, rigs.CHANNELS, CALIBRATION)
    assert (found.score[~found.anomaly] < 1).all()
    assert (found.score[found.anomaly] >= 1).any()


def test_rigs_repeat_by_seed_and_differ_between_seeds():
    first, again, other = rigs.run("wear", 5), rigs.run("wear", 5), rigs.run("wear", 6)
    assert np.array_equal(first.values, again.values)
    assert first.values.shape != other.values.shape or not np.array_equal(first.values, other.values)


@pytest.mark.parametrize("kind", sorted(rigs.TUNING | rigs.HELD_OUT))
def test_each_run_has_one_fault_after_a_clean_calibration(kind):
    run = rigs.run(kind, 1)
    edges = np.flatnonzero(np.diff(run.faulty.astype(int)))
    assert len(edges) == 2
    assert edges[0] >= CALIBRATION
    assert not run.faulty[-100:].any()
    assert (np.diff(run.time_ms) > 0).all()
    assert np.isfinite(run.values).all()


def test_steady_rigs_have_long_faults_and_steadier_temperatures():
    spreads = []
    for conditions in (rigs.USUAL, rigs.STEADY):
        runs = [rigs.run("leak", seed, conditions=conditions) for seed in range(5)]
        spreads.append(np.mean([run.values[:CALIBRATION, 4].std() for run in runs]))
    assert all(300 < run.faulty.sum() < 480 for run in runs)
    assert spreads[1] < 0.5 * spreads[0]


def test_uneven_rigs_settle_and_have_noise_of_changing_size():
    begins, changes = [], []
    for conditions in (rigs.STEADY, rigs.UNEVEN):
        runs = [rigs.run("leak", seed, conditions=conditions) for seed in range(6)]
        flows = [run.values[:CALIBRATION, 7] for run in runs]
        begins.append(np.mean([abs(flow[:20].mean() - flow[200:].mean()) for flow in flows]))
        noise = [np.diff(run.values[:CALIBRATION, 0]).reshape(-1)[:380].reshape(10, 38).std(axis=1) for run in runs]
        changes.append(np.mean([one.max() / one.min() for one in noise]))
    assert begins[1] > 2.0 * begins[0]
    assert changes[1] > 2.0 * changes[0]
    assert all(300 < run.faulty.sum() < 480 for run in runs)


def test_a_fault_of_an_uneven_rig_fades_after_its_end():
    assert rigs._remaining(np.ones(9), 5, 0.0, np.random.default_rng(1)).tolist() == [0.0] * 5
    left = [rigs._remaining(np.ones(9), 300, 1.0, np.random.default_rng(seed)) for seed in range(20)]
    assert 5 <= sum(one[0] > 0 for one in left) <= 18
    assert all((np.diff(one) <= 0).all() and one[-1] <= 0.5 * one[0] for one in left)


def test_a_run_without_a_fault_has_no_faulty_rows():
    assert not rigs.run(rigs.NO_FAULT, 1).faulty.any()
    with pytest.raises(KeyError, match="none"):
        rigs.run("none", 1)
