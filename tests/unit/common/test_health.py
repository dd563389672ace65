"""Counters are exact under concurrent use, and log lines are JSON objects."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading

import pytest

from edge_components.common.health import Counters, JsonFormatter, start_logging


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
