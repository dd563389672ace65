"""Series have one id each while they are in use, with the range that the configuration gives them."""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.series_registry import UNKNOWN, Assignment, SeriesRegistry, seed_of
from wire.model import IntArray, Series


def names(*given: str) -> list[Series]:
    return [Series(name) for name in given]


def ids(registry: SeriesRegistry, series: list[Series], busy: tuple[int, ...] = ()) -> list[int]:
    found, _ = registry.resolve(series, lambda: np.array(busy, np.int64))
    registry.touch(found[found != UNKNOWN])
    return found.tolist()


def nothing() -> IntArray:
    return np.zeros(0, np.int64)


def test_a_series_keeps_its_id_and_its_newest_description() -> None:
    registry = SeriesRegistry({}, 10)
    assert ids(registry, names("a", "b")) == [0, 1]
    assert ids(registry, [Series("c"), Series("a", "Cel", 0.1)]) == [2, 0]
    assert registry.series(np.array([0, 1])) == (Series("a", "Cel", 0.1), Series("b"))


def test_a_name_twice_in_a_batch_is_one_series() -> None:
    assert ids(SeriesRegistry({}, 10), names("a", "b", "a")) == [0, 1, 0]


def test_assignments_distinguish_new_changed_and_replaced_series() -> None:
    registry = SeriesRegistry({}, 1)
    assert registry.resolve(names("a"), nothing)[1] == [Assignment(0, Series("a"), replaced=False)]
    assert registry.resolve(names("a"), nothing)[1] == []
    assert registry.resolve([Series("a", "Cel")], nothing)[1] == [Assignment(0, Series("a", "Cel"), replaced=False)]
    assert registry.resolve(names("b"), nothing)[1] == [Assignment(0, Series("b"), replaced=True)]


def test_at_the_limit_the_least_recently_received_series_is_replaced() -> None:
    registry = SeriesRegistry({}, 3)
    ids(registry, names("a", "b", "c"))
    ids(registry, names("a"))
    ids(registry, names("c"))
    assert ids(registry, names("d")) == [1]
    assert ids(registry, names("e")) == [0]
    assert [series.name for series in registry.all()] == ["e", "d", "c"]
    assert ids(registry, names("a")) == [2]


def test_a_series_with_an_open_window_or_in_the_same_batch_makes_no_room() -> None:
    registry = SeriesRegistry({}, 3)
    ids(registry, names("a", "b", "c"))
    assert ids(registry, names("d", "b"), busy=(0,)) == [2, 1]
    assert ids(registry, names("e", "b", "d"), busy=(0,)) == [UNKNOWN, 1, 2]
    registry.configure({}, 4)
    assert ids(registry, names("e"), busy=(0, 1, 2)) == [3]


def test_all_series_up_to_the_limit_can_be_replaced() -> None:
    registry = SeriesRegistry({}, 16_384)
    assert ids(registry, names(*(f"old-{n}" for n in range(16_384)))) == list(range(16_384))
    assert sorted(ids(registry, names(*(f"new-{n}" for n in range(16_384))))) == list(range(16_384))
    assert len(registry) == 16_384
    assert registry.seed[5] == seed_of(registry.all()[5].name)


def test_the_longest_matching_glob_gives_the_range() -> None:
    registry = SeriesRegistry({"*": (-1e3, 1e3), "*.temperature": (-40.0, 125.0)}, 10)
    ids(registry, names("x.temperature", "x.level"))
    assert (registry.low.tolist(), registry.high.tolist()) == ([-40.0, -1e3], [125.0, 1e3])
    registry.configure({"*.level": (0.0, 5.0)}, 10)
    ids(registry, names("new"))
    assert (registry.low.tolist(), registry.high.tolist()) == ([-np.inf, 0.0, -np.inf], [np.inf, 5.0, np.inf])


def test_a_snapshot_keeps_ids_keys_and_the_order_of_reception() -> None:
    registry, restored = SeriesRegistry({}, 3), SeriesRegistry({}, 3)
    ids(registry, names("a", "b", "c"))
    ids(registry, names("a"))
    registry.assign(2, Series("old"), seed=2)
    restored.restore(registry.all(), {name: array.copy() for name, array in registry.state().items()})
    assert restored.seed.tolist() == [seed_of("a"), seed_of("b"), 2]
    assert ids(restored, names("new")) == [1]
