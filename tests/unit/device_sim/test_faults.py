"""Tests of the simulated faults: each has the effect of its label."""

from __future__ import annotations

import numpy as np
import pytest

from device_sim.errors import PlantError
from device_sim.simulation.faults import Fault, FaultKind, readings, schedule
from device_sim.simulation.signals import Plant, Pump, demo_plant

TICKS = np.arange(450)


def _row(plant: Plant, fault: Fault) -> int:
    return [series.name for series in plant.series].index(fault.series)


def test_a_drift_grows_from_nothing_to_its_magnitude() -> None:
    plant, fault = demo_plant(1), Fault("pump-1.pressure", FaultKind.DRIFT, 20_000, 60_000, 500.0)
    row = _row(plant, fault)
    added = readings(plant, (fault,), TICKS)[row] - readings(plant, (), TICKS)[row]
    np.testing.assert_allclose(added[[100, 200, 299, 300]], [0.0, 250.0, 497.5, 0.0], atol=1.0)


def test_noise_grows_by_its_magnitude_and_does_not_follow_the_noise_that_is_there() -> None:
    plant, fault = demo_plant(1), Fault("meter-1.power", FaultKind.NOISE, 0, 90_000, 1000.0)
    row = _row(plant, fault)
    added = readings(plant, (fault,), TICKS)[row] - readings(plant, (), TICKS)[row]
    assert 850 < added.std() < 1150
    own = plant.values(TICKS)[row] - plant.curves(TICKS)[row]
    assert abs(np.corrcoef(own, added)[0, 1]) < 0.15


def test_a_fault_on_an_unknown_series_is_rejected_with_its_name() -> None:
    with pytest.raises(PlantError, match=r"pump-9\.current: the plant has no such series"):
        readings(demo_plant(1), (Fault("pump-9.current", FaultKind.STEP, 0, 1000, 1.0),), TICKS)


@pytest.mark.parametrize(("start", "end", "magnitude"), [(5, 5, 1.0), (-1, 5, 1.0), (0, 5, float("inf"))])
def test_an_invalid_label_is_rejected(start: int, end: int, magnitude: float) -> None:
    with pytest.raises(PlantError, match="fault on x"):
        Fault("x", FaultKind.STEP, start, end, magnitude)


def test_another_seed_gives_another_schedule() -> None:
    plant = demo_plant(1)
    assert schedule(plant, 90.0, 1) != schedule(plant, 90.0, 2)


def test_a_plant_or_run_too_small_for_a_schedule_is_rejected() -> None:
    with pytest.raises(PlantError, match="4 series for 90 s"):
        schedule(Plant([Pump("pump-1", 1)], 1, 5.0), 90.0, 1)
    with pytest.raises(PlantError, match="24 series for 9 s"):
        schedule(demo_plant(1), 9.0, 1)


def test_a_label_moves_to_another_origin() -> None:
    fault = Fault("pump-1.current", FaultKind.STEP, 10, 20, 1.0)
    assert fault.shifted(1000) == Fault("pump-1.current", FaultKind.STEP, 1010, 1020, 1.0)
    assert fault.machine == "pump-1"
