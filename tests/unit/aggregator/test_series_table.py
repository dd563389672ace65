"""Each series has the range that the configuration gives it, and a key that does not depend on its id."""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.series_table import SeriesTable, seed_of
from edge_components.common.series_registry import UNKNOWN
from wire.model import Series


def names(*given: str) -> list[Series]:
    return [Series(name) for name in given]


def ids(table: SeriesTable, series: list[Series], *busy: int) -> list[int]:
    found, _ = table.resolve(series, lambda: np.array(busy, np.int64))
    table.received_now(found[found != UNKNOWN])
    return found.tolist()


def test_a_series_in_the_place_of_another_one_has_its_own_key() -> None:
    table = SeriesTable({}, 2)
    ids(table, names("a", "b"))
    assert ids(table, names("c")) == [0]
    assert table.seed.tolist() == [seed_of("c"), seed_of("b")]


def test_the_longest_matching_glob_gives_the_range() -> None:
    table = SeriesTable({"*": (-1e3, 1e3), "*.temperature": (-40.0, 125.0)}, 10)
    ids(table, names("x.temperature", "x.level"))
    assert (table.low.tolist(), table.high.tolist()) == ([-40.0, -1e3], [125.0, 1e3])
    table.configure({"*.level": (0.0, 5.0)}, 10)
    ids(table, names("new"))
    assert (table.low.tolist(), table.high.tolist()) == ([-np.inf, 0.0, -np.inf], [np.inf, 5.0, np.inf])


def test_a_snapshot_keeps_ids_keys_and_the_order_of_reception() -> None:
    table, restored = SeriesTable({}, 3), SeriesTable({}, 3)
    ids(table, names("a", "b", "c"))
    ids(table, names("a"))
    table.assign(2, Series("old"))
    table.seed[2] = 2  # a key that another version has computed
    restored.restore(table.all(), {name: array.copy() for name, array in table.state().items()})
    assert restored.seed.tolist() == [seed_of("a"), seed_of("b"), 2]
    assert ids(restored, names("new")) == [1]
