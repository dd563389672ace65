"""Tests of the metrics that ingest and alerting report, and of the fields by which their log lines are found."""

from __future__ import annotations

import json
import logging
from types import ModuleType

import pytest

from cloud_functions.core.ingest import Ingest
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.storing import Storer
from tests.unit.cloud.fakes import NOW_MS, FakeAcknowledger, FakeDeadLetterSink, FakeTable, aggregates, body, report
from tests.unit.cloud.test_alerting_app import app as alerting_app
from tests.unit.cloud.test_alerting_app import record, reported, run
from wire.model import Anomalies, Batch

app = alerting_app
LOG = logging.getLogger("metrics")


def deliver(table: FakeTable, *bodies: str) -> Metrics:
    metrics = Metrics()
    storer = Storer(table, lambda: NOW_MS, 86_400_000)
    ingest = Ingest(table, storer, FakeAcknowledger(), FakeDeadLetterSink(), lambda: NOW_MS, LOG, metrics=metrics)
    for at, text in enumerate(bodies):
        ingest.accept(str(at), text)
    ingest.finish()
    return metrics


def test_ingest_counts_batches_rows_duplicates_rejected_batches_and_gaps() -> None:
    first, fourth = (Batch("gw-1", 7, sequence, aggregates(sequence)) for sequence in (1, 4))
    metrics = deliver(FakeTable(), body(first), body(fourth), body(first), "{")
    assert {name: metrics.counts[name] for name in ("batches", "rows", "duplicates", "rejected")} == {
        "batches": 2,
        "rows": 24,
        "duplicates": 1,
        "rejected": 1,
    }
    assert metrics.values["gaps"] == [2]
    assert metrics.counts["bytes"] > 0


def test_the_delays_begin_at_the_end_of_the_newest_window_and_at_the_topic_rule() -> None:
    rows = aggregates(1)
    metrics = deliver(FakeTable(), body(Batch("gw-1", 7, 1, rows), received_at=NOW_MS - 700))
    assert metrics.values["rule_to_store_ms"] == [700]
    assert metrics.values["event_to_store_ms"] == [NOW_MS - int((rows.start_ms + rows.width_ms).max())]


def test_the_delay_of_a_report_begins_at_its_time_and_a_repetition_has_none() -> None:
    table, one = FakeTable(), report(after_ms=2_500)
    batch = body(Batch("gw-1", 7, 1, Anomalies((one,))), "urgent")
    assert deliver(table, batch).values["event_to_store_ms"] == [NOW_MS - one.time_ms]
    assert "event_to_store_ms" not in deliver(table, batch).values


def test_each_log_line_of_a_batch_names_gateway_batch_and_message(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "metrics"):
        different = Batch("gw-1", 7, 1, aggregates(2))
        deliver(FakeTable(), body(Batch("gw-1", 7, 1, aggregates(1))), body(different))
    stored, rejected = (vars(line) for line in caplog.records)
    assert (stored["gateway"], stored["batch"], stored["message_id"]) == ("gw-1", f"{7:016x}#{1:019d}", "0")
    assert (rejected["gateway"], rejected["batch"], rejected["message_id"]) == ("gw-1", stored["batch"], "1")


def test_alerting_reports_the_delay_from_onset_to_the_published_alert(
    app: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = report()
    monkeypatch.setattr(app, "now_ms", lambda: one.onset_ms + 4_200)
    run(app, record(reported(one)))
    run(app, *(record(new, old) for old, new in app.table.stream))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first, second = (line for line in lines if "_aws" in line)
    assert (first["function"], first["reports"]) == ("alerting", 1)
    assert (second["published_transitions"], second["event_to_alert_ms"]) == (1, [4_200])
