"""The precision of decoded values is as specified in FORMAT.md."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from wire import codec
from wire.errors import FormatError
from wire.model import Aggregates, Readings, Series
from wire.model_coder.adaptive_model import MEMORIES, Column, GroupStarts, run_model, symbols
from wire.model_coder.distributions import SHAPES, table
from wire.model_coder.parameter_search import search_parameters
from wire.model_coder.prediction import BETWEEN, FRACTION, _weights, residuals, restore
from wire.model_coder.rans import TOTAL, Decoder, encode
from wire.quantization import Form, choose, split
from wire.readings import MODEL_VALUE_WINDOWS


def readings(values: list[float], resolution: float | None) -> np.ndarray:
    n = len(values)
    rows = Readings(
        (Series("a", "", resolution),), np.zeros(n, np.int64), np.arange(n), np.array(values), np.zeros(n, np.uint8)
    )
    back = codec.unpack(codec.pack(rows))
    assert isinstance(back, Readings)
    return back.value


@pytest.mark.parametrize("resolution", [0.1, 0.01, 0.5, 0.0625, 1e-9, 1000.0, 2.5, None])
def test_multiples_of_a_decimal_resolution_are_restored_as_the_same_doubles(resolution: float | None) -> None:
    multiplier, divisor = split(resolution or 0.1)
    values = [k * multiplier / divisor for k in (-70, -3, 0, 1, 2, 3, 7, 11, 213, 999_999)]
    assert readings(values, resolution).tolist() == values


def test_value_close_to_a_multiple_is_the_multiple() -> None:
    assert readings([0.1 + 0.2, 21.3] * 8, 0.1).tolist() == [0.3, 21.3] * 8


def test_values_that_are_not_multiples_of_the_resolution_are_restored_exactly() -> None:
    values = [21.37, 21.4, 21.41, 21.39]
    assert readings(values, 0.5).tolist() == values


def test_a_single_unusual_value_is_restored_exactly() -> None:
    values = [20.0 + k / 10 for k in range(40)]
    values[13] = math.pi
    assert readings(values, 0.1).tolist() == values
    assert choose(np.array(values)).form is Form.BITS


def test_single_precision_values_of_a_decimal_sensor_are_found() -> None:
    values = [float(np.float32(k / 100)) for k in range(2000, 2060)]
    assert choose(np.array(values)).form is Form.SINGLE
    assert readings(values, None).tolist() == values


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -0.0, 2.0**60 + 4096])
def test_values_outside_every_scale_are_restored(value: float) -> None:
    back = readings([20.0, 20.1, value, 20.2], 0.1)
    np.testing.assert_array_equal(back, [20.0, 20.1, value, 20.2])


def test_rounded_rows_are_not_rounded_again_in_other_batches() -> None:
    """The next hop joins and splits batches, so the step found there may be coarser."""

    def one(mean: float, low: float, high: float) -> Aggregates:
        cells = (np.array([x]) for x in (mean, low, high, 0.5, math.nan))
        whole = (np.array([x]) for x in (0, 10_000, 10_000, 10))
        return Aggregates((Series("host.cpu"),), *whole, *cells)

    fine = codec.unpack(codec.pack(Aggregates.concatenate([one(12.3456, 12.25, 12.5), one(13.0, 12.0, 14.0)])))
    assert isinstance(fine, Aggregates)
    alone = codec.unpack(codec.pack(Aggregates.concatenate([fine.take(slice(1, 2)), one(13.0, 12.0, 14.0)])))
    again = codec.unpack(codec.pack(fine.take(slice(0, 1))))
    assert isinstance(again, Aggregates)
    assert isinstance(alone, Aggregates)
    assert again.mean[0] == fine.mean[0]
    assert alone.mean[0] == fine.mean[1]


@pytest.mark.parametrize("window", [0, 1, 2, 7, 63, 66, 72, 80])
def test_residuals_give_the_cells_back_under_every_window(window: int) -> None:
    rng = np.random.default_rng(window)
    cells = np.concatenate((rng.integers(-(2**62), 2**62, 30), np.cumsum(rng.integers(-9, 9, 70)))).astype(np.int64)
    counts = [0, 30, 1, 69]
    left = residuals(cells, counts, [window] * 4)
    np.testing.assert_array_equal(restore(left, counts, [window] * 4), cells)


@pytest.mark.parametrize("skew", [-8, 0, 8])
@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_table_gives_every_distance_and_the_escape_a_slot(shape: int, skew: int) -> None:
    for level in (1, 2, 7, 9, 52, 120):
        for phase in range(8):
            reach, firsts = table(shape, level, phase, skew)
            slots = np.diff(firsts)
            assert len(slots) == 2 * reach + 2
            assert slots.min() >= 1
            assert firsts[0] == 0
            assert firsts[-1] == TOTAL


@pytest.mark.parametrize("memory", range(len(MEMORIES)))
@pytest.mark.parametrize("skew", [-8, 0, 5])
def test_the_model_restores_cells_of_every_size(memory: int, skew: int) -> None:
    rng = np.random.default_rng(3)
    cells = [*rng.integers(-4, 4, 300).tolist(), 2**63 - 1, -(2**63), 0, *(1 << k for k in range(63))]
    offsets = rng.integers(-999, 999, len(cells)).tolist()
    column = Column([150, 0, 150, len(cells) - 300], offsets, [8, 8, 70, BETWEEN + 19], memory)
    choices: tuple[dict[str, Any], ...] = ({}, {"chained": True}, {"wide": True})
    for options in choices:
        followed = run_model(column, GroupStarts([0, 0, 0, 0], **options), cells)
        how = search_parameters(followed)._replace(skew=skew)
        decoder = Decoder(encode(symbols(followed, how)))
        assert run_model(column, GroupStarts([0, 0, 0, 0], **options), (), decoder, how).cells == cells
        decoder.finish()


@pytest.mark.parametrize("cell", [2**63, -(2**63) - 1])
def test_a_decoded_cell_has_at_most_64_bits(cell: int) -> None:
    column = Column([2], None, [1], 0)
    followed = run_model(column, GroupStarts([0]), [0, cell])
    parameters = search_parameters(followed)
    decoder = Decoder(encode(symbols(followed, parameters)))
    with pytest.raises(FormatError, match="more than 64 bits"):
        run_model(column, GroupStarts([0]), (), decoder, parameters)


@pytest.mark.parametrize("window", [window for window in MODEL_VALUE_WINDOWS if window])
def test_the_search_for_a_window_uses_the_predictions_of_the_model(window: int) -> None:
    cells = np.cumsum(np.random.default_rng(1).integers(-50, 50, 60))
    expected = run_model(Column([len(cells)], None, [window], 0), GroupStarts([0]), cells.tolist()).expected
    residuals_of_search = cells @ _weights(window, len(cells))
    np.testing.assert_allclose(residuals_of_search, (cells - np.array(expected) / (1 << FRACTION))[2:], atol=1.0)


@pytest.mark.parametrize("coder", [codec.Coder.NONE, codec.Coder.MODEL])
def test_a_deviation_of_0_between_different_extremes_is_restored(coder: codec.Coder) -> None:
    n = 8
    std = np.array([0.5, 0.0, 0.7, 0.0, 0.0, 0.4, 0.0, 0.6])
    mean = 20.0 + np.arange(n) / 10
    whole = (np.arange(n) * 10_000, np.full(n, 10_000), np.full(n, 10))
    rows = Aggregates(
        (Series("a", "", 0.1),), np.zeros(n, np.int64), *whole, mean, mean - 1, mean + 1, std, np.full(n, np.nan)
    )
    back = codec.unpack(codec.pack(rows, coders=frozenset({coder})))
    assert isinstance(back, Aggregates)
    np.testing.assert_array_equal(back.std == 0, std == 0)
    np.testing.assert_allclose(back.std, std, rtol=0.025)
