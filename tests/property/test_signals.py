"""Properties of signals and faults for every seed, chunk and interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.simulation.faults import Fault, FaultKind, readings, schedule
from device_sim.simulation.signals import demo_plant, noise_key, normals
from tests.examples import examples

seeds = st.integers(-(2**40), 2**40)


@settings(deadline=None, max_examples=examples(30))
@given(seeds, st.integers(0, 10**7), st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_readings_do_not_depend_on_the_chunks(seed: int, first: int, sizes: list[int]) -> None:
    plant = demo_plant(seed)
    faults = [Fault("pump-1.current", FaultKind.NOISE, round(first * 200), round(first * 200) + 3000, 2.0)]
    ticks = np.arange(first, first + sum(sizes))
    whole = readings(plant, faults, ticks)
    parts = [readings(plant, faults, chunk) for chunk in np.split(ticks, np.cumsum(sizes)[:-1])]
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(30))
@given(seeds)
def test_every_reading_is_a_finite_multiple_of_the_resolution(seed: int) -> None:
    plant = demo_plant(seed)
    values = readings(plant, (), np.arange(200))
    for channel, row in zip(plant.channels, values, strict=True):
        assert np.isfinite(row).all()
        assert (row >= channel.low).all()
        steps = row / channel.resolution
        np.testing.assert_allclose(steps, np.round(steps), rtol=0, atol=1e-6)


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(25))
@given(seeds, st.floats(10, 3600))
def test_a_schedule_has_all_kinds_on_distinct_series_within_the_run(seed: int, span: float) -> None:
    plant = demo_plant(seed)
    faults = schedule(plant, span, seed)
    assert {fault.kind for fault in faults} == set(FaultKind)
    assert len({fault.series for fault in faults}) == len(faults) >= 8
    assert len({fault.machine for fault in faults}) == len(plant.machines)
    assert all(fault.start_ms >= 400 * span and fault.end_ms <= 1000 * span for fault in faults)
    assert faults == schedule(demo_plant(seed), span, seed)


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(25))
@given(seeds, st.integers(0, 400), st.integers(1, 100), st.sampled_from(list(FaultKind)))
def test_a_fault_changes_only_its_interval_of_its_series(seed: int, first: int, length: int, kind: FaultKind) -> None:
    plant = demo_plant(seed)
    fault = Fault("pump-2.pressure", kind, first * 200, (first + length) * 200, 900.0)
    ticks = np.arange(600)
    clean, faulty = readings(plant, (), ticks), readings(plant, (fault,), ticks)
    row = [series.name for series in plant.series].index(fault.series)
    hit = (ticks >= first) & (ticks < first + length)
    others = np.ones(len(plant.series), bool)
    others[row] = False
    np.testing.assert_array_equal(clean[others], faulty[others])
    np.testing.assert_array_equal(clean[row, ~hit], faulty[row, ~hit])
    if kind is FaultKind.DROPOUT:
        assert np.isnan(faulty[row, hit]).all()
    elif kind is FaultKind.STUCK:
        assert (faulty[row, hit] == clean[row, first]).all()
    elif kind in (FaultKind.STEP, FaultKind.SPIKE):
        np.testing.assert_allclose(faulty[row, hit] - clean[row, hit], 900.0, atol=1.0)


@settings(deadline=None, max_examples=examples(20))
@given(seeds, st.text(max_size=20))
def test_noise_is_standard_normal_and_white(seed: int, name: str) -> None:
    noise = normals(noise_key(seed, name), np.arange(20_000))
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.05
