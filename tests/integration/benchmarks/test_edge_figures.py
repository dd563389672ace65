"""The edge benchmark's reading of /proc, its counting of a peer's readings, and its table."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import edge_measure
from benchmarks.edge_broker import configuration
from benchmarks.edge_measure import Sample, Usage
from benchmarks.edge_peer_programs import PEERS, PROGRAMS, Answer
from benchmarks.edge_peers import Sink
from benchmarks.edge_report import table
from benchmarks.edge_run import main
from device_sim.chaos.packets import publish
from tests.waiting import until

TICKS = os.sysconf("SC_CLK_TCK")


def test_cpu_time_includes_ended_children_and_processes_of_any_name() -> None:
    fields = ["S", *["0"] * 10, str(3 * TICKS), str(TICKS), str(2 * TICKS), "0", "20"]
    assert edge_measure.cpu_seconds(f"42 (a) b ( c) {' '.join(fields)}".encode()) == 6.0


def test_written_bytes_are_those_that_reach_storage() -> None:
    assert edge_measure.written(b"rchar: 7\nwchar: 8\nwrite_bytes: 4096\ncancelled_write_bytes: 9\n") == 4_096
    with pytest.raises(ValueError, match="accounting"):
        edge_measure.written(b"rchar: 7\n")


def test_memory_is_the_proportional_set_size() -> None:
    assert edge_measure.pss(b"Rss:  90 kB\nPss:   45 kB\nPss_Anon: 3 kB\n") == 45 * 1024


def test_a_sample_is_compared_tree_by_tree() -> None:
    before = Sample(1.0, {"reader": Usage(1.0, 100)})
    assert Sample(2.0, {"reader": Usage(1.5, 300)}).since(before) == {"reader": Usage(0.5, 200)}


def test_usage_includes_descendants() -> None:
    work = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10**7)); input()'])"
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE) as process:
        until(lambda: len(edge_measure.tree(process.pid)) == 2, "two processes", 10.0)
        until(lambda: edge_measure.usage(process.pid).cpu_s > 0.05, "CPU time", 10.0)
        assert edge_measure.pss_bytes(process.pid) > 2**20
        process.communicate(b"\n")
    assert edge_measure.tree(process.pid) == []


def test_the_stock_window_is_left_to_mosquitto() -> None:
    assert "max_inflight" not in configuration(1883, Path("/x"), None)
    assert "max_inflight_messages 200\n" in configuration(1883, Path("/x"), 200)


def test_a_sink_counts_values_that_arrive_in_pieces_and_answers_its_question() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answer = Answer(b"limits?", "limits", b"none")
        with Sink(listener.getsockname()[1], answer) as sink:
            server, _address = listener.accept()
            with server:
                for piece in (b'{"v": 21.1', b'25, "t": 1800000000000}', b'{"v":26.995}', b" limits?"):
                    server.sendall(piece)
                    time.sleep(0.05)  # separate pieces; the count below does not depend on it
                until(lambda: sink.readings == 2, "two readings", 10.0)
                received = b""
                while publish("limits", b"none") not in received:
                    received += server.recv(4_096)


def test_the_table_shows_goals_losses_and_absent_peers() -> None:
    text = table(
        {
            "machine": {"cores": 2},
            "readings_s_inflight20": 1_612.4,
            "pss_mb": None,
            "sustained_sent": 1_000,
            "sustained_lost": 0,
            "sustained_not_stored": 3,
            "peers": {"telegraf": {"absent": "no program given"}},
        }
    )
    assert "1,612" in text
    assert ">= 1,500" in text
    assert "1,000 readings sent, 0 in no aggregate, 3 not stored" in text
    assert "not measured: no program given" in text


def test_every_peer_names_its_program_and_durable_settings() -> None:
    assert {peer.program for peer in PEERS.values()} == set(PROGRAMS)
    assert all("QoS 1" in peer.settings or peer.settings.startswith("as ") for peer in PEERS.values())


def test_an_unknown_experiment_is_rejected_with_the_allowed_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "disk,speed"]) == 2
    assert "--only speed: idle, disk, steady" in capsys.readouterr().err
