"""Tests of the persistent state of the nucleus: configurations, logs, tokens, process groups."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path

import pytest

from device_sim.greengrass.component_log import ComponentLog
from device_sim.greengrass.configuration import Configuration, ConfigurationUpdate
from device_sim.greengrass.groups import ProcessGroups
from device_sim.greengrass.identities import CLI, Identity, Tokens
from device_sim.greengrass.store import ConfigurationStore

LOG = logging.getLogger("strandline.test")


def test_a_configuration_survives_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "effective.json"
    store = ConfigurationStore(file, LOG)
    store.put({"x": Configuration({}).deployed({"a": {"b": 1}}, ConfigurationUpdate(), 7)})
    store.update("x", ["a"], {"b": 2}, 9)
    again = ConfigurationStore(file, LOG).get("x")
    assert again == Configuration({"a": {"b": 2}}, {("a", "b"): 9})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}', '{"x": {"values": {}, "modified": [1]}}', "\udcff"])
def test_an_unreadable_file_is_renamed_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    file = tmp_path / "effective.json"
    file.write_bytes(content.encode(errors="surrogateescape"))
    assert ConfigurationStore(file, LOG).get("x") is None
    assert "renamed to" in caplog.text
    assert not file.exists()
    assert (tmp_path / "effective.unreadable").exists()


def test_watchers_receive_changes_at_below_and_above_their_key(tmp_path: Path) -> None:
    store = ConfigurationStore(tmp_path / "c.json", LOG)
    store.put({"x": Configuration({"a": {"b": 1, "c": 1}}), "y": Configuration({"a": 1})})
    received: list[tuple[str, tuple[str, ...]]] = []
    end = store.watch("x", ("a",), lambda leaf: received.append(("a", leaf)))
    store.watch("x", ("a", "b"), lambda leaf: received.append(("a/b", leaf)))
    store.watch("y", (), lambda leaf: received.append(("y", leaf)))
    store.update("x", ["a"], {"b": 2, "c": 1}, 1)
    assert sorted(received) == [("a", ("a", "b")), ("a/b", ("a", "b"))]
    end()
    received.clear()
    store.put({"x": Configuration({"a": 5})})
    assert ("a/b", ("a",)) in received
    assert "a" not in {who for who, _ in received}


def test_policies_follow_the_configuration(tmp_path: Path) -> None:
    store = ConfigurationStore(tmp_path / "c.json", LOG)
    assert store.policies("x") == ()
    allowed = {"accessControl": {"s": {"p": {"operations": ["*"], "resources": ["*"]}}}}
    store.put({"x": Configuration(allowed)})
    assert len(store.policies("x")) == 1
    store.put({"x": Configuration({})})
    assert store.policies("x") == ()


def test_a_store_that_cannot_write_continues_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = ConfigurationStore(tmp_path / "absent" / "c.json", LOG)
    store.put({"x": Configuration({"a": 1})})
    assert "is in memory only" in caplog.text
    assert store.get("x") == Configuration({"a": 1})


def test_a_log_is_rotated_at_the_end_of_a_line_with_a_limited_number_of_files(tmp_path: Path) -> None:
    log = ComponentLog(tmp_path / "c.log", max_bytes=20, kept=2)
    for number in range(10):
        log.write(f"line {number}\n".encode())
    log.write(b"half ")
    log.write(b"a line\n")
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.log", "c.log.1"]
    text = (tmp_path / "c.log.1").read_text() + (tmp_path / "c.log").read_text()
    assert text.endswith("line 8\nline 9\nhalf a line\n")
    assert (tmp_path / "c.log.1").read_text().endswith("\n")


def test_a_line_longer_than_the_bound_is_still_written(tmp_path: Path) -> None:
    log = ComponentLog(tmp_path / "c.log", max_bytes=10, kept=2)
    log.write(b"x" * 50)
    log.write(b"y\n")
    log.close()
    assert (tmp_path / "c.log.1").read_bytes() + (tmp_path / "c.log").read_bytes() == b"x" * 50 + b"y\n"


def test_a_token_is_its_holders_alone() -> None:
    tokens = Tokens()
    one, cli = tokens.issue(Identity("one")), tokens.issue(CLI)
    assert one != cli
    assert tokens.issue(Identity("one")) == one
    assert tokens.holder(one) == Identity("one")
    assert tokens.holder(cli) == CLI
    for wrong in ("", one[:-1], None, 5, "\ud800", one + "x"):
        assert tokens.holder(wrong) is None


def test_only_groups_that_are_still_the_same_process_are_swept(tmp_path: Path) -> None:
    groups = ProcessGroups(tmp_path, LOG)
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as left:
        groups.add(left.pid)
        with subprocess.Popen(["sleep", "1000"], start_new_session=True) as other:
            (tmp_path / str(other.pid)).write_text("1")
            (tmp_path / "999999999").write_text("5")
            assert ProcessGroups(tmp_path, LOG).sweep() == [left.pid]
            assert left.wait(60) == -9
            assert other.poll() is None
            other.kill()
    assert list(tmp_path.iterdir()) == []


def test_a_group_that_ended_is_forgotten(tmp_path: Path) -> None:
    groups = ProcessGroups(tmp_path, LOG)
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as one:
        groups.add(one.pid)
        groups.remove(one.pid)
        assert groups.sweep() == []
        one.kill()


def test_a_file_of_configurations_is_json(tmp_path: Path) -> None:
    ConfigurationStore(tmp_path / "c.json", LOG).put({"x": Configuration({"a": [1, None, "é"]})})
    assert json.loads((tmp_path / "c.json").read_text())["x"]["values"] == {"a": [1, None, "é"]}
