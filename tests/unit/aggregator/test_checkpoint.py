"""The checkpoint gives back what was saved, or says that it cannot."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from edge_components.aggregator.checkpoint import Checkpoint, CheckpointError, State

STATE = State({"epoch": "00", "series": [["a", "Cel", 0.1]]}, {"time": np.arange(5), "value": np.array([1.5, np.nan])})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.sqlite3"


def test_what_was_saved_is_there_after_a_restart(path: Path) -> None:
    checkpoint, saved = Checkpoint.open(path, 1)
    assert saved.state is None
    checkpoint.save(STATE, [(1, b"one"), (2, b"two")], [])
    checkpoint.save(STATE, [(3, b"three")], [1])
    checkpoint.close()
    checkpoint, saved = Checkpoint.open(path, 2)
    assert saved.outbox == {2: b"two", 3: b"three"}
    assert saved.state is not None
    assert saved.state.facts == STATE.facts
    np.testing.assert_array_equal(saved.state.arrays["value"], STATE.arrays["value"])
    assert not saved.damaged
    checkpoint.close()


@pytest.mark.parametrize("column", ["state SET body = x'00'", "outbox SET payload = x'00'"])
def test_bytes_that_changed_on_the_disk_are_noticed_and_the_file_is_kept(path: Path, column: str) -> None:
    checkpoint, _ = Checkpoint.open(path, 1)
    checkpoint.save(STATE, [(1, b"one")], [])
    checkpoint._db.execute(f"UPDATE {column}")
    checkpoint.close()
    checkpoint, saved = Checkpoint.open(path, 42)
    assert saved.damaged
    assert saved.state is None
    assert saved.outbox == {}
    assert path.with_name("checkpoint.sqlite3.42.damaged").exists()
    checkpoint.close()


def test_rubbish_is_moved_aside(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00" + b"rubbish" * 999)
    checkpoint, saved = Checkpoint.open(path, 7)
    assert saved.damaged
    checkpoint.close()


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere/checkpoint\.sqlite3"):
        Checkpoint.open(tmp_path / "nowhere" / "checkpoint.sqlite3", 1)


def test_a_refusal_is_an_error_and_changes_nothing(path: Path) -> None:
    checkpoint, _ = Checkpoint.open(path, 1)
    checkpoint.save(STATE, [(1, b"one")], [])
    checkpoint._db.execute("PRAGMA busy_timeout=1")
    thief = sqlite3.connect(path, isolation_level=None)
    thief.execute("BEGIN IMMEDIATE")
    with pytest.raises(CheckpointError, match="locked"):
        checkpoint.save(STATE, [(2, b"two")], [1])
    thief.execute("ROLLBACK")
    thief.close()
    checkpoint.close()
    checkpoint, saved = Checkpoint.open(path, 2)
    assert saved.outbox == {1: b"one"}
    checkpoint.close()
