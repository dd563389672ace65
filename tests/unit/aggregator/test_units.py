"""Values are converted to the configured units before anything else, and rows have the new unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_components.aggregator.config import Config
from edge_components.aggregator.config_values import read_units
from edge_components.aggregator.units import DIMENSIONS, Linear, UnitConverter, UnitRule, between
from edge_components.aggregator.window_types import Shape
from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from tests.unit.aggregator.test_component import START, Rig
from wire.model import Readings, Series

ALL = [(dimension, unit) for dimension, units in DIMENSIONS.items() for unit in units]


def readings(rows: list[tuple[Series, int, float]]) -> Readings:
    series = tuple(dict.fromkeys(one for one, _, _ in rows))
    index = np.array([series.index(one) for one, _, _ in rows], np.int64)
    times, values = np.array([at for _, at, _ in rows], np.int64), np.array([value for _, _, value in rows])
    return Readings(series, index, START + times, values, np.zeros(len(rows), np.uint8))


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (212.0, "degF", "Cel", 100.0),
        (-40.0, "°F", "°C", -40.0),
        (0.0, "Cel", "K", 273.15),
        (491.67, "degR", "Cel", 0.0),
        (14.503773773, "psi", "kPa", 100.0),
        (1013.25, "mbar", "atm", 1.0),
        (29.92126, "inHg", "hPa", 1013.25),
        (10.0, "gpm", "L/min", 37.85411784),
        (100.0, "cfm", "m3/h", 169.901082),
        (60.0, "mph", "km/h", 96.56064),
        (1.0, "kWh", "MJ", 3.6),
        (1.0, "hp", "W", 745.6998715822702),
        (3000.0, "rpm", "Hz", 50.0),
        (180.0, "deg", "rad", np.pi),
        (45.0, "%", "/", 0.45),
        (1.0, "lbf.ft", "Nm", 1.3558179483),
    ],
)
def test_conversions_have_known_results(value: float, source: str, target: str, expected: float) -> None:
    linear = between(source, target)
    assert linear is not None
    assert value * linear.factor + linear.offset == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("source", "target"), [("psi", "Cel"), ("", "Cel"), ("furlong", "m"), ("Cel", "")])
def test_units_of_different_dimensions_and_unknown_ones_have_no_conversion(source: str, target: str) -> None:
    assert between(source, target) is None


@given(st.sampled_from(ALL), st.sampled_from(ALL), st.sampled_from(ALL), st.floats(-1e6, 1e6))
def test_conversions_are_inverse_and_transitive_within_a_dimension(
    one: tuple[str, str], other: tuple[str, str], third: tuple[str, str], value: float
) -> None:
    there, back = between(one[1], other[1]), between(other[1], one[1])
    assert (there is None) == (one[0] != other[0])
    if there is None or back is None:
        return
    scale = max(abs(value), abs(back.offset), abs(there.offset / there.factor))
    assert apply(back, apply(there, value)) == pytest.approx(value, abs=1e-12 * scale + 1e-12)
    onward, direct = between(other[1], third[1]), between(one[1], third[1])
    if onward is not None and direct is not None:
        assert apply(onward, apply(there, value)) == pytest.approx(
            apply(direct, value), rel=1e-9, abs=1e-9 * scale * direct.factor
        )


def apply(linear: Linear, value: float) -> float:
    return value * linear.factor + linear.offset


def test_the_readme_lists_the_units() -> None:
    text = (Path(__file__).parents[3] / "edge_components" / "aggregator" / "README.md").read_text()
    listed = text.partition("<!-- units -->")[2].partition("<!-- /units -->")[0]
    rows = [f"| {dimension} | {', '.join(f'`{unit}`' for unit in units)} |" for dimension, units in DIMENSIONS.items()]
    assert listed.strip().splitlines()[2:] == rows


def test_no_spelling_hides_a_unit_of_the_table() -> None:
    for _, unit in ALL:
        assert between(unit, unit) == Linear(1.0, 0.0)


def test_a_batch_is_converted_by_series_and_series_without_a_rule_are_left_as_they_are() -> None:
    converter = UnitConverter({"*.t": UnitRule("Cel"), "raw": UnitRule("count", linear=Linear(2.0, -1.0))})
    given_readings = readings(
        [
            (Series("a.t", "degF", 0.9), 0, 50.0),
            (Series("b"), 1, 5.0),
            (Series("raw"), 2, 3.0),
            (Series("c.t", "V"), 3, 4.0),
        ]
    )
    found = converter.convert(given_readings)
    assert found.series == (Series("a.t", "Cel", 0.5), Series("b"), Series("raw", "count"), Series("c.t", "V"))
    assert found.value == pytest.approx([10.0, 5.0, 5.0, 4.0])
    assert converter.inconvertible == {Series("c.t", "V"): 1}


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator[Any]:
    opened: list[Rig] = []

    def make(units: dict[str, Any], **values: Any) -> Rig:
        rules = load(Config, {"units": units}).units
        opened.append(Rig(tmp_path / str(len(opened)), units=rules, **({"gap_windows": 0} | values)))
        return opened[-1]

    yield make
    for rig in opened:
        rig.kill()


def rows(rig: Rig) -> dict[tuple[str, int], tuple[str, int, float, float, float, float]]:
    """Return unit, count, mean, min, max, std by series and start after START, of the highest revision."""
    found = {}
    for part in sorted(rig.batches().values(), key=lambda part: int(part.revision.max(initial=0))):
        columns = (
            getattr(part, name).tolist() for name in ("series_index", "start_ms", "count", "mean", "min", "max", "std")
        )
        for index, start, *values in zip(*columns, strict=True):
            found[part.series[index].name, start - START] = (part.series[index].unit, *values)
    return found


def test_rows_and_ranges_are_in_the_new_unit(rigs: Any) -> None:
    rig = rigs({"oven.*": "Cel", "pump.*": {"unit": "kPa", "from": "psi"}}, ranges={"oven.*": (-10.0, 110.0)})
    oven, pump = Series("oven.t", "degF", 1.8), Series("pump.p")
    rig.offer(
        1, readings([(oven, 0, 212.0), (pump, 0, 10.0), (oven, 100, 32.0), (oven, 200, 250.0), (pump, 1100, 0.0)])
    )
    rig.run_out(6.0)
    found = rows(rig)
    assert found["oven.t", 0] == ("Cel", 2, *(pytest.approx(value) for value in (50.0, 0.0, 100.0, 50.0)))
    assert found["pump.p", 0][:2] == ("kPa", 1)
    assert found["pump.p", 0][2] == pytest.approx(68.94757293168361)
    assert rig.runtime.counters["rejected_range"] == 1
    series = {one.name: one for part in rig.batches().values() for one in part.series}
    assert series["oven.t"].resolution == pytest.approx(1.0)


def test_a_unit_that_cannot_be_converted_is_kept_and_counted(rigs: Any) -> None:
    rig = rigs({"*": "Cel"})
    rig.offer(
        1, readings([(Series("a.t", "V"), 0, 5.0), (Series("a.t", "V"), 10, 7.0), (Series("b.t", "K"), 20, 273.15)])
    )
    rig.run_out(6.0)
    assert rows(rig)["a.t", 0][:3] == ("V", 2, 6.0)
    assert rows(rig)["b.t", 0][:2] == ("Cel", 1)
    assert rows(rig)["b.t", 0][2] == pytest.approx(0.0, abs=1e-9)
    assert rig.runtime.counters["unit_not_converted"] == 2


def test_windows_that_are_open_or_were_emitted_follow_a_change_of_the_unit_also_over_a_restart(rigs: Any) -> None:
    rig = rigs({})
    oven = Series("oven.t", "degF")
    rig.offer(1, readings([(oven, 0, 212.0), (oven, 500, 32.0), (oven, 1500, 50.0), (oven, 2500, 50.0)]))
    rig.tick()
    rig.tick()
    assert rows(rig)["oven.t", 0][:3] == ("degF", 2, 122.0)
    rig.kill()
    rig.config = Config(
        **{name: getattr(rig.config, name) for name in rig.config.__slots__} | {"units": {"*": UnitRule("Cel")}}
    )
    rig.boot()
    rig.offer(2, readings([(oven, 2600, 68.0), (oven, 400, 122.0)]))
    rig.tick()
    rig.kill()
    rig.boot()
    rig.run_out(8.0)
    found = rows(rig)
    assert found["oven.t", 2000] == ("Cel", 2, *(pytest.approx(value) for value in (15.0, 10.0, 20.0, 5.0)))
    assert found["oven.t", 0][:5] == ("Cel", 3, *(pytest.approx(value) for value in (50.0, 0.0, 100.0)))


@pytest.mark.parametrize(
    "given_units",
    [
        "Cel",
        {"*": "furlong"},
        {"*": ""},
        {"*": {"from": "degF"}},
        {"*": {"unit": "Cel", "from": "psi"}},
        {"*": {"unit": "x", "factor": 0}},
        {"*": {"unit": "x", "factor": "inf"}},
        {"*": {"unit": "x", "offset": 1}},
        {"*": {"unit": "x" * 40, "factor": 1}},
    ],
)
def test_a_unit_that_is_not_allowed_is_rejected_with_the_key(given_units: Any) -> None:
    with pytest.raises(ConfigError, match=r"units: .* is not allowed, expected an object from globs"):
        load(Config, {"units": given_units})


def test_no_window_has_values_of_two_units_that_cannot_be_converted_also_over_a_restart(rigs: Any) -> None:
    rig = rigs({}, statistics=(("*", ("last",)),))
    rig.offer(1, readings([(Series("a.x", "V"), 0, 1.0), (Series("a.x", "V"), 300, 3.0)]))
    rig.tick()
    rig.offer(2, readings([(Series("a.x", "bar"), 500, 900.0), (Series("a.x", "bar"), 1_200, 901.0)]))
    rig.tick()
    rig.kill()
    rig.boot()
    rig.offer(3, readings([(Series("a.x", "bar"), 1_300, 903.0), (Series("a.x", "bar"), 3_000, 905.0)]))
    rig.run_out(6.0)
    found = rows(rig)
    assert found["a.x", 0][:3] == ("V", 2, 2.0)
    assert found["a.x:last", 0][:3] == ("V", 2, 3.0)
    assert found["a.x", 1_000][:3] == ("bar", 2, 902.0)
    assert rig.runtime.counters["replay_differences"] == 0


def test_a_unit_that_becomes_known_closes_no_window(rigs: Any) -> None:
    rig = rigs({})
    rig.offer(1, readings([(Series("a.x"), 0, 1.0)]))
    rig.tick()
    rig.offer(2, readings([(Series("a.x", "V"), 500, 3.0), (Series("a.x", "V"), 3_000, 3.0)]))
    rig.run_out(6.0)
    assert rows(rig)["a.x", 0][:3] == ("V", 2, 2.0)
    assert rig.runtime.counters["unit_changed"] == 0


@pytest.mark.parametrize("before", [{}, {"a.*": {"unit": "kWh", "factor": 1.0}}])
def test_no_window_has_values_of_two_factors_also_over_a_restart(rigs: Any, before: dict[str, Any]) -> None:
    rig = rigs(before)
    series = Series("a.x", "kWh")
    rig.offer(1, readings([(series, 0, 10.0), (series, 300, 30.0), (Series("b.x", "kWh"), 0, 7.0)]))
    rig.tick()
    units = read_units({"a.*": {"unit": "kWh", "factor": 0.1}})
    rig.config = replace(rig.config, units=units)
    rig.aggregator.reconfigure(rig.config)
    rig.offer(2, readings([(series, 500, 9_000.0), (series, 1_200, 50.0), (Series("b.x", "kWh"), 500, 9.0)]))
    rig.tick()
    rig.kill()
    rig.boot()
    rig.offer(3, readings([(series, 3_000, 70.0), (Series("b.x", "kWh"), 3_000, 7.0)]))
    rig.run_out(6.0)
    found = rows(rig)
    assert found["a.x", 0][:3] == ("kWh", 2, 20.0)
    assert found["a.x", 1_000][:3] == ("kWh", 1, 5.0)
    assert found["b.x", 0][:3] == ("kWh", 2, 8.0)
    assert rig.runtime.counters["replay_differences"] == 0


def test_sliding_windows_over_a_change_of_the_factor_are_left_out(rigs: Any) -> None:
    rig = rigs({}, series_windows=(("*", Shape(2_000, 1_000)),))
    series = Series("a.x", "kWh")
    rig.offer(1, readings([(series, 1_000, 10.0), (series, 2_100, 10.0)]))
    rig.tick()
    rig.config = replace(rig.config, units=read_units({"a.*": {"unit": "kWh", "factor": 10.0}}))
    rig.aggregator.reconfigure(rig.config)
    rig.offer(2, readings([(series, time, 10.0) for time in range(2_500, 7_000, 500)]))
    rig.run_out(6.0)
    means = {mean for (name, _start), (_unit, count, mean, *_rest) in rows(rig).items() if count}
    assert means == {10.0, 100.0}
