"""The last value and percentiles of windows are sent as series of their own, also in revisions and after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_components.aggregator import distributions
from edge_components.aggregator.config import Config
from edge_components.aggregator.config_values import read_statistics
from edge_components.aggregator.distributions import Distributions
from edge_components.aggregator.snapshot import Sent, decode, encode
from edge_components.aggregator.window_types import Shape, WindowSettings
from edge_components.aggregator.windows import Windows
from tests.unit.aggregator.test_backlog import Best, best
from tests.unit.aggregator.test_component import START, Rig, readings
from wire.model import MAX_NAME, is_statistic

NAME = "pump-1.temperature"
RULES = (("pump-*", ("last", "p50", "p90")),)


def values_of(rig: Rig, start: int) -> dict[str, tuple[int, int, float, float, float]]:
    """Return (revision, count, mean, min, max) of the statistics of NAME's window, by name."""
    found: Best = best(rig)
    return {
        name.rpartition(":")[2]: row for (name, begin), row in found.items() if begin == start and is_statistic(name)
    }


def send(rig: Rig, sequence: int, times: list[int], values: list[float], name: str = NAME) -> None:
    rig.offer(sequence, readings([START + time for time in times], values, name))
    rig.tick()
    rig.tick()


def test_statistics_are_rows_of_series_of_their_own(tmp_path: Path) -> None:
    rig = Rig(tmp_path, statistics=RULES)
    times, values = list(range(0, 1000, 100)), [float(value) for value in (5, 3, 9, 1, 7, 2, 8, 4, 10, 6)]
    send(rig, 1, times, values)
    send(rig, 2, [2500], [0.0])
    assert values_of(rig, START) == {
        "last": (0, 10, 6.0, 6.0, 6.0),
        "p50": (0, 10, 5.0, 5.0, 5.0),
        "p90": (0, 10, 9.0, 9.0, 9.0),
    }
    rows = next(iter(rig.batches().values()))
    assert {series.unit for series in rows.series} == {"Cel"}
    assert rig.runtime.counters["readings_aggregated"] == 10
    rig.kill()


def test_the_last_value_is_that_of_the_newest_event_time(tmp_path: Path) -> None:
    rig = Rig(tmp_path, statistics=(("*", ("last",)),))
    send(rig, 1, [100, 900, 300], [1.0, 2.0, 3.0])
    send(rig, 2, [900, 500], [4.0, 5.0])
    send(rig, 3, [2500], [0.0])
    assert values_of(rig, START) == {"last": (0, 5, 4.0, 4.0, 4.0)}
    rig.kill()


@pytest.mark.parametrize("restart", [False, True])
def test_a_late_reading_sends_a_revision_of_the_statistics_also_after_a_restart(tmp_path: Path, restart: bool) -> None:
    rig = Rig(tmp_path, statistics=RULES, allowed_backlog_ms=3_600_000)
    send(rig, 1, [100, 200, 300], [1.0, 2.0, 3.0])
    send(rig, 2, [5_000], [9.0])
    assert values_of(rig, START)["p50"] == (0, 3, 2.0, 2.0, 2.0)
    if restart:
        rig.aggregator.close()  # with a snapshot
        rig.boot()
        rig.kill()  # from the journal after it
        rig.boot()
    send(rig, 3, [400, 50], [8.0, 7.0])
    rig.run_out()
    found = values_of(rig, START)
    assert found["p50"] == (1, 5, 3.0, 3.0, 3.0)
    assert found["p90"] == (1, 5, 8.0, 8.0, 8.0)
    assert found["last"] == (1, 5, 8.0, 8.0, 8.0)
    rig.kill()


def test_open_windows_have_their_statistics_after_a_kill(tmp_path: Path) -> None:
    rig = Rig(tmp_path, statistics=RULES)
    send(rig, 1, [100, 200, 300], [1.0, 2.0, 3.0])
    rig.kill()
    rig.boot()
    send(rig, 2, [400], [4.0])
    send(rig, 3, [2_500], [4.0])
    assert values_of(rig, START)["p90"] == (0, 4, 4.0, 4.0, 4.0)
    rig.kill()


def test_a_window_of_the_backlog_has_statistics(tmp_path: Path) -> None:
    rig = Rig(tmp_path, statistics=RULES, allowed_backlog_ms=3_600_000)
    send(rig, 1, [0], [9.0])
    send(rig, 2, [100 - 60_000, 200 - 60_000, 300 - 60_000], [1.0, 2.0, 3.0])
    rig.run_out()
    assert values_of(rig, START - 60_000)["p50"] == (1, 3, 2.0, 2.0, 2.0)
    rig.kill()


def test_a_window_that_was_open_when_a_statistic_was_configured_has_none(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    send(rig, 1, [100], [1.0])
    rig.aggregator.reconfigure(
        Config(
            **{key: getattr(rig.config, key) for key in ("window_ms", "idle_timeout_ms")}
            | {"statistics": (("*", ("last", "p50")),), "max_age_ms": 10, "commit_ms": 10}
        )
    )
    send(rig, 2, [200, 1_500], [2.0, 3.0])
    send(rig, 3, [4_000], [4.0])
    assert best(rig)[NAME, START][1] == 2
    assert values_of(rig, START) == {}
    assert values_of(rig, START + 1_000)["p50"] == (0, 1, 3.0, 3.0, 3.0)
    rig.kill()


def test_bad_readings_are_in_no_statistic(tmp_path: Path) -> None:
    rig = Rig(tmp_path, statistics=RULES, ranges={"*": (0.0, 10.0)})
    send(rig, 1, [100, 200, 300], [1.0, 2.0, 99.0])
    send(rig, 2, [2_500], [3.0])
    assert values_of(rig, START)["last"] == (0, 2, 2.0, 2.0, 2.0)
    rig.kill()


def test_statistics_of_sliding_windows_are_of_the_whole_window(tmp_path: Path) -> None:
    shapes = (("*", Shape(2_000, 1_000)),)
    rig = Rig(tmp_path, statistics=(("*", ("p50",)),), series_windows=shapes)
    send(rig, 1, [100, 1_100, 1_200], [1.0, 5.0, 6.0])
    send(rig, 2, [4_500], [3.0])
    assert values_of(rig, START)["p50"] == (0, 3, 5.0, 5.0, 5.0)
    rig.kill()


def test_values_of_open_windows_are_converted_to_another_unit_of_the_series() -> None:
    windows = Windows(WindowSettings(width_ms=1_000, lateness_ms=0, statistics=(("*", ("p50", "last")),)))
    windows.statistics.assign(0, NAME)
    add(windows, [100, 200, 300], [1.0, 2.0, 3.0])
    windows.rescale(0, 2.0, 10.0)
    add(windows, [2_000], [0.0])
    windows.close(0.0)
    assert {one.statistic: one.value.tolist() for one in windows.statistics.take_emitted()} == {
        "last": [16.0],
        "p50": [14.0],
    }


def add(windows: Windows, times: list[int], values: list[float]) -> None:
    time_ms = np.array([START + time for time in times], np.int64)
    windows.add(np.zeros(len(times), np.int64), time_ms, np.array(values), START, 0.0)


def test_a_statistic_whose_name_a_sensor_has_or_that_is_too_long_is_not_sent(tmp_path: Path) -> None:
    rig = Rig(tmp_path, statistics=(("*", ("p50",)),))
    long = "x" * (MAX_NAME - 3)
    send(rig, 1, [100], [1.0], f"{NAME}:p50")
    send(rig, 2, [100], [1.0], long)
    send(rig, 3, [100], [2.0])
    send(rig, 4, [2_500], [2.0])
    send(rig, 5, [2_500], [2.0], long)
    assert [name for (name, start) in best(rig) if start == START and is_statistic(name)] == []
    assert rig.runtime.counters["statistics_unnamed"] == 2
    rig.kill()


def test_without_statistics_a_snapshot_is_as_before(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    send(rig, 1, [100, 200], [1.0, 2.0])
    state = rig.aggregator._state
    body = encode(state, Sent())
    assert b"distribution_open_key" not in body
    rig.kill()
    other = Rig(tmp_path / "other")
    decode(body, other.aggregator._state)
    assert len(other.aggregator._state.windows) == 1
    other.kill()


def test_readings_that_can_no_longer_be_corrected_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_components.aggregator.window_statistics._MIN_REMOVED", 10)
    monkeypatch.setattr("edge_components.aggregator.closed_windows.MAX_WINDOWS", 5)
    settings = WindowSettings(width_ms=100, lateness_ms=0, backlog_ms=10**9, statistics=(("*", ("p50", "last")),))
    windows = Windows(settings)
    windows.statistics.assign(0, NAME)
    for number in range(200):
        add(windows, [100 * number, 100 * number + 50], [1.0, 2.0])
        windows.close(0.0)
        windows.close_late(0.0)
    assert len(windows.statistics.late) <= 60


def test_many_different_values_are_rounded_within_the_documented_error() -> None:
    value = np.random.default_rng(1).normal(20.0, 0.5, 50_000)
    found = Distributions()
    for part in np.split(value, 50):
        found.add(np.zeros(len(part), np.int64), part)
    assert len(found.key) <= distributions.MAX_VALUES
    for share in (10, 500, 950, 999):
        quantile, count = found.quantiles(np.zeros(1, np.int64), share)
        assert count[0] == len(value)
        assert quantile[0] == pytest.approx(np.quantile(value, share / 1000, method="inverted_cdf"), rel=2**-13)


def test_windows_have_fewer_values_while_all_of_them_have_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributions, "MAX_ROWS", 2_000)
    chance, found = np.random.default_rng(1), Distributions()
    small = np.array([1.0, 2.0, 3.0])
    found.add(np.full(3, 200), small)
    for window in range(100):
        found.add(np.full(400, window), chance.normal(100.0, 30.0, 400))
    assert len(found.key) <= 2_000 + 100
    assert found.of(np.array([200])).value.tolist() == small.tolist()
    quantile, _count = found.quantiles(np.arange(100), 500)
    assert np.all(np.abs(quantile - 100.0) < 30.0)


@pytest.mark.parametrize(
    "value",
    ["last", {"*": "last"}, {"*": ["median"]}, {"*": ["p0"]}, {"*": ["p100"]}, {"*": ["p50", "p50"]}, {"*": [50]}],
)
def test_invalid_statistics_are_rejected_by_their_key(value: Any) -> None:
    with pytest.raises(ValueError, match="p99_9"):
        read_statistics(value)


def test_statistics_are_read_by_glob() -> None:
    assert read_statistics({"b*": ["p99_9"], "a*": []}) == (("a*", ()), ("b*", ("p99_9",)))


def test_a_series_id_that_is_reused_has_no_statistics_of_its_former_series() -> None:
    settings = WindowSettings(width_ms=1_000, lateness_ms=0, backlog_ms=10**9, statistics=(("*", ("p50", "last")),))
    windows = Windows(settings)
    windows.statistics.assign(0, NAME)
    add(windows, [100, 2_000], [1.0, 2.0])
    windows.finish()
    assert len(windows.statistics.late) > 0
    windows.reset(0)
    assert len(windows.statistics.late) == 0
