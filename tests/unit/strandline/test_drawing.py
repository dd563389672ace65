"""Plot of a scored table: a small PNG whose size depends on the channels, with all anomalies."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from strandline.errors import TableError
from strandline.recorded.detection import Detection
from strandline.recorded.drawing import DPI, MAX_COLUMNS, WIDTH, Stretch, draw, stretches, thin
from strandline.recorded.table import Table

pytestmark = pytest.mark.slow  # importing the drawing library and each picture take a second
ROWS = 200


def scored(channels: int, rows: int = ROWS) -> tuple[Table, Detection]:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(rows, channels))
    values[rows // 2 : rows // 2 + 20, 0] += 9.0
    names = tuple(f"pump.{at}" for at in range(channels))
    time_ms = 1_767_225_600_000 + 1_000 * np.arange(rows)
    anomaly = np.abs(np.arange(rows) - rows // 2 - 10) < 10
    level = np.where(np.arange(rows) < 50, 0.0, np.where(anomaly, 3.0, 0.4))
    none = np.zeros_like(values)
    found = Detection(
        level.astype(float),
        level.astype(float),
        anomaly,
        ["step"] * rows,
        [names[0]] * rows,
        none,
        none - 3.0,
        np.where(none > 0, np.nan, 3.0),
    )
    return Table([str(ms) for ms in time_ms], time_ms, names, values), found


@pytest.mark.parametrize(("channels", "inches"), [(1, 4.6), (8, 8.4)])
def test_picture_is_a_small_png_whose_size_depends_on_the_channels(
    tmp_path: Path, channels: int, inches: float
) -> None:
    path = tmp_path / "pump.png"
    draw(path, *scored(channels), 50)
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (round(WIDTH * DPI), round(inches * DPI))
    assert len(content) < 60_000


def test_an_anomaly_is_a_coloured_span_from_its_onset_to_its_end(tmp_path: Path) -> None:
    from PIL import Image

    spans = []
    for marked in (True, False):
        recorded, found = scored(1)
        found.anomaly[:] &= marked
        draw(tmp_path / "p.png", recorded, found, 50)
        with Image.open(tmp_path / "p.png") as picture:
            colour = np.asarray(picture.convert("RGB"), np.int64)
        reddish = colour[:, :, 0] - colour[:, :, 2] > 45
        spans.append(np.flatnonzero(reddish.sum(axis=0) > 100) / (WIDTH * DPI))
    # Rows 100 to 120 of 200, on an axis from about 0.04 to 0.96 of the width.
    assert spans[0].min() == pytest.approx(0.5, abs=0.02)
    assert spans[0].max() == pytest.approx(0.59, abs=0.02)
    assert len(spans[1]) == 0


@pytest.mark.parametrize("row", [np.nan, 5.0], ids=["missing", "constant"])
def test_a_channel_without_a_value_or_without_a_change_is_drawn(tmp_path: Path, row: float) -> None:
    recorded, found = scored(2)
    recorded.values[:, 1] = row
    found.expected[:, 1] = found.lower[:, 1] = found.upper[:, 1] = np.nan
    draw(tmp_path / "p.png", recorded, found, 50)
    assert (tmp_path / "p.png").stat().st_size > 1_000


def test_times_that_go_back_are_drawn_by_row(tmp_path: Path) -> None:
    recorded, found = scored(1)
    recorded.time_ms[100:] -= 500_000
    draw(tmp_path / "p.png", recorded, found, 50)
    assert (tmp_path / "p.png").stat().st_size > 1_000


def test_a_stretch_has_the_cause_and_channel_of_its_highest_score() -> None:
    _, found = scored(2)
    found.anomaly[-1] = True
    found.level[105], found.cause[105], found.channel[105] = 7.0, "spike", "pump.1"
    assert stretches(found) == [Stretch(101, 119, "spike", "pump.1"), Stretch(199, 199, "step", "pump.0")]


def test_of_many_rows_the_extremes_of_each_column_are_kept() -> None:
    values = np.random.default_rng(1).normal(size=50_000)
    values[:1000] = np.nan
    kept = thin(values)
    assert len(kept) <= 2 * MAX_COLUMNS
    assert (np.diff(kept) > 0).all()
    assert {int(np.nanargmin(values)), int(np.nanargmax(values))} <= set(kept.tolist())
    assert thin(values[:1500]).tolist() == list(range(1500))


def test_an_unwritable_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="nowhere"):
        draw(tmp_path / "nowhere" / "p.png", *scored(1), 50)
