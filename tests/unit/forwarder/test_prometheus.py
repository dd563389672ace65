"""Metrics in Prometheus' text format, read by the parser of Prometheus' client, and when the forwarder serves them."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from edge_components.common.version import VERSION
from edge_components.forwarder.component import Forwarder
from edge_components.forwarder.config import Config
from edge_components.forwarder.prometheus import exposition
from edge_components.forwarder.spool.recovery import open_spool
from tests.fakes import FakeClock, fake_runtime
from wire import topics

COUNTERS = {"io.strandline.SensorReader": {"readings": 12, "rejected_json": 1}, "Forwarder": {"acknowledgements": 3}}


def samples(text: bytes) -> dict[tuple[str, str, str], float]:
    """Return value by name, component and event, as Prometheus' parser reads the text."""
    parser: Any = pytest.importorskip("prometheus_client.parser")
    found = {}
    for family in parser.text_string_to_metric_families(text.decode()):
        assert family.documentation
        for sample in family.samples:
            assert sample.labels["gateway"] == 'gw "1"\\'
            found[sample.name, sample.labels.get("component", ""), sample.labels.get("event", "")] = sample.value
    return found


def test_the_parser_reads_every_counter_and_gauge_with_an_escaped_name() -> None:
    text = exposition('gw "1"\\', COUNTERS, {"spool_bytes": 4096, "stale_io.strandline.Aggregator": 70})
    assert samples(text) == {
        ("strandline_events_total", "SensorReader", "readings"): 12.0,
        ("strandline_events_total", "SensorReader", "rejected_json"): 1.0,
        ("strandline_events_total", "Forwarder", "acknowledgements"): 3.0,
        ("strandline_spool_bytes", "", ""): 4096.0,
        ("strandline_stale_io_strandline_Aggregator", "", ""): 70.0,
    }


def test_each_line_is_a_comment_or_a_sample_with_a_value() -> None:
    lines = exposition("gw", COUNTERS, {"spool_bytes": 1}).decode().splitlines()
    assert lines[0] == "# HELP strandline_events_total Events that a component counted since its start."
    assert 'strandline_events_total{gateway="gw",component="SensorReader",event="readings"} 12' in lines
    assert lines[-1] == 'strandline_spool_bytes{gateway="gw"} 1'


class FakeMetrics:
    """A server of metrics that fails on port 80."""

    def __init__(self) -> None:
        self.text, self.ports, self.closed = b"", list[int](), False

    def listen(self, port: int) -> None:
        if port == 80:
            raise PermissionError(errno.EACCES, "Permission denied")
        self.ports.append(port)

    def close(self) -> None:
        self.closed = True


def forwarder(work: Path, port: int) -> tuple[Forwarder, FakeMetrics, FakeClock, Any]:
    runtime, _bus, clock = fake_runtime(work)
    metrics = FakeMetrics()
    config = Config(metrics_port=port)

    def spool() -> Any:
        return open_spool(work / "spool.sqlite3", 1, config.spool_max_bytes, clock.wall_ms())

    made = Forwarder(config, runtime, spool, lambda: 10**12, metrics)
    made.start()
    return made, metrics, clock, runtime


def test_metrics_are_renewed_every_five_seconds(tmp_path: Path) -> None:
    made, metrics, clock, _runtime = forwarder(tmp_path, 9100)
    body = {"component": "SensorReader", "counters": {"readings": 5}, "version": VERSION}
    made.on_health(topics.HEALTH, json.dumps(body).encode())
    assert made.tick() <= 5.0
    assert b'component="SensorReader",event="readings"} 5' in metrics.text
    assert b"strandline_spool_bytes" in metrics.text
    body["counters"] = {"readings": 9}
    made.on_health(topics.HEALTH, json.dumps(body).encode())
    made.tick()
    assert b'event="readings"} 5' in metrics.text
    clock.advance(5.0)
    made.tick()
    assert b'event="readings"} 9' in metrics.text
    made.close()
    assert metrics.closed


def test_without_a_port_nothing_is_formatted(tmp_path: Path) -> None:
    made, metrics, _clock, _runtime = forwarder(tmp_path, 0)
    made.tick()
    assert (metrics.text, metrics.ports) == (b"", [0])
    made.reconfigure(Config(metrics_port=9100))
    assert metrics.ports == [0, 9100]


def test_a_port_that_cannot_be_used_is_counted_and_the_forwarder_continues(tmp_path: Path) -> None:
    made, _metrics, _clock, runtime = forwarder(tmp_path, 80)
    made.tick()
    assert runtime.counters["metrics_failed"] == 1
