"""Anomalies with an onset during the warm-up of their series are withheld completely."""

from __future__ import annotations

import pytest

from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.warmup_filter import WarmupFilter
from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from wire.model import Anomaly, Phase


def report(series: str, phase: Phase) -> Anomaly:
    return Anomaly(series, phase, 1000, 2000, 1.5, "level")


def test_a_series_that_matches_no_glob_is_reported_immediately() -> None:
    assert WarmupFilter({"host.*": 600}).passes(report("pump-1.pressure", Phase.ONSET), watched=12)


def test_an_anomaly_with_an_onset_during_the_warm_up_is_withheld_completely() -> None:
    warmup = WarmupFilter({"host.*": 600})
    assert not warmup.passes(report("host.cpu", Phase.ONSET), watched=599)
    assert not warmup.passes(report("host.cpu", Phase.UPDATE), watched=700)
    assert not warmup.passes(report("host.cpu", Phase.END), watched=701)
    assert warmup.passes(report("host.cpu", Phase.ONSET), watched=702)
    assert warmup.passes(report("host.cpu", Phase.END), watched=710)


def test_the_longest_matching_glob_applies() -> None:
    warmup = WarmupFilter({"host.*": 600, "host.memory*": 0})
    assert warmup.passes(report("host.memory", Phase.ONSET), watched=1)
    assert not warmup.passes(report("host.cpu", Phase.ONSET), watched=1)


def test_an_unreported_series_is_withheld_after_any_time_and_a_longer_glob_reports_it() -> None:
    warmup = WarmupFilter({"host.*": 600}, {"host.*": False, "host.disk": True})
    assert not warmup.passes(report("host.cpu", Phase.ONSET), watched=1_000_000)
    assert not warmup.passes(report("host.cpu", Phase.END), watched=1_000_000)
    assert warmup.passes(report("host.disk", Phase.ONSET), watched=600)
    assert warmup.passes(report("pump-1.pressure", Phase.ONSET), watched=1)


@pytest.mark.parametrize("value", [["host.*"], {"host.*": "maybe"}, {"host.*": 1}])
def test_reported_takes_an_object_from_globs_to_flags_only(value: object) -> None:
    with pytest.raises(ConfigError, match="reported"):
        load(Config, {"reported": value})


def test_reported_takes_flags_as_strings_as_nucleus_lite_gives_them() -> None:
    assert load(Config, {"reported": {"host.*": "True"}}).reported == {"host.*": True}
