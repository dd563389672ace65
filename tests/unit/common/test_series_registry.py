"""Each series has one id while it is in use; at the limit the one received least recently is replaced."""

from __future__ import annotations

import numpy as np
import pytest

from edge_components.common.series_registry import UNKNOWN, Assignment, SeriesRegistry, extended
from wire.model import IntArray, Series


def names(*given: str) -> list[Series]:
    return [Series(name) for name in given]


class Clocked(SeriesRegistry):
    """A registry in which each batch of series is received one unit of time after the previous one."""

    def receive(self, series: list[Series], busy: tuple[int, ...] = ()) -> list[int]:
        found, _ = self.resolve(series, lambda: np.array(busy, np.int64))
        self.touch(found[found != UNKNOWN], self.received.max(initial=0.0) + 1)
        return found.tolist()


def nothing() -> IntArray:
    return np.zeros(0, np.int64)


def test_a_series_keeps_its_id_and_its_newest_description() -> None:
    registry = Clocked(10)
    assert registry.receive(names("a", "b")) == [0, 1]
    assert registry.receive([Series("c"), Series("a", "Cel", 0.1)]) == [2, 0]
    assert registry.series(np.array([0, 1])) == (Series("a", "Cel", 0.1), Series("b"))
    assert (registry.find("b"), registry.find("d")) == (1, UNKNOWN)


def test_a_name_twice_in_a_batch_is_one_series() -> None:
    assert Clocked(2).receive(names("a", "b", "a")) == [0, 1, 0]
    assert Clocked(1).receive(names("a", "b", "b", "a")) == [0, UNKNOWN, UNKNOWN, 0]


def test_assignments_name_what_is_new_what_changed_and_what_was_replaced() -> None:
    registry = SeriesRegistry(1)
    assert registry.resolve(names("a"), nothing)[1] == [Assignment(0, Series("a"))]
    assert registry.resolve(names("a"), nothing)[1] == []
    assert registry.resolve([Series("a", "Cel")], nothing)[1] == [Assignment(0, Series("a", "Cel"))]
    assert registry.resolve(names("b"), nothing)[1] == [Assignment(0, Series("b"), replaced=Series("a", "Cel"))]
    assert registry.find("a") == UNKNOWN


@pytest.mark.parametrize("together", [False, True])
def test_at_the_limit_the_series_received_least_recently_makes_room(together: bool) -> None:
    registry = Clocked(3)
    for name in ("a", "b", "c", "a", "c"):
        registry.receive(names(name))
    if together:
        assert registry.receive(names("d", "e")) == [1, 0]
    else:
        assert registry.receive(names("d")) == [1]
        assert registry.receive(names("e")) == [0]
    assert [series.name for series in registry.all()] == ["e", "d", "c"]
    assert registry.receive(names("a")) == [2]


def test_an_earlier_time_of_reception_does_not_replace_a_later_one() -> None:
    registry = SeriesRegistry(2)
    registry.resolve(names("a", "b"), nothing)
    registry.touch(np.array([0, 1]), np.array([5.0, 4.0]))
    registry.touch(np.array([0]), 3.0)
    assert registry.received.tolist() == [5.0, 4.0]
    assert registry.resolve(names("c"), nothing)[0].tolist() == [1]


def test_a_busy_series_and_one_of_the_same_batch_make_no_room() -> None:
    registry = Clocked(3)
    registry.receive(names("a", "b", "c"))
    assert registry.receive(names("d", "b"), busy=(0,)) == [2, 1]
    assert registry.receive(names("e", "b", "d"), busy=(0,)) == [UNKNOWN, 1, 2]
    assert registry.receive(names("e", "f"), busy=(0, 1, 2)) == [UNKNOWN, UNKNOWN]
    registry.max_series = 4
    assert registry.receive(names("e"), busy=(0, 1, 2)) == [3]


def test_a_lower_limit_takes_no_series_its_id_and_new_series_replace_others() -> None:
    registry = Clocked(3)
    registry.receive(names("a", "b", "c"))
    registry.max_series = 1
    assert registry.receive(names("b", "d")) == [1, 0]
    assert len(registry) == 3


@pytest.mark.slow
def test_the_full_limit_of_series_comes_and_goes() -> None:
    registry = Clocked(16_384)
    assert registry.receive(names(*(f"old-{n}" for n in range(16_384)))) == list(range(16_384))
    assert sorted(registry.receive(names(*(f"new-{n}" for n in range(16_384))))) == list(range(16_384))
    assert len(registry) == 16_384


def test_columns_keep_their_values_and_type_when_they_grow() -> None:
    column = extended(np.array([3], np.uint64), 1_000)
    assert len(column) >= 1_000
    assert column.dtype == np.uint64
    assert column[:2].tolist() == [3, 0]
