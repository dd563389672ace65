"""Every event is counted; each key of a reason is logged at a limited rate, and the worst keys are named."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter

import pytest

from edge_components.common.health import Counters
from edge_components.common.lifecycle import fitted
from edge_components.common.limited_log import LINES_PER_INTERVAL, MAX_KEYS, KeyCounts, RateLimitedLog
from tests.fakes import FakeClock


class Bench:
    def __init__(self) -> None:
        self.counters, self.clock = Counters(), FakeClock()
        self.log = RateLimitedLog(self.counters, logging.getLogger("test"), self.clock)


def fields(record: logging.LogRecord) -> dict[str, object]:
    return record.fields  # type: ignore[attr-defined]


def test_rare_key_is_logged_despite_a_frequent_one(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for _ in range(1_000):
        bench.log.warning("rejected_json", "not JSON", key="line/noisy")
    bench.log.warning("rejected_json", "not JSON either", key="line/quiet")
    bench.log.warning("rejected_time", "no timestamp", 5, key="line/noisy")
    assert [record.getMessage() for record in caplog.records] == [
        "rejected_json: not JSON",
        "rejected_json: not JSON either",
        "rejected_time: no timestamp",
    ]
    assert fields(caplog.records[1])["key"] == "line/quiet"
    assert bench.counters.snapshot() == {"rejected_json": 1_001, "rejected_time": 5}


def test_a_key_is_logged_again_after_the_interval(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.log.warning("rejected_json", "first", key="a")
    bench.clock.advance(59.0)
    bench.log.warning("rejected_json", "too early", key="a")
    bench.clock.advance(1.0)
    bench.log.warning("rejected_json", "second", key="a")
    assert [record.getMessage() for record in caplog.records] == ["rejected_json: first", "rejected_json: second"]


def test_a_reason_without_keys_is_limited_as_a_whole(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for number in range(5):
        bench.log.error("publish_failed", f"batch {number}")
    assert [record.getMessage() for record in caplog.records] == ["publish_failed: batch 0"]
    assert caplog.records[0].levelno == logging.ERROR


def test_lines_are_bounded_however_many_keys_there_are(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for number in range(10_000):
        bench.log.warning("rejected_json", "not JSON", key=f"topic/{number}")
    assert len(caplog.records) == LINES_PER_INTERVAL
    assert bench.counters["rejected_json"] == 10_000


def test_suppressed_lines_are_summarized_once_per_interval_with_the_most_frequent_keys(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    for key, times in (("a", 4), ("b", 31), ("c", 11)):
        for _ in range(times):
            bench.log.warning("rejected_json", "not JSON", key=key)
    caplog.clear()
    bench.log.summarize()
    assert not caplog.records
    bench.clock.advance(60.0)
    bench.log.summarize()
    bench.log.summarize()
    assert [record.getMessage() for record in caplog.records] == ["rejected_json: 43 more lines were suppressed"]
    assert fields(caplog.records[0])["most"] == {"b": 30, "c": 10, "a": 3}
    assert fields(caplog.records[0])["keys"] == 3


def test_the_final_summary_does_not_wait(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for _ in range(3):
        bench.log.warning("late", "late", key="a")
    bench.log.summarize(final=True)
    assert caplog.records[-1].getMessage() == "late: 2 more lines were suppressed"


def test_the_worst_keys_are_those_of_the_last_hours() -> None:
    bench = Bench()
    for number in range(1, 9):
        bench.log.warning("rejected_json", "not JSON", number, key=f"old/{number}")
    bench.clock.advance(3_600.0)
    bench.log.warning("rejected_json", "not JSON", 7, key="new")
    assert list(bench.log.worst()["rejected_json"].items())[:3] == [("old/8", 8), ("new", 7), ("old/7", 7)]
    bench.clock.advance(3_600.0)
    assert bench.log.worst() == {"rejected_json": {"new": 7}}
    bench.clock.advance(3_600.0)
    assert bench.log.worst() == {}


def test_frequent_keys_among_many_are_found_in_bounded_memory() -> None:
    chance, sketch, exact = random.Random(1), KeyCounts(), Counter[str]()
    keys = [f"heavy/{number}" for number in range(5) for _ in range(600)] + [f"rare/{at}" for at in range(20_000)]
    chance.shuffle(keys)
    for key in keys:
        sketch.add(key)
        exact[key] += 1
    assert len(sketch) == MAX_KEYS
    assert not sketch.complete
    top = sketch.top(5)
    assert set(top) == {f"heavy/{number}" for number in range(5)}
    assert all(0 < count <= exact[key] for key, count in top.items())


@pytest.mark.parametrize(("reasons", "limit"), [(3, 7_000), (20, 7_000), (60, 7_000), (500, 3_000)])
def test_a_health_report_fits_for_any_keys(reasons: int, limit: int) -> None:
    worst = {f"reason_{at}": {f"{key}" * 160: 1 for key in range(5)} for at in range(reasons)}
    report = {"component": "x", "counters": {"readings": 1}, "state": {"models": "fine"}, "worst": worst}
    decoded = json.loads(encoded := fitted(report, limit))
    assert len(encoded) <= limit
    assert decoded["counters"] == {"readings": 1}
    assert decoded["state"] == {"models": "fine"}
    assert ("worst" in decoded) == (reasons < 60)
