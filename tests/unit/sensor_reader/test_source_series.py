"""A series has one origin, moves with its device, and can be replaced when it is silent."""

from __future__ import annotations

import numpy as np
import pytest

from edge_components.sensor_reader.errors import CollisionError, RejectedError
from edge_components.sensor_reader.source_series import LONGEST_SILENCE_S, UNKNOWN_SILENCE_S, Origin, SourceSeries
from wire.model import Series

OLD, NEW = Origin("mqtt", "line1/pump"), Origin("mqtt", "line2/pump")


class Site:
    """A registry that records what it reports."""

    def __init__(self, max_series: int = 10, **traits: tuple[str | None, float | None]) -> None:
        self.registry = SourceSeries(traits, max_series)
        self.forgotten: list[Origin] = []
        self.moved: list[tuple[str, Origin, Origin]] = []
        self.evicted: list[tuple[str, float]] = []
        self.used: set[int] = set()
        self.registry.on_forget = self.forgotten.append
        self.registry.on_move = lambda *move: self.moved.append(move)
        self.registry.on_evict = lambda *eviction: self.evicted.append(eviction)
        self.registry.in_use = lambda: self.used

    def receive(self, name: str, now: float, origin: Origin | None = None) -> int:
        series_id = self.registry.series_id(name, origin or Origin("s", name), now)
        self.registry.note_active(np.array([series_id]), now)
        return series_id

    def reason(self, name: str) -> str:
        with pytest.raises(RejectedError) as caught:
            self.receive(name, 0.0)
        return caught.value.reason


def test_a_second_active_origin_is_a_collision_that_names_both() -> None:
    site = Site()
    for now in range(100):
        site.receive("pump", float(now), OLD)
        with pytest.raises(CollisionError, match=r"line1/pump.*line2/pump") as caught:
            site.receive("pump", now + 0.5, NEW)
        assert caught.value.last_active == now
    assert site.moved == []


def test_a_series_moves_to_a_new_origin_once_the_old_one_is_silent() -> None:
    site = Site()
    for now in range(5):
        series_id = site.receive("pump", float(now), OLD)
    with pytest.raises(CollisionError):
        site.receive("pump", 13.9, NEW)
    assert site.receive("pump", 14.1, NEW) == series_id
    assert (site.moved, site.forgotten) == ([("pump", OLD, NEW)], [OLD])
    with pytest.raises(CollisionError):
        site.receive("pump", 15.0, OLD)


@pytest.mark.parametrize(
    ("active", "needed"),
    [([0.0], UNKNOWN_SILENCE_S), ([0.0, 30.0, 60.0], 90.0), ([0.0, 5_000.0], LONGEST_SILENCE_S)],
)
def test_the_silence_needed_follows_the_usual_gap(active: list[float], needed: float) -> None:
    site = Site()
    for now in active:
        site.receive("pump", now, OLD)
    with pytest.raises(CollisionError):
        site.receive("pump", active[-1] + needed - 1, NEW)
    site.receive("pump", active[-1] + needed + 1, NEW)


def test_a_source_whose_settings_change_releases_its_series() -> None:
    site = Site()
    series_id = site.receive("pump", 0.0, OLD)
    site.receive("other", 0.0, Origin("host", "cpu"))
    site.registry.release("mqtt")
    assert site.receive("pump", 0.1, NEW) == series_id
    assert site.moved == []
    with pytest.raises(CollisionError):
        site.receive("other", 0.1, NEW)


def test_at_the_limit_the_least_recently_active_series_is_replaced() -> None:
    site = Site(3)
    ids = {name: site.receive(name, float(at)) for at, name in enumerate("abc")}
    site.receive("a", 5.0)
    assert site.receive("d", 6.0) == ids["b"]
    assert site.evicted == [("b", 5.0)]
    assert site.forgotten == [Origin("s", "b")]
    assert site.registry[ids["b"]] == Series("d")
    assert len(site.registry) == 3
    assert site.receive("b", 7.0) == ids["c"]


def test_an_id_that_readings_refer_to_is_not_reused() -> None:
    site = Site(2)
    a, b = site.receive("a", 0.0), site.receive("b", 1.0)
    site.used = {a}
    assert site.receive("c", 2.0) == b
    site.used = {a, b}
    assert site.reason("d") == "rejected_series_limit"
    site.registry.make_room = site.used.clear
    assert site.receive("d", 3.0) == a


@pytest.mark.slow
def test_sixteen_thousand_series_and_devices_that_are_replaced_over_years() -> None:
    site = Site(16_384)
    for at in range(40_000):
        site.receive(f"device-{at}", float(at))
    assert len(site.registry) == 16_384
    assert len(site.evicted) == 40_000 - 16_384
    assert site.evicted[-1][0] == f"device-{40_000 - 16_384 - 1}"


def test_names_that_no_series_may_have_are_rejected() -> None:
    site = Site()
    for name in ("", ".x", "a b", "\u00e4", "x" * 129, "a\n"):
        assert site.reason(name) == "rejected_name"


def test_the_longest_glob_that_matches_describes_a_series() -> None:
    registry = SourceSeries({"*": ("x", None), "*.temperature": ("Cel", 0.1), "pump-1.*": (None, 0.5)}, 10)
    registry.series_id("pump-1.temperature", OLD, 0.0)
    registry.series_id("pump-1.level", OLD, 0.0, "m", 0.2)
    registry.series_id("other", OLD, 0.0, "", 0.3)
    assert [registry[series_id] for series_id in range(3)] == [
        Series("pump-1.temperature", "Cel", 0.1),
        Series("pump-1.level", "m", 0.5),
        Series("other", "x", 0.3),
    ]


def test_another_description_reaches_series_that_are_known_and_can_be_taken_back() -> None:
    registry = SourceSeries({}, 10)
    series_id = registry.series_id("a", OLD, 0.0, "m", 1.0)
    registry.describe({"a": ("km", None)}, 1)
    assert registry[series_id] == Series("a", "km", 1.0)
    registry.describe({}, 1)
    assert registry[series_id] == Series("a", "m", 1.0)


def test_a_unit_that_the_origin_changes_is_that_of_the_readings_after_the_change() -> None:
    site, sent = Site(c=("degF", None)), list[str]()
    site.registry.make_room = lambda: sent.append(site.registry[0].unit)
    series_id = site.registry.series_id("t", OLD, 0.0, "Cel")
    assert site.registry.series_id("t", OLD, 1.0, "") == series_id
    assert (site.registry[0].unit, sent) == ("Cel", [])
    assert site.registry.series_id("t", OLD, 2.0, "K") == series_id
    assert (site.registry[0].unit, sent) == ("K", ["Cel"])
    configured = site.registry.series_id("c", NEW, 0.0, "Cel")
    site.registry.series_id("c", NEW, 1.0, "K")
    assert site.registry[configured].unit == "degF"
