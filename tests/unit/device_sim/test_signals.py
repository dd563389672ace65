"""Tests of the simulated machine signals."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from device_sim.errors import PlantError
from device_sim.simulation.signals import Channel, ColdRoom, Load, Plant, Pump, Tank, demo_plant, normals
from wire.model import FloatArray


def _curve(machine: Pump | ColdRoom | Tank, channel: str, seconds: FloatArray) -> FloatArray:
    names = [c.name for c in machine.channels]
    return machine.curves(seconds)[names.index(channel)]


def test_the_demo_plant_has_24_sensors_with_valid_names() -> None:
    plant = demo_plant(3)
    assert len(plant.series) == 24
    assert all(series.unit and series.resolution for series in plant.series)


def test_a_pumps_channels_follow_one_load_and_its_temperature_lags() -> None:
    pump, seconds = Pump("pump-1", 1), np.arange(0.0, 20_000.0, 10.0)
    pressure, current, temperature = (_curve(pump, c, seconds) for c in ("pressure", "current", "temperature"))
    assert np.corrcoef(pressure, current)[0, 1] > 0.99
    shifted = [np.corrcoef(pressure[: -lag or None], temperature[lag:])[0, 1] for lag in range(20)]
    assert 0.5 < shifted[0] < max(shifted)


def test_lagged_load_is_the_solution_of_the_first_order_equation() -> None:
    load, lag = Load(random.Random(1), (300.0, 700.0)), 90.0
    seconds = np.arange(0.0, 2000.0, 0.01)
    slow = load.at(seconds, lag)
    np.testing.assert_allclose(lag * np.gradient(slow, seconds)[1:-1] + slow[1:-1], load.at(seconds)[1:-1], atol=1e-4)


def test_a_cold_room_cools_while_its_compressor_draws_power_and_warms_while_it_does_not() -> None:
    room, seconds = ColdRoom("coldroom-1", 2), np.arange(0.0, 6000.0)
    temperature, power = _curve(room, "temperature", seconds), _curve(room, "power", seconds)
    running = (power[1:] > 500) & (power[:-1] > 500)
    resting = (power[1:] < 500) & (power[:-1] < 500)
    assert (np.diff(temperature)[running] < 0).all()
    assert (np.diff(temperature)[resting] > 0).all()
    assert 0.3 < (power > 500).mean() < 0.6


def test_a_tank_rises_while_it_is_filled_and_falls_while_it_is_not() -> None:
    tank, seconds = Tank("tank-1", 2), np.arange(0.0, 6000.0)
    level, inflow = _curve(tank, "level", seconds), _curve(tank, "inflow", seconds)
    filling = (inflow[1:] > 1) & (inflow[:-1] > 1)
    drawn = (inflow[1:] < 1) & (inflow[:-1] < 1)
    assert (np.diff(level)[filling] > 0).all()
    assert (np.diff(level)[drawn] < 0).all()


def test_another_seed_gives_another_plant() -> None:
    ticks = np.arange(50)
    assert not np.array_equal(demo_plant(1).values(ticks), demo_plant(2).values(ticks))


def test_speed_makes_the_machines_live_faster_and_leaves_the_noise() -> None:
    slow, fast = demo_plant(1, speed=1.0), demo_plant(1, speed=10.0)
    ticks = np.arange(0, 500, 10)
    np.testing.assert_allclose(fast.curves(ticks), slow.curves(ticks * 10))
    noise = fast.values(ticks) - fast.curves(ticks)
    np.testing.assert_allclose(noise, slow.values(ticks) - slow.curves(ticks), atol=1e-9)


def test_values_are_rounded_to_the_resolution_exactly() -> None:
    channel = Channel("x", "V", 0.05, 0.0, low=0.0)
    assert channel.quantise(np.array([0.12, 0.31, -3.0, -0.01])).tolist() == [0.1, 0.3, 0.0, 0.0]
    assert np.isnan(channel.quantise(np.array([np.nan]))[0])


def _mix(counter: int) -> int:
    """SplitMix64 in whole numbers of any size."""
    x = counter * 0x9E3779B97F4A7C15 % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def test_normals_are_splitmix64_through_box_muller() -> None:
    assert _mix(1) == 0xE220A8397B1DCDAF  # the generator's published first output for seed 0
    key, index = 2**64 - 3, [0, 1, 5, 10**12]
    uniform = [[((_mix((2 * i + key + k) % 2**64) >> 11) + 1) * 2.0**-53 for k in (0, 1)] for i in index]
    expected = [math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v) for u, v in uniform]
    np.testing.assert_allclose(normals(key, np.array(index)), expected, rtol=1e-9)


@pytest.mark.parametrize(("rate", "speed"), [(0.0, 1.0), (5.0, 0.0), (float("nan"), 1.0), (5.0, 1e9)])
def test_a_plant_with_an_impossible_rate_or_speed_is_rejected(rate: float, speed: float) -> None:
    with pytest.raises(PlantError, match=r"(rate_hz|speed) .*: a number above 0"):
        demo_plant(1, rate, speed)


def test_two_machines_with_one_name_are_rejected() -> None:
    with pytest.raises(PlantError, match="share a series name"):
        Plant([Pump("pump-1", 1), Pump("pump-1", 1)], 1, 5.0)
