"""An expert that is added to the list scores, is reported, and leaves the saved state of the others readable."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_components import anomaly_detector
from edge_components.anomaly_detector.columns import Columns, FloatArray, column, saved_fields
from edge_components.anomaly_detector.reports import HISTORY, report
from edge_components.anomaly_detector.univariate import ensemble_state
from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.expert_set import ExpertSet
from edge_components.anomaly_detector.univariate.experts import EXPERTS
from edge_components.anomaly_detector.univariate.experts.base import Expert, Observed
from edge_components.anomaly_detector.univariate.experts.level import Level
from edge_components.anomaly_detector.univariate.experts.stuck import Stuck
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows
from wire.model import Phase, Series

SETTINGS = Settings(calibration=30)


@dataclass(slots=True)
class RangeState(Columns):
    """A slow mean of the range."""

    usual: FloatArray = column("experts.range.usual", np.nan)


class Range(Expert[RangeState]):
    """Excess of the range between minimum and maximum over its slow mean."""

    name = cause = "range"
    statistics = ("range",)
    floors = (0.1,)
    observed = Observed.EXTREME
    direction = "wider"
    lookback = 25

    def new_state(self, n):
        """Return the state of ``n`` new series."""
        return RangeState.empty(n)

    def update(self, state, window, statistic, expected):
        """Compare the window's range with the slow mean."""
        width = window.high - window.low
        state.usual = np.where(np.isnan(state.usual), width, state.usual + 0.05 * (width - state.usual))
        expected[:, 0] = window.history[:, -25:].mean(axis=1)
        statistic[:, 0] = window.from_age(10, np.abs(width - state.usual))


def windows(at, wide=False):
    mean = 10 + np.random.default_rng(at).normal(0, 0.1, 3)
    reach = np.array([4.0, 0.1, 0.1]) if wide else np.full(3, 0.1)
    return Windows(mean, mean - reach, mean + reach, np.full(3, 0.05), np.full(3, 5.0), np.full(3, float(at)))


def run(ensemble, seconds):
    return [ensemble.step(np.arange(3), 1000 * (at + 1), 1000, windows(at)).score for at in seconds]


def made(experts=EXPERTS):
    ensemble = Ensemble(SETTINGS, experts=experts)
    ensemble.add_series([None] * 3)
    return ensemble


@pytest.mark.parametrize("experts", [(*EXPERTS, Range), (Range, *EXPERTS)])
def test_an_added_expert_scores_and_is_named_in_the_report(experts):
    ensemble = made(experts)
    run(ensemble, range(60))
    step = ensemble.step(np.arange(3), 61_000, 1000, windows(60, wide=True))
    assert step.causes[0, ensemble.experts.index("range")] >= 1.0
    assert step.causes[1, ensemble.experts.index("range")] < 1.0
    (change,) = step.changes
    history = ensemble.last_means(0, HISTORY)
    found = report(step, change, ensemble.tracks, ensemble.experts, Series("a.x"), 1000, history)
    assert found.phase is Phase.ONSET
    assert found.causes["range"] >= 1.0


def test_every_expert_of_the_list_has_statistics_floors_and_storage_names_of_its_own():
    experts = ExpertSet(SETTINGS)
    names = [name for state in (made().series, *experts.new_states(1)) for name in saved_fields(state).values()]
    assert len(names) == len(set(names))
    for expert in experts.experts:
        assert len(expert.floors) == (0 if expert.own_limit else len(expert.statistics))


def test_the_cause_of_every_expert_of_the_list_is_in_the_readme():
    readme = (Path(anomaly_detector.__path__[0]) / "README.md").read_text()
    assert [expert.cause for expert in EXPERTS if f"\n| `{expert.cause}` |" not in readme] == []


@pytest.mark.parametrize("experts", [(*EXPERTS, Range), (Range, *EXPERTS)])
def test_a_new_expert_is_fitted_from_the_saved_windows_and_the_others_keep_their_state(experts):
    before = made()
    run(before, range(55))
    after = Ensemble(SETTINGS, experts=experts)
    after.restore(before.state())
    state, old = after.state(), before.state()
    for name, array in old.items():
        if not name.startswith("records.") and name not in (ensemble_state.LIST, "tracks.cause"):
            np.testing.assert_array_equal(state[name], array, err_msg=name)
    known = [after.experts.index(name) for name in before.experts.names[: before.experts.scaled]]
    np.testing.assert_array_equal(after.records.maxima[:, known], before.records.maxima)
    assert (after.records.maxima[:, after.experts.index("range")] > 0).any()
    scores = run(after, range(55, 60))
    assert np.isfinite(scores).all()
    assert np.max(scores) < 1.0
    assert after.step(np.arange(3), 61_000, 1000, windows(60, wide=True)).score[0] >= 1.0


def test_an_anomaly_keeps_its_cause_when_the_order_of_the_experts_changes():
    before = made()
    run(before, range(55))
    before.tracks.cause[:] = before.experts.index("noise")
    after = Ensemble(SETTINGS, experts=(Range, *EXPERTS))
    after.restore(before.state())
    assert [after.experts.names[cause] for cause in after.tracks.cause] == ["noise"] * 3


def test_a_removed_expert_is_left_out_and_the_others_keep_their_state():
    before = made((*EXPERTS, Range))
    run(before, range(55))
    after = Ensemble(SETTINGS)
    after.restore(before.state())
    np.testing.assert_array_equal(after.records.second, before.records.second[:, : after.experts.scaled])
    assert np.isfinite(run(after, range(55, 58))).all()


class Level2(Level):
    """The expert with state of a second version."""

    version = 2


def test_an_expert_whose_state_is_of_another_version_is_fitted_and_the_others_keep_theirs():
    before = made()
    run(before, range(55))
    old = before.state()
    old["experts.level"] = np.full(3, 1e6)
    after = Ensemble(SETTINGS, experts=(Level2, *EXPERTS[1:]))
    after.restore(old)
    assert np.abs(after.state()["experts.level"]).max() < 10
    np.testing.assert_array_equal(after.state()["experts.roughness"], old["experts.roughness"])
    assert np.max(run(after, range(55, 60))) < 1.0


@pytest.mark.parametrize("damage", ["missing", "type", "shape", "list"])
def test_shared_state_that_does_not_fit_is_rejected_with_its_name(damage):
    before = made()
    run(before, range(40))
    state = before.state()
    name = ensemble_state.LIST if damage == "list" else "records.windows"
    if damage == "missing":
        del state[name]
    else:
        state[name] = {"type": state[name].astype(np.float32), "shape": state[name][:2], "list": state["floor"]}[damage]
    with pytest.raises(ValueError, match=name):
        Ensemble(SETTINGS).restore(state)


def test_experts_with_equal_names_are_rejected():
    with pytest.raises(ValueError, match="stuck"):
        ExpertSet(SETTINGS, (*EXPERTS, Stuck))


def test_a_lookback_beyond_the_calibration_is_rejected():
    with pytest.raises(ValueError, match="lookback 25: at most the calibration's 20 windows"):
        ExpertSet(Settings(calibration=20), (*EXPERTS, Range))
