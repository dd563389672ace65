"""Recorded tables: the same detector, strictly causal, with clear errors."""

import csv
import functools

import numpy as np
import pytest

from strandline.errors import TableError
from strandline.recorded import offline, table
from tests.examples import some_slow

CALIBRATE = 120


def recording(rows=400, channels=1, seed=1, step_at=None):
    """Correlated channels at 1 Hz that share a slow swing; from ``step_at`` the first is off by six deviations."""
    rng = np.random.default_rng(seed)
    shared = np.sin(np.arange(rows) / 9.0)[:, None]
    values = shared * np.linspace(0.5, 1.5, channels) + rng.normal(0, 0.3, (rows, channels))
    if step_at is not None:
        values[step_at:, 0] += 6.0
    return np.arange(rows) * 1000, values


def names(channels):
    return [f"c{at}" for at in range(channels)]


def written(folder, values, header="timestamp,value", stamp=lambda row: f"2024-01-01 {row // 60:02}:{row % 60:02}:00"):
    path = folder / "in" / "run.csv"
    path.parent.mkdir(exist_ok=True)
    lines = [header, *(f"{stamp(row)},{value}" for row, value in enumerate(values))]
    path.write_text("\n".join(lines) + "\n")
    return path


@functools.cache
def scored_whole(channels):
    time_ms, values = recording(channels=channels, step_at=240)
    return offline.score(time_ms, values, names(channels), CALIBRATE)


@pytest.mark.parametrize("cut", some_slow([250, CALIBRATE + 1, 331], fast=1))
@pytest.mark.parametrize("channels", some_slow([1, 3], fast=1))
def test_scores_do_not_depend_on_later_rows(cut, channels):
    time_ms, values = recording(channels=channels, step_at=240)
    whole = scored_whole(channels)
    part = offline.score(time_ms[:cut], values[:cut], names(channels), CALIBRATE)
    assert np.array_equal(whole.score[:cut], part.score)
    assert np.array_equal(whole.anomaly[:cut], part.anomaly)
    assert whole.cause[:cut] == part.cause


@pytest.mark.slow
def test_a_seasonal_table_is_causal_too():
    rng = np.random.default_rng(2)
    time_ms = np.arange(900) * 900_000
    values = (np.sin(np.arange(900) * 2 * np.pi / 96) + rng.normal(0, 0.1, 900))[:, None]
    assert offline.settings_for(time_ms, 1, 200).season == 96
    whole = offline.score(time_ms, values, ["v"], 200)
    part = offline.score(time_ms[:700], values[:700], ["v"], 200)
    assert np.array_equal(whole.score[:700], part.score)


@pytest.mark.slow
def test_a_day_unlike_all_former_days_is_found_by_the_season():
    rng = np.random.default_rng(2)
    time_ms = np.arange(900) * 900_000
    values = np.sin(np.arange(900) * 2 * np.pi / 96) + rng.normal(0, 0.05, 900)
    values[576:672] = rng.normal(0, 0.05, 96) - 1.0
    found = offline.score(time_ms, values[:, None], ["v"], 200)
    alarms = np.flatnonzero(found.score >= 1)
    assert len(alarms) >= 1
    assert 576 <= alarms[0] < 672
    assert "season" in {found.cause[row] for row in range(576, 672)}


@pytest.mark.slow
def test_a_step_in_one_channel_of_a_group_is_found_within_nine_rows_and_named():
    time_ms, values = recording(rows=600, channels=8, step_at=400)
    found = offline.score(time_ms, values, names(8), CALIBRATE)
    alarms = np.flatnonzero(found.score >= 1)
    assert 400 <= alarms[0] <= 408
    assert found.channel[alarms[0]] == "c0"
    assert found.anomaly[400:420].any()
    assert not found.anomaly[:400].any()


@pytest.mark.slow
def test_tables_that_are_scored_in_one_pass_have_the_same_result_as_alone():
    tables = [
        (time_ms, values[:, 0]) for time_ms, values in (recording(300, seed=3), recording(360, seed=4, step_at=200))
    ]
    tables.append((np.arange(300) * 900_000, tables[0][1]))
    alone = [offline.score(time_ms, values[:, None], ["value"], CALIBRATE) for time_ms, values in tables]
    for one, other in zip(alone, offline.score_each(tables, CALIBRATE), strict=True):
        np.testing.assert_array_equal(one.score, other.score)
        np.testing.assert_array_equal(one.anomaly, other.anomaly)
        assert one.cause == other.cause


@pytest.mark.slow
def test_rows_that_calibrate_have_no_score():
    time_ms, values = recording()
    found = offline.score(time_ms, values, ["c0"], CALIBRATE)
    assert (found.score[:CALIBRATE] == 0).all()
    assert (found.score[CALIBRATE:] > 0).all()
    assert found.cause[:CALIBRATE] == [""] * CALIBRATE


def test_alarms_keep_a_rest_between_them():
    level = np.array([0, 2, 3, 1, 0.9, 1.5, 2])
    assert offline.rested(level, 4).tolist() == [0, 2, 0.5, 0.5, 0.9, 1.5, 0.5]


def test_a_continuing_alarm_is_reported_with_backoff():
    going_on = offline.rested(np.full(64, 2.0), 4)
    assert np.flatnonzero(going_on >= 1).tolist() == [0, 4, 12, 28, 60]
    twice = np.concatenate((np.full(6, 2.0), np.full(6, 0.1), np.full(6, 2.0)))
    assert np.flatnonzero(offline.rested(twice, 4) >= 1).tolist() == [0, 4, 12, 16]


@pytest.mark.slow
def test_missing_values_are_left_out_and_long_silence_is_a_gap():
    time_ms, values = recording(channels=2)
    values[300:320, 1] = np.nan
    found = offline.score(time_ms, values, names(2), CALIBRATE)
    assert np.isfinite(found.score).all()
    assert ("gap", "c1") in set(zip(found.cause[300:320], found.channel[300:320], strict=True))


@pytest.mark.slow
def test_detect_writes_one_row_a_row(tmp_path):
    _, values = recording(step_at=300)
    path = written(tmp_path, values[:, 0])
    (target,) = offline.detect([path], "timestamp", ["value"], CALIBRATE, tmp_path / "out")
    with target.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["timestamp", "score", "anomaly", "cause", "channel"]
    assert len(rows) == 400
    assert rows[7]["timestamp"] == "2024-01-01 00:07:00"
    assert {row["anomaly"] for row in rows} == {"0", "1"}
    assert max(float(row["score"]) for row in rows[300:310]) >= 1


def test_inputs_of_one_name_in_two_folders_do_not_overwrite_each_other(tmp_path):
    _, values = recording(rows=140)
    first = written(tmp_path, values[:, 0])
    second = tmp_path / "other" / "run.csv"
    second.parent.mkdir()
    second.write_bytes(first.read_bytes())
    targets = offline.detect([first, second], "timestamp", ["value"], CALIBRATE, tmp_path / "out")
    assert sorted(target.name for target in targets) == ["in_run.csv", "other_run.csv"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"time": "when"}, "no column 'when', there are timestamp, value"),
        ({"values": ["level"]}, "no column 'level'"),
        ({"values": []}, "at least one column"),
        ({"calibrate": 3}, "calibrate 3: at least 12 rows"),
        ({"calibrate": 400}, "400 rows, more than the calibration's 400 are needed"),
    ],
)
def test_unusable_tables_are_rejected_with_an_error(tmp_path, change, sentence):
    path = written(tmp_path, recording()[1][:, 0])
    arguments = {"time": "timestamp", "values": ["value"], "calibrate": CALIBRATE} | change
    with pytest.raises(TableError, match=sentence):
        offline.detect([path], out=tmp_path / "out", **arguments)


def test_a_row_without_a_time_is_named(tmp_path):
    path = written(tmp_path, [1.0] * 5, stamp=lambda row: "noon" if row == 3 else row)
    with pytest.raises(TableError, match=r"run\.csv: row 4: 'noon' is not a time"):
        table.read(path, "timestamp", ["value"])


def test_times_and_numbers_are_read_in_their_usual_forms(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("t;a;b\n1700000000;1;x\n1700000001000;;2e400\n2023-11-14T22:13:22Z;-3;4\n")
    recorded = table.read(path, "t", ["b", "a"])
    assert recorded.time_ms.tolist() == [1_700_000_000_000, 1_700_000_001_000, 1_700_000_002_000]
    assert np.isnan(recorded.values[:, 0]).tolist() == [True, True, False]
    assert np.isnan(recorded.values[:, 1]).tolist() == [False, True, False]
