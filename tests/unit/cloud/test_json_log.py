"""Log lines of the functions: JSON with the request, extra fields and exceptions."""

from __future__ import annotations

import json
import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from cloud_functions.json_log import Logger


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def invoke(log: Logger, event: dict[str, Any], **extra: Any) -> None:
    log.inject_lambda_context(lambda event, context: log.info("%d rows", 3, extra=extra))(
        event,
        SimpleNamespace(aws_request_id="r-1", get_remaining_time_in_millis=lambda: 1),
    )


def test_a_line_names_level_service_request_and_extra_fields(capsys: pytest.CaptureFixture[str]) -> None:
    invoke(Logger("strandline-x"), {}, gateway="gw-1")
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "service": "strandline-x",
        "message": "3 rows",
        "function_request_id": "r-1",
        "gateway": "gw-1",
    }


def test_an_http_request_and_a_trace_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-2-3;Parent=4;Sampled=1")
    log = Logger("strandline-x")
    invoke(log, {"requestContext": {"requestId": "h-1"}})
    invoke(log, {})
    first, second = lines(capsys)
    assert (first["correlation_id"], first["xray_trace_id"]) == ("h-1", "1-2-3")
    assert "correlation_id" not in second


def test_an_exception_is_in_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        Logger("strandline-x").exception("failed")
    (line,) = lines(capsys)
    assert (line["level"], line["exception_name"]) == ("ERROR", "ValueError")
    assert "ValueError: bad" in line["exception"]


def test_the_level_is_that_of_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    log = Logger("strandline-x")
    log.warning("not written")
    log.error("written")
    assert [line["message"] for line in lines(capsys)] == ["written"]


def test_other_loggers_write_json_through_the_handler_of_the_runtime() -> None:
    kind = type("LambdaHandler", (logging.StreamHandler,), {"__module__": "awslambdaric.bootstrap"})
    handler = kind(sys.stdout)
    logging.getLogger().addHandler(handler)
    try:
        log = Logger("strandline-x")
    finally:
        logging.getLogger().removeHandler(handler)
    assert handler.formatter is log.formatter
