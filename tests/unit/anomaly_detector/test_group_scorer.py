"""Scoring groups of channels: complete windows, calibration, and skipped windows."""

import numpy as np
import pytest

from edge_components.anomaly_detector.model_runtime import error_levels
from edge_components.anomaly_detector.model_runtime.error_levels import fit
from edge_components.anomaly_detector.model_runtime.group_scorer import GroupScorer
from edge_components.anomaly_detector.model_runtime.manifest import Defaults, GroupManifest
from tests.unit.anomaly_detector.group_models import CHANNELS, WINDOW, offer

SECOND = 1000
CALIBRATION = 40
PROBABILITY = 1e-5
NAMES = [f"{device}.{channel}" for device in ("pump1", "pump2", "fan") for channel in CHANNELS]


def smooth(windows):
    """Auto-encoder whose output is, for each channel, the mean of all channels."""
    return np.repeat(windows.mean(axis=2, keepdims=True), windows.shape[2], axis=2).reshape(len(windows), -1)


def last(windows):
    """Forecaster whose forecast is the last window."""
    return windows[:, -1].copy()


class Feed:
    """A scorer and windows for it: a common component of all channels of a device, and noise for each channel."""

    def __init__(self, folder, run=smooth, drift=10_000, **changes):
        self.manifest = GroupManifest.read(offer(folder, **changes))
        self.scorer = GroupScorer(self.manifest, run, CALIBRATION, PROBABILITY, drift, 100)
        self.names = list(NAMES)

    def values(self, second, **changed):
        rng = np.random.default_rng(second)
        values = {}
        for device in ("pump1", "pump2", "fan"):
            swing = rng.normal()
            for channel in CHANNELS:
                values[f"{device}.{channel}"] = 10 + swing + rng.normal(0, 0.05)
        return values | {name.replace("_", "."): value for name, value in changed.items()}

    def send(self, second, values, width=SECOND):
        series_ids = np.array([self.names.index(name) for name in values])
        mean = np.array(list(values.values()))
        return self.scorer(self.names, series_ids, second * SECOND, width, mean)

    def run(self, seconds):
        return [self.send(second, self.values(second)) for second in seconds]


@pytest.fixture
def feed(tmp_path):
    return Feed(tmp_path)


def test_only_calibrated_devices_of_the_manifest_are_scored(feed):
    results = feed.run(range(CALIBRATION + WINDOW + 5))
    assert all(np.isnan(scores.score).all() for scores in results[: CALIBRATION + WINDOW - 1])
    assert np.isfinite(results[-1].score[:6]).all()
    assert np.isnan(results[-1].score[6:]).all()
    assert feed.scorer.devices == {"pump1": 0, "pump2": 1}


def test_a_deviating_channel_is_identified_by_its_own_error(feed):
    feed.run(range(60))
    scores = feed.send(60, feed.values(60, pump2_y=12.0))
    assert scores.score[4] >= 1.0
    assert scores.score[:3].max() < 0.9
    assert scores.expected[4] == pytest.approx(10, abs=3)
    assert 0 < scores.reach[4] < 2


def test_the_manifests_calibration_is_used_until_the_device_is_calibrated(tmp_path):
    tails = {"threshold": [0.1] * 3 + [1.0], "excess": [0.02] * 3 + [0.2], "share": [0.1] * 4}
    feed = Feed(tmp_path, calibration=tails)
    results = feed.run(range(5))
    assert np.isnan(results[0].score).all()
    assert np.isfinite(results[1].score[:6]).all()
    wanted = 0.1 + 0.02 * np.log(0.1 / PROBABILITY / np.sqrt(WINDOW))
    assert results[1].reach[0] == pytest.approx(wanted * 0.5)


@pytest.mark.slow
def test_false_alarms_are_rare(feed):
    feed.run(range(CALIBRATION + 2))
    scores = np.array([scores.score[:6] for scores in feed.run(range(CALIBRATION + 2, 3000))])
    assert (scores >= 1).any(axis=1).mean() < 2e-3


def test_channels_in_two_batches_are_scored_with_the_whole_window(feed):
    feed.run(range(60))
    values = feed.values(60, pump1_x=12.0)
    early = {name: value for name, value in values.items() if not name.endswith("z")}
    late = {name: value for name, value in values.items() if name.endswith("z")}
    assert np.isnan(feed.send(60, early).score).all()
    assert np.isfinite(feed.send(60, late).score[:2]).all()
    following = feed.send(61, {"pump1.x": 10.0})
    assert following.score[0] >= 1.0  # the error of its last window is reported with its next
    assert np.isnan(following.expected[0])


def test_windows_split_over_batches_are_all_scored(feed):
    feed.run(range(60))
    one, two = feed.values(60), feed.values(61)
    before = feed.scorer.windows_scored
    feed.send(60, {name: value for name, value in one.items() if name != "pump1.x"})
    feed.send(61, {name: value for name, value in two.items() if name != "pump1.x"})
    feed.send(60, {"pump1.x": one["pump1.x"]})
    feed.send(61, {"pump1.x": two["pump1.x"]})
    assert feed.scorer.windows_scored == before + 4


def test_an_incomplete_window_is_skipped_and_counted(feed):
    feed.run(range(50))
    for second in range(50, 80):
        feed.send(second, {"pump1.x": 10.0})
    assert feed.scorer.windows_broken > 10
    before = feed.scorer.windows_scored
    feed.run(range(80, 80 + WINDOW))
    assert feed.scorer.windows_scored == before + 2  # one complete input for each of two devices


def test_a_window_with_nan_is_not_scored(feed):
    feed.run(range(50))
    before = feed.scorer.windows_scored
    feed.send(50, feed.values(50, pump1_x=np.nan))
    assert feed.scorer.windows_scored == before + 1


def test_repeated_and_late_windows_are_ignored(feed):
    feed.run(range(50))
    before = feed.scorer.windows_scored
    assert np.isnan(feed.send(49, feed.values(49)).score).all()
    assert np.isnan(feed.send(20, feed.values(20)).score).all()
    assert feed.scorer.windows_scored == before


def test_windows_of_another_width_are_not_scored_and_counted(feed):
    assert feed.send(5, feed.values(5), width=5 * SECOND) is None
    assert feed.scorer.windows_of_other_width == 6


def test_a_forecast_is_compared_with_the_next_window(tmp_path):
    port = [{"name": "next", "shape": [-1, 3], "dtype": "float32"}]
    feed = Feed(tmp_path, run=last, kind="forecaster", outputs=port)
    for second in range(60):
        feed.send(second, {f"pump1.{c}": 10 + np.random.default_rng(second).normal(0, 0.1) for c in CHANNELS})
    scores = feed.send(60, {"pump1.x": 14.0, "pump1.y": 10.0, "pump1.z": 10.0})
    assert scores.score[0] >= 1.0
    assert scores.expected[0] == pytest.approx(10, abs=0.5)


def test_a_device_that_stays_at_a_new_level_is_calibrated_again(tmp_path):
    feed = Feed(tmp_path, drift=50)
    feed.run(range(60))
    scores = [feed.send(s, feed.values(s, pump1_x=10 + 12.0)).score[0] for s in range(60, 60 + 160)]
    assert scores[20] >= 1.0
    assert feed.scorer.drifts >= 1
    assert scores[-1] < 1.0


def test_levels_survive_a_restart(tmp_path, feed):
    feed.run(range(60))
    again = Feed(tmp_path)
    again.scorer.restore(list(feed.scorer.devices), feed.scorer.levels.state())
    feed.run(range(60, 63))
    again.run(range(60, 63))
    one, two = feed.send(63, feed.values(63)), again.send(63, again.values(63))
    assert np.array_equal(one.score, two.score, equal_nan=True)
    with pytest.raises(ValueError, match="devices"):
        again.scorer.restore(["a"], feed.scorer.levels.state())


def test_another_list_of_series_is_assigned_again(feed):
    feed.run(range(60))
    feed.names = list(reversed(NAMES))
    scores = feed.send(60, feed.values(60, pump2_y=12.0))
    where = list(feed.values(60)).index("pump2.y")
    assert scores.score[where] >= 1.0


def test_channels_can_be_full_series_names(tmp_path):
    names = ["pump1.x", "fan.y", "other"]
    feed = Feed(tmp_path, devices=None, names=names)
    feed.names += ["other"]
    for second in range(60):
        feed.send(second, feed.values(second) | {"other": 10.0})
    assert list(feed.scorer.devices) == [""]
    assert feed.scorer.windows_scored == 59


def test_tails_are_shrunk_less_towards_the_manifest_with_more_windows():
    rng = np.random.default_rng(4)
    defaults = Defaults(np.full(3, 1.0), np.full(3, 0.5), np.full(3, 0.1))
    thresholds = []
    for windows in (40, 400, 4000):
        errors = 0.1 * np.abs(rng.normal(size=(windows, 1, 2)))
        alone, drawn = fit(errors), fit(errors, defaults, overlap=4)
        assert alone.threshold[0, 0] < drawn.threshold[0, 0] < 1.0
        thresholds.append(drawn.threshold[0, 0] / alone.threshold[0, 0])
    assert thresholds[0] > 1.5
    assert thresholds[0] > thresholds[1] > thresholds[2]
    assert thresholds[2] < 1.05


def test_the_levels_of_a_device_that_alarms_too_often_are_raised(feed):
    feed.run(range(60))
    before = feed.send(60, feed.values(60)).reach[:6].copy()
    for second in range(61, 100):
        feed.send(second, feed.values(second, **({"pump1_y": 13.0} if second % 4 == 0 else {})))
    after = feed.send(100, feed.values(100)).reach[:6]
    assert (after[:3] > 1.15 * before[:3]).all()
    assert after[3:] == pytest.approx(before[3:])


def test_the_fitted_level_matches_the_quantile_of_the_errors():
    rng = np.random.default_rng(3)
    errors = np.abs(rng.normal(size=(20_000, 1, 2)))
    tails = fit(errors)
    level = tails.levels(1e-3)[0, 0]
    assert (errors[:, 0, 0] > level).mean() < 1.5e-3
    assert level < 2 * np.quantile(errors[:, 0, 0], 0.999)
    assert error_levels.group_error(errors, tails.threshold[:, :-1]).shape == (20_000, 1)


def test_the_row_of_a_device_without_series_is_reused(tmp_path):
    scorer = GroupScorer(GroupManifest.read(offer(tmp_path)), smooth, CALIBRATION, PROBABILITY, 10_000, 1)
    first, second = ([f"{device}.{channel}" for channel in CHANNELS] for device in ("pump1", "pump2"))
    rng = np.random.default_rng(0)

    def send(names, at):
        return scorer(names, np.arange(3), at * SECOND, SECOND, 10 + rng.normal() + rng.normal(0, 0.05, 3))

    for at in range(CALIBRATION + 5):
        send(first, at)
    assert scorer.devices == {"pump1": 0}
    assert scorer.levels.calibrated.tolist() == [True]
    scores = [send(second, at) for at in range(CALIBRATION + 5, 2 * CALIBRATION + 10)]
    assert scorer.devices == {"pump2": 0}
    assert scores[0] is not None
    assert np.isnan(scores[0].score).all(), "the device is calibrated on its own windows"
    assert np.isfinite(scores[-1].score).all()
    assert len(scorer.levels.seen) == 1
