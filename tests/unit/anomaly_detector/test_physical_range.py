"""Expected values of reports respect the physical range of the series' unit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_components.anomaly_detector.physical_range import limited, physical_range

INSIDE = np.array([1.0, 2.0, math.nan])


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("%", -9.8, 0.0),
        ("%", 120.0, 100.0),
        ("%RH", 55.0, 55.0),
        ("count", -1.0, 0.0),
        ("B/s", 1e9, 1e9),
        ("Cel", -9.8, -9.8),
    ],
)
def test_a_value_is_limited_to_the_range_of_its_unit(unit: str, value: float, expected: float) -> None:
    assert limited(value, physical_range(unit, INSIDE)) == expected


def test_a_series_that_left_the_range_has_none() -> None:
    assert limited(250.0, physical_range("%", np.array([180.0, 240.0]))) == 250.0
    assert limited(-3.0, physical_range("%", np.array([-5.0, 20.0]))) == -3.0


def test_an_unknown_value_stays_unknown() -> None:
    assert math.isnan(limited(math.nan, physical_range("%", INSIDE)))
