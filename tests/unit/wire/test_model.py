"""The data model rejects invalid values with an error that names them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from wire.errors import ModelError
from wire.model import MAX_CAUSES, MAX_SEQUENCE, Aggregates, Anomaly, Batch, Notice, Phase, Readings, Series

REPORT: dict[str, Any] = {
    "series": "pump.1",
    "phase": "onset",
    "onset_ms": 1,
    "time_ms": 2,
    "score": 1.5,
    "cause": "level",
}


def test_a_report_is_restored_from_its_json() -> None:
    report = Anomaly(
        "pump.1", Phase.END, 1, 2, 3.5, "spike", "up", 1.0, 2.0, 0.5, 3.0, {"spike": 3.5, "gap": 0.0}, "Cel"
    )
    assert Anomaly.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_a_report_leaves_out_what_is_not_known() -> None:
    assert Anomaly.from_dict(REPORT).to_dict() == REPORT


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("series", 5),
        ("series", ""),
        ("series", "a" * 129),
        ("series", "-a"),
        ("phase", "begun"),
        ("phase", ["onset"]),
        ("onset_ms", 1.0),
        ("onset_ms", True),
        ("time_ms", 2**63),
        ("time_ms", "2"),
        ("score", None),
        ("score", "1.5"),
        ("score", True),
        ("score", float("nan")),
        ("score", 10**400),
        ("cause", 1),
        ("direction", []),
        ("unit", {}),
        ("observed", float("inf")),
        ("expected", "1"),
        ("lower", [1]),
        ("upper", -(10**400)),
        ("causes", [("level", 1.0)]),
        ("causes", {"level": float("nan")}),
        ("causes", {"level": None}),
        ("causes", {f"c{i}": 1.0 for i in range(MAX_CAUSES + 1)}),
    ],
)
def test_a_wrong_value_in_a_report_is_named(key: str, value: object) -> None:
    with pytest.raises(ModelError, match="series" if key == "series" else "Phase" if value == "begun" else key):
        Anomaly.from_dict(REPORT | {key: value})


@pytest.mark.parametrize("key", sorted(REPORT))
def test_a_missing_key_in_a_report_is_named(key: str) -> None:
    with pytest.raises(ModelError, match=f"{key} is missing"):
        Anomaly.from_dict({k: v for k, v in REPORT.items() if k != key})


def test_long_texts_are_truncated() -> None:
    report = Anomaly.from_dict(REPORT | {"cause": "x" * 1_000, "causes": {"y" * 1_000: 1}})
    assert (len(report.cause), [len(name) for name in report.causes]) == (64, [64])


@pytest.mark.parametrize("name", ["", "a b", ".a", "a\n", "é", "a" * 129])
def test_a_series_name_follows_senml(name: str) -> None:
    with pytest.raises(ModelError, match="series name"):
        Series(name)


@pytest.mark.parametrize("resolution", [0.0, -1.0, float("nan"), float("inf")])
def test_a_resolution_is_finite_and_above_zero(resolution: float) -> None:
    with pytest.raises(ModelError, match="resolution"):
        Series("a", "", resolution)


@pytest.mark.parametrize("unit", ["a\nb", "x" * 33, "é" * 17])
def test_a_unit_is_short_and_printable(unit: str) -> None:
    with pytest.raises(ModelError, match="unit"):
        Series("a", unit)


@pytest.mark.parametrize(
    ("gateway", "epoch", "sequence"),
    [("", 0, 1), ("a/b", 0, 1), ("a" * 129, 0, 1), ("a\n", 0, 1), ("g", -1, 1), ("g", 2**64, 1)]
    + [("g", 0, sequence) for sequence in (0, -1, MAX_SEQUENCE + 1)],
)
def test_a_batch_has_a_name_that_can_be_stored(gateway: str, epoch: int, sequence: int) -> None:
    with pytest.raises(ModelError):
        Batch(gateway, epoch, sequence, Notice(0, {}))


def test_columns_of_different_length_are_rejected() -> None:
    two, three = np.zeros(2, np.int64), np.zeros(3)
    with pytest.raises(ModelError, match="different length"):
        Readings((Series("a"),), two, two, three, np.zeros(2, np.uint8))


@pytest.mark.parametrize("index", [-1, 1])
def test_rows_of_a_series_that_is_not_in_the_directory_are_rejected(index: int) -> None:
    whole, real = np.array([index]), np.zeros(1)
    with pytest.raises(ModelError, match="series_index"):
        Aggregates((Series("a"),), whole, whole, whole, whole, real, real, real, real, real)
