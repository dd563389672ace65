"""Episodes of a detection, default calibration, and exclusions of a training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from strandline.errors import TableError, TrainingError
from strandline.recorded.calibration import advice, default_calibration
from strandline.recorded.episodes import above_level, episodes, summarize
from strandline.recorded.table import choose_columns
from strandline.training import dataset
from tests.command_line import invoke


def test_an_episode_has_the_channel_and_cause_of_its_peak() -> None:
    time_ms = np.arange(8) * 60_000
    anomaly = np.array([0, 1, 1, 1, 0, 0, 1, 1], np.bool_)
    level = np.array([0, 1.2, 3.5, 1.1, 0, 0, 1.0, 1.4])
    cause = ["", "level", "spike", "level", "", "", "stuck", "gap"]
    channel = ["", "a", "b", "a", "", "", "c", "c"]
    first, second = episodes(time_ms, anomaly, level, cause, channel)
    assert first.to_dict() == {
        "start_ms": 60_000,
        "end_ms": 180_000,
        "channel": "b",
        "cause": "spike",
        "peak": 3.5,
        "rows": 3,
    }
    assert (second.start_ms, second.end_ms, second.cause) == (360_000, 420_000, "gap")


def test_a_table_without_anomalies_has_no_episodes() -> None:
    assert episodes(np.arange(3), np.zeros(3, np.bool_), np.zeros(3), [""] * 3, [""] * 3) == []


def test_scores_are_in_an_anomaly_until_five_rows_are_low() -> None:
    level = np.array([0.2, 1.5, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1.0])
    assert above_level(level).tolist() == [False, True, True, True, True, True, True, False, False, True]


def test_the_summary_counts_anomalies_a_week_after_the_calibration() -> None:
    time_ms = np.arange(2 * 168 + 11) * 3_600_000  # hours
    anomaly = np.zeros(len(time_ms), np.bool_)
    anomaly[20:24] = anomaly[100:101] = True
    found = episodes(time_ms, anomaly, np.ones(len(time_ms)), [""] * len(time_ms), [""] * len(time_ms))
    summary = summarize(time_ms, 10, found)
    assert (summary.episodes, summary.per_week, summary.scored) == (2, 1.0, 337)
    assert summary.share == pytest.approx(5 / 337, abs=1e-5)


@pytest.mark.parametrize(("rows", "expected"), [(24, 12), (100, 50), (400, 120), (4_000, 600), (525_600, 2_000)])
def test_the_default_calibration(rows: int, expected: int) -> None:
    assert default_calibration(rows) == expected


def test_a_table_that_is_too_short_is_named() -> None:
    with pytest.raises(TableError, match="23 rows: at least 24"):
        default_calibration(23)


def test_a_calibration_shorter_than_a_day_is_advised_to_cover_one() -> None:
    minutes = np.arange(20_000) * 60_000
    assert "--calibrate 1464" in advice(minutes, 300)[1]
    assert len(advice(minutes, 1_464)) == 1
    assert len(advice(minutes[:2_000], 300)) == 1


def table(folder: Path, rows: int = 200, step: int = 60) -> Path:
    path = folder / "history.csv"
    lines = [f"{at * step},{20 + at % 7 / 10},{at % 5}" for at in range(rows)]
    path.write_text("time,a,b\n" + "\n".join(lines) + "\n")
    return path


def test_rows_of_excluded_ranges_are_left_out(tmp_path: Path) -> None:
    whole = dataset.read(table(tmp_path), "time", (), None)
    part = dataset.read(
        table(tmp_path), "time", (), None, [dataset.read_exclusion("1970-01-01T00:10..1970-01-01T00:20")]
    )
    assert whole.windows - part.windows == 10
    assert [len(section.time_ms) for section in part.sections] == [10, 180]


@pytest.mark.parametrize("value", ["2026-03-01", "x..y", "2026-03-04..2026-03-01"])
def test_an_invalid_exclusion_is_named(value: str) -> None:
    with pytest.raises(TrainingError, match=f"--exclude '{value}'"):
        dataset.read_exclusion(value)


def test_a_window_shorter_than_the_rows_names_the_interval_of_the_rows(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--window-ms 1000: the rows are 60000 ms apart"):
        dataset.read(table(tmp_path), "time", (), 1_000)


def test_too_few_windows_name_the_excluded_rows(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"50 windows .* at least 60 must; .* 200 rows, 150 of them excluded"):
        dataset.read(table(tmp_path), "time", (), None, [(3_000_000, 100_000_000)])


@pytest.mark.slow
def test_detect_lists_an_anomaly_and_a_summary(tmp_path: Path) -> None:
    path = table(tmp_path, 400)
    lines = path.read_text().splitlines()
    for row in range(300, 320):
        lines[row] = f"{(row - 1) * 60},95,{row % 5}"
    path.write_text("\n".join(lines) + "\n")
    done = invoke(["detect", str(path), "--time", "time", "--values", "a"])
    assert done.exit_code == 0, done.output
    assert "1970-01-01 04:5" in done.output
    assert "calibrated on the first 120 rows" in done.output
    done = invoke(["detect", str(path), "--time", "time", "--values", "a", "--json"])
    (answer,) = json.loads(done.output)
    assert answer["calibrate"] == 120
    assert answer["anomalies"][0]["channel"] == "a"
    assert answer["summary"]["episodes"] == len(answer["anomalies"])
    assert answer["scores"] is None


@pytest.mark.parametrize(
    ("header", "time", "channels"),
    [
        ("a,Time,label,b", "Time", ("a", "b")),
        ("day,a,label,b", "day", ("a", "b")),
        ("timestamp,a,label,time", "time", ("timestamp", "a")),
    ],
)
def test_columns_that_are_not_given_are_chosen(
    tmp_path: Path, header: str, time: str, channels: tuple[str, ...]
) -> None:
    path = tmp_path / "history.csv"
    path.write_text(f"{header}\n0,1,pump,3\n60,2,pump,4\n")
    assert choose_columns(path) == (time, channels)
    assert choose_columns(path, "a") == ("a", tuple(name for name in header.split(",") if name not in ("a", "label")))
    assert choose_columns(path, "", ("b",)) == (time, ("b",))


def test_a_table_without_channels_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("time,label\n0,pump\n")
    with pytest.raises(TableError, match=r"history.csv: no column except time contains numbers"):
        choose_columns(path)
    path.write_text("time\n0\n")
    with pytest.raises(TableError, match=r"a time and at least one channel is required"):
        choose_columns(path)


@pytest.mark.slow
def test_detect_states_the_columns_that_it_has_chosen(tmp_path: Path) -> None:
    path = table(tmp_path, 200)
    done = invoke(["detect", str(path)])
    assert done.exit_code == 0, done.output
    assert "time time; channels a, b" in done.output
