"""Series have one place each, with the range that the configuration gives them."""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.directory import UNPLACED, Directory
from wire.model import Series


def names(*given: str) -> list[Series]:
    return [Series(name) for name in given]


def test_a_series_keeps_its_place_and_its_newest_description() -> None:
    directory = Directory({}, 10)
    assert directory.places(names("a", "b")).tolist() == [0, 1]
    assert directory.places([Series("c"), Series("a", "Cel", 0.1)]).tolist() == [2, 0]
    assert directory.series(np.array([0, 1])) == (Series("a", "Cel", 0.1), Series("b"))


def test_one_too_many_has_no_place_and_the_others_have() -> None:
    directory = Directory({}, 2)
    assert directory.places(names("a", "b", "c", "a")).tolist() == [0, 1, UNPLACED, 0]
    directory.describe({}, 3)
    assert directory.places(names("c")).tolist() == [2]


def test_the_longest_glob_that_matches_gives_the_range() -> None:
    directory = Directory({"*": (-1e3, 1e3), "*.temperature": (-40.0, 125.0)}, 10)
    directory.places(names("x.temperature", "x.level"))
    assert (directory.low.tolist(), directory.high.tolist()) == ([-40.0, -1e3], [125.0, 1e3])
    directory.describe({"*.level": (0.0, 5.0)}, 10)
    directory.places(names("new"))
    assert (directory.low.tolist(), directory.high.tolist()) == ([-np.inf, 0.0, -np.inf], [np.inf, 5.0, np.inf])
