"""A recorded file is replayed with its times, at the configured speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader import source_thread
from edge_components.sensor_reader.sources import replay
from edge_components.sensor_reader.sources.replay import ReplaySettings
from tests.unit.sensor_reader.thread_site import ThreadSite

T0 = 1_699_999_990_000
CSV = "timestamp,temp,state,note\n2023-11-14 22:13:10,21.5,1,ok\n2023-11-14 22:13:11,22.5,,ok\nnever,1,1,\n"


def replayed(path: Path, **values: Any) -> list[tuple[str, int, float]]:
    with ThreadSite("replay", {"file": str(path), "speed": 0, **values}, name="r") as site:
        site.poll_until(lambda: site.source.health() == {"state": "finished"})
        site.source.poll(site.sink)
    return site.sink.readings


@pytest.mark.source_quality("times", "replay")
@pytest.mark.source_quality("malformed", "replay")
def test_csv_is_replayed_with_its_times(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    assert replayed(tmp_path / "a.csv") == [("r.temp", T0, 21.5), ("r.state", T0, 1.0), ("r.temp", T0 + 1_000, 22.5)]
    assert replayed(tmp_path / "a.csv", values=["temp"], prefix="x") == [
        ("x.temp", T0, 21.5),
        ("x.temp", T0 + 1_000, 22.5),
    ]


def test_columns_are_mapped_to_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    found = replayed(tmp_path / "a.csv", values={"temp": "hall 1.temperature", "state": "door"})
    assert [name for name, _, _ in found] == ["r.hall_1.temperature", "r.door", "r.hall_1.temperature"]


def test_json_lines_name_their_series(tmp_path: Path) -> None:
    rows = [{"t": T0 + at, "id": f"s{at % 2}", "value": at} for at in range(4)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = replayed(tmp_path / "a.jsonl", time="t", series="id")
    assert found == [(f"r.s{at % 2}", T0 + at, float(at)) for at in range(4)]


def test_a_rebased_replay_is_of_now_and_keeps_the_distances(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (_, first, _), _, (_, last, _) = replayed(tmp_path / "a.csv", rebase=True, speed=100)
    assert first > T0 + 10**9
    assert last - first == 1_000


def test_more_rows_than_the_queue_holds_arrive_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_thread, "MAX_QUEUED", 1_000)
    rows = "".join(f"{T0 + at},{at}\n" for at in range(4_500))
    (tmp_path / "a.csv").write_text(f"timestamp,v\n{rows}")
    assert [value for _, _, value in replayed(tmp_path / "a.csv")] == list(range(4_500))


@pytest.mark.source_quality("unreachable", "replay")
def test_a_file_that_is_not_there_is_reported_and_tried_again(tmp_path: Path) -> None:
    with ThreadSite("replay", {"file": str(tmp_path / "none.csv")}) as site:
        site.poll_until(lambda: site.counters["source_disconnected"] == 1)


@pytest.mark.parametrize(
    "values",
    [{"file": "/a.txt"}, {"file": "/a.csv", "repeat": True}, {"file": "a.csv"}, {"file": "/a.csv", "values": {"a": 1}}],
)
def test_settings_that_cannot_work_are_rejected(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        load(ReplaySettings, values)


def test_a_file_of_one_row_is_repeated_after_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "REPEAT_PAUSE_S", 0.2)
    (tmp_path / "a.csv").write_text("timestamp,v\n2023-11-14 22:13:10,1\n")
    settings = {"file": str(tmp_path / "a.csv"), "rebase": True, "repeat": True}
    with ThreadSite("replay", settings, name="r") as site:
        site.poll_until(lambda: len(site.sink.readings) >= 3)
    times = [time_ms for _name, time_ms, _value in site.sink.readings]
    assert times[2] - times[0] >= 350
