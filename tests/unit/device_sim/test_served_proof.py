"""Tests of the proof for polled and sampled devices: each reading served is stored once, with its value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from device_sim.demo.proof import CountProof
from device_sim.demo.served_proof import compare_served
from device_sim.simulation.ledger import ServedReadings
from device_sim.simulation.service_log import ServiceLog
from wire.model import Aggregates, Series

SERIES = Series("pump-3.current", "A", 0.01)
VALUES = np.array([10.0, 10.5, 11.0, 12.0, 11.5])
TIMES = np.array([100, 600, 900, 1100, 1900])


def _served(*, stamped: bool = False, bad: tuple[int, ...] = ()) -> ServedReadings:
    return ServedReadings(SERIES, TIMES, VALUES, np.isin(np.arange(5), bad), stamped)


def _stored() -> Aggregates:
    """Return two windows: the first three readings, and the last two; and a window of another series."""
    ints = lambda *values: np.array(values, np.int64)  # noqa: E731
    return Aggregates(
        (Series("host.cpu"), SERIES),
        ints(1, 0, 1),
        ints(1000, 0, 0),
        ints(1000, 1000, 1000),
        ints(2, 7, 3),
        np.array([11.75, 5.0, 10.5]),
        np.array([11.5, 5.0, 10.0]),
        np.array([12.0, 5.0, 11.0]),
        np.zeros(3),
        np.full(3, np.nan),
    )


@pytest.mark.parametrize("stamped", [False, True])
def test_windows_that_hold_what_was_served_in_its_order_prove_it(stamped: bool) -> None:
    proof = compare_served([_served(stamped=stamped)], _stored())
    assert proof == CountProof(5, 5, 0, 0, 0)
    assert proof.holds


def test_a_polled_reading_may_arrive_in_a_later_window_and_a_stamped_one_may_not() -> None:
    stored = replace(_stored(), count=np.array([3, 7, 2]), mean=np.array([34.5 / 3, 5.0, 10.25]))
    stored = replace(stored, min=np.array([11.0, 5.0, 10.0]), max=np.array([12.0, 5.0, 10.5]))
    assert compare_served([_served()], stored).holds
    proof = compare_served([_served(stamped=True)], stored)
    assert (proof.different, proof.holds) == (1, False)


def test_a_reading_in_a_window_that_ended_before_it_was_served_is_wrong() -> None:
    late = replace(_served(), time_ms=TIMES + np.array([0, 0, 100, 0, 0]))
    assert compare_served([late], _stored()).different == 1


@pytest.mark.parametrize(("column", "off"), [("mean", 0.01), ("min", -0.01), ("max", 0.01)])
def test_a_window_with_another_value_is_wrong_and_named(column: str, off: float) -> None:
    stored = _stored()
    changed = getattr(stored, column) + np.array([0.0, 0.0, off])
    proof = compare_served([_served()], replace(stored, **{column: changed}))
    assert (proof.missing, proof.different, proof.holds) == (0, 1, False)
    assert proof.examples[0].startswith("pump-3.current at 0: count 3")


@pytest.mark.parametrize(("count", "over", "under"), [(4, 1, 0), (2, 0, 1)])
def test_more_or_fewer_readings_than_served_are_no_proof(count: int, over: int, under: int) -> None:
    proof = compare_served([_served()], replace(_stored(), count=np.array([2, 7, count])))
    assert (proof.missing, proof.windows_over, proof.windows_under) == (3 - count, over, under)
    assert not proof.holds
    assert "pump-3.current: served 5" in proof.examples[0]


def test_nothing_stored_is_everything_missing() -> None:
    proof = compare_served([_served()], _stored().take(np.array([1])))
    assert (proof.missing, proof.holds) == (5, False)


def test_readings_of_bad_quality_are_counted_apart_and_have_no_value() -> None:
    served = _served(bad=(4,))
    stored = replace(_stored(), count=np.array([1, 7, 3]), bad=np.array([1, 0, 0]))
    stored = replace(stored, mean=np.array([12.0, 5.0, 10.5]), min=np.array([12.0, 5.0, 10.0]))
    assert compare_served([served], stored).holds
    assert not compare_served([_served()], stored).holds
    assert not compare_served([served], _stored()).holds


def test_proofs_of_several_devices_add_up() -> None:
    total = CountProof(10, 9, 1, 0, 1, ("x",)) + CountProof(5, 5, 0, 0, 0, (), 1)
    assert total == CountProof(15, 14, 1, 0, 1, ("x",), 1)
    assert total.missing == 0
    assert not total.holds


def test_the_log_holds_a_reading_that_is_served_again_with_its_time_once() -> None:
    log = ServiceLog([SERIES], stamped=True)
    for time_ms, value in ((100, 1.0), (300, 1.0), (300, 1.0)):
        log.record(0, time_ms, value)
    assert len(log) == 2


def test_the_log_holds_every_poll_until_it_is_closed() -> None:
    log = ServiceLog([SERIES], stamped=False)
    for time_ms, value in ((100, 1.0), (100, 1.0)):
        log.record(0, time_ms, value)
    log.record(0, 200, 1.0, bad=True)
    log.close()
    log.record(0, 300, 2.0)
    [readings] = log.readings()
    assert len(log) == 3
    assert (readings.time_ms.tolist(), readings.bad.tolist()) == ([100, 100, 200], [False, False, True])
