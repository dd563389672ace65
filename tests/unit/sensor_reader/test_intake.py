"""Readings become columns under a directory of series that has no doubles and a limit."""

from __future__ import annotations

import pytest

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.intake import Directory, Intake
from wire.model import Quality, Series


def reason(directory: Directory, name: str, origin: str = "t") -> str:
    with pytest.raises(RejectedError) as caught:
        directory.place(name, origin)
    return caught.value.reason


def test_what_is_taken_is_what_was_added_with_only_the_series_it_needs() -> None:
    directory = Directory({}, 10)
    intake = Intake(directory)
    a, b, c = (directory.place(name, name, "Cel", 0.5) for name in "abc")
    intake.add(c, 5, 1.5)
    intake.add(a, 4, -2.0, Quality.BAD)
    intake.add(c, 6, 1.0)
    readings = intake.held()
    assert readings.series == (Series("a", "Cel", 0.5), Series("c", "Cel", 0.5))
    assert [readings.series[at].name for at in readings.series_index] == ["c", "a", "c"]
    assert readings.time_ms.tolist() == [5, 4, 6]
    assert readings.value.tolist() == [1.5, -2.0, 1.0]
    assert readings.quality.tolist() == [0, 2, 0]
    needed = intake.directory_bytes
    intake.forget(2)
    assert intake.held().value.tolist() == [1.0]
    assert 0 < intake.directory_bytes < needed
    intake.forget(1)
    assert (len(intake), intake.directory_bytes, len(intake.held())) == (0, 0, 0)
    assert b == 1


def test_a_name_has_one_origin_and_one_place() -> None:
    directory = Directory({}, 10)
    assert directory.place("a.b.c", "sensors/a.b/c") == directory.place("a.b.c", "sensors/a.b/c")
    assert reason(directory, "a.b.c", "sensors/a/b.c") == "rejected_collision"


def test_names_that_no_series_may_have_and_one_too_many_are_rejected() -> None:
    directory = Directory({}, 2)
    for name in ("", ".x", "a b", "ä", "x" * 129, "a\n"):
        assert reason(directory, name) == "rejected_name"
    directory.place("a", "a")
    directory.place("b", "b")
    assert reason(directory, "c") == "rejected_series_limit"
    assert directory.place("a", "a") == 0


def test_the_longest_glob_that_matches_describes_a_series() -> None:
    directory = Directory({"*": ("x", None), "*.temperature": ("Cel", 0.1), "pump-1.*": (None, 0.5)}, 10)
    directory.place("pump-1.temperature", "1")
    directory.place("pump-1.level", "2", "m", 0.2)
    directory.place("other", "3", "", 0.3)
    described = [directory[place] for place in range(3)]
    assert described == [
        Series("pump-1.temperature", "Cel", 0.1),
        Series("pump-1.level", "m", 0.5),
        Series("other", "x", 0.3),
    ]


def test_another_description_reaches_series_that_are_known_and_goes_again() -> None:
    directory = Directory({}, 10)
    place = directory.place("a", "a", "m", 1.0)
    directory.describe({"a": ("km", None)}, 1)
    assert directory[place] == Series("a", "km", 1.0)
    directory.describe({}, 1)
    assert directory[place] == Series("a", "m", 1.0)
    assert reason(directory, "b") == "rejected_series_limit"
