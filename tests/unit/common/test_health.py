"""Counts are exact whoever counts, and complaints are counted always and said seldom."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading

import pytest

from edge_components.common.health import Complaints, Counters, JsonFormatter, start_logging
from tests.fakes import FakeClock


def test_threads_that_count_at_once_lose_no_count() -> None:
    counters, turns = Counters(), 20_000
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [counters.add("x") for _ in range(turns)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert counters["x"] == 4 * turns


def test_a_snapshot_is_by_name_and_does_not_move_on() -> None:
    counters = Counters()
    counters.add("b")
    counters.add("a", 3)
    taken = counters.snapshot()
    counters.add("a")
    assert list(taken.items()) == [("a", 3), ("b", 1)]
    assert counters["never"] == 0


def test_complaints_count_all_and_say_each_reason_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    counters, clock = Counters(), FakeClock()
    complaints = Complaints(counters, logging.getLogger("test"), clock, every_s=60.0)
    for at in range(1_000):
        complaints.add("rejected_json", f"topic {at}")
    complaints.add("rejected_time", "topic t", 5)
    assert [record.getMessage() for record in caplog.records] == ["rejected_json: topic 0", "rejected_time: topic t"]
    clock.advance(60.0)
    complaints.add("rejected_json", "topic later")
    assert caplog.records[-1].getMessage() == "rejected_json: topic later"
    assert caplog.records[-1].fields == {"count": 1_000}  # type: ignore[attr-defined]
    assert counters.snapshot() == {"rejected_json": 1_001, "rejected_time": 5}


def test_a_log_line_is_one_json_object_with_gateway_component_fields_and_traceback() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("gw", "part"))
    log = logging.Logger("test")
    log.addHandler(handler)
    log.warning("a %s\nb", "x", extra={"fields": {"count": 3, "odd": object}})
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["message"] == "a x\nb"
    assert (first["level"], first["gateway"], first["component"], first["count"]) == ("WARNING", "gw", "part", 3)
    assert first["time"].endswith("Z")
    assert "ValueError: why" in second["traceback"]


def test_logging_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        start_logging("gw", "part").info("hello")
    finally:
        root.handlers[:], root.level = before, level
    assert json.loads(capsys.readouterr().out)["message"] == "hello"
