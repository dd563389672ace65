"""A series with periods of rest is decoded exactly, also if a window in or beside such a period differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from wire import codec, container
from wire.codec import Coder
from wire.column_writer import Writer
from wire.columns import Id
from wire.errors import FormatError
from wire.model import Aggregates, IntArray, Readings, Series
from wire.rows import Layout, _resting, write_rest

N, PERIOD, AT_REST = 120, 24, 14


def resting() -> np.ndarray:
    """Return the mask of the rows at rest: the first ones of each period."""
    return np.arange(N) % PERIOD < AT_REST


def aggregates() -> Aggregates:
    rng = np.random.default_rng(3)
    mean = np.where(resting(), 0.0, np.round(50 + rng.normal(0, 0.3, N), 2))
    spread = np.where(resting(), 0.0, np.round(1 + rng.random(N), 1))
    columns = (mean, np.floor((mean - spread) * 10) / 10, np.ceil((mean + spread) * 10) / 10, spread / 2)
    full, index = np.full(N, 1_000), np.zeros(N, np.int64)
    series, start = (Series("pump.power", "kW", 0.1),), 1_750_000_000_000 + 1_000 * np.arange(N)
    return Aggregates(series, index, start, full, full // 100, *columns, np.full(N, np.nan))


def readings() -> Readings:
    rng = np.random.default_rng(4)
    value = np.where(resting(), 0.0, np.round(500 + rng.normal(0, 3, N)) / 10)
    series, time = (Series("pump.power", "kW", 0.1),), 1_750_000_000_000 + 1_000 * np.arange(N)
    return Readings(series, np.zeros(N, np.int64), time, value, np.zeros(N, np.uint8))


def packed(rows: Aggregates | Readings, coder: Coder) -> tuple[bytes, bool]:
    """Return the rows encoded by one coder, and whether the batch distinguishes rows at rest."""
    data = codec.pack(rows, coders=frozenset({coder}))
    return data, Id.REST in codec.open_rows(container.unpack(data)).reader.entries


@pytest.mark.parametrize("coder", Coder)
def test_readings_of_a_series_at_rest_by_turns_are_exact(coder: Coder) -> None:
    rows = readings()
    data, at_rest = packed(rows, coder)
    assert at_rest is (coder is Coder.MODEL)
    back = codec.unpack(data)
    assert isinstance(back, Readings)
    assert back.value.tolist() == rows.value.tolist()


def test_values_at_rest_take_almost_no_bytes() -> None:
    rows = readings()
    scattered = replace(rows, value=rows.value[np.random.default_rng(5).permutation(N)])
    assert len(packed(rows, Coder.MODEL)[0]) < len(packed(scattered, Coder.MODEL)[0]) - 20


def changed(rows: Aggregates, at: int, **values: float) -> Aggregates:
    """Return the rows with other values in one of them."""
    columns = {name: getattr(rows, name).copy() for name in values}
    for name, value in values.items():
        columns[name][at] = value
    return replace(rows, **columns)


EMPTY = dict.fromkeys(("mean", "min", "max", "std"), np.nan) | {"count": 0}


@pytest.mark.parametrize(
    ("at", "values"),
    [
        pytest.param(PERIOD + 6, {"min": -3.0, "std": 0.3}, id="dip"),
        pytest.param(PERIOD + 6, {"max": 3.0, "std": 0.3}, id="peak"),
        pytest.param(PERIOD + 6, {"min": -3.0, "max": 3.0, "std": 1.0}, id="both"),
        pytest.param(PERIOD + 6, {"mean": 0.02, "max": 0.1, "std": 0.04}, id="rise of the mean below a step"),
        pytest.param(PERIOD + 6, {"std": 0.5}, id="impossible deviation"),
        pytest.param(PERIOD + 6, EMPTY, id="empty window"),
        pytest.param(PERIOD, EMPTY, id="empty window at the beginning of a rest"),
        pytest.param(0, EMPTY, id="empty window at the beginning"),
        pytest.param(PERIOD + AT_REST - 1, {"min": -3.0, "std": 0.3}, id="dip at the end of a rest"),
    ],
)
@pytest.mark.parametrize("coder", Coder)
def test_an_exception_in_a_rest_is_decoded(coder: Coder, at: int, values: dict[str, float]) -> None:
    rows = changed(aggregates(), at, **values)
    data, at_rest = packed(rows, coder)
    assert at_rest is (coder is Coder.MODEL)
    back = codec.unpack(data)
    assert isinstance(back, Aggregates)
    assert back.count.tolist() == rows.count.tolist()
    for name in ("min", "max"):
        np.testing.assert_array_equal(getattr(back, name), getattr(rows, name), name)
    np.testing.assert_allclose(back.mean, rows.mean, rtol=0, atol=0.005001)
    np.testing.assert_allclose(back.std, rows.std, rtol=0.023)


def test_a_rest_that_includes_a_row_without_readings_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(cells: IntArray, still: npt.NDArray[np.bool_], layout: Layout, writer: Writer) -> npt.NDArray[np.bool_]:
        return write_rest(cells, still | (cells == 0), layout, writer)

    monkeypatch.setattr("wire.aggregates.write_rest", write)
    data = codec.pack(changed(aggregates(), PERIOD + 6, **EMPTY), coders=frozenset({Coder.MODEL}))
    with pytest.raises(FormatError, match="row without readings"):
        codec.unpack(data)


@pytest.mark.parametrize(("jump", "rests"), [(44, False), (45, True)])
def test_a_series_is_at_rest_only_if_it_gets_there_by_a_jump_of_more_than_four_usual_steps(
    jump: int, rests: bool
) -> None:
    """The usual step is 10, so that the jump must exceed 4 * (10 + 1)."""
    cells = np.array([0] * 8 + [jump, jump + 10] * 3 + [jump] + [0] * 8)
    assert _resting(cells, cells == 0).tolist() == [rests and cell == 0 for cell in cells.tolist()]
