"""The checkpoint gives back what was saved, or says that it cannot."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from edge_components.aggregator.checkpoint import MAX_CLOSED_BYTES, Checkpoint, CheckpointError, State
from edge_components.aggregator.copy import SUFFIX

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
def test_bytes_that_changed_on_the_disk_are_noticed_and_the_copy_stands_for_them(path: Path, column: str) -> None:
    checkpoint, _ = Checkpoint.open(path, 1)
    checkpoint.save(STATE, [(1, b"one"), (2, b"two")], [])
    checkpoint._db.execute(f"UPDATE {column}")
    checkpoint.close()
    checkpoint, saved = Checkpoint.open(path, 42)
    assert (saved.damaged, saved.lost, saved.outbox) == (True, False, {1: b"one", 2: b"two"})
    assert saved.state is not None
    assert path.with_name("checkpoint.sqlite3.42.damaged").exists()
    checkpoint.close()
    checkpoint, saved = Checkpoint.open(path, 43)
    assert (saved.damaged, saved.outbox) == (False, {1: b"one", 2: b"two"}), "it is whole again"
    checkpoint.close()


def test_a_number_of_a_schema_that_was_flipped_is_damage_and_that_of_a_newer_one_is_refused(path: Path) -> None:
    checkpoint, _ = Checkpoint.open(path, 1)
    checkpoint.save(STATE, [(1, b"one")], [])
    checkpoint._db.execute("PRAGMA user_version=66")
    checkpoint.close()
    checkpoint, saved = Checkpoint.open(path, 2)
    assert (saved.damaged, saved.lost, saved.outbox) == (True, False, {1: b"one"})
    checkpoint._db.execute("CREATE TABLE what_newer_ones_have (id INTEGER)")
    checkpoint._db.execute("PRAGMA user_version=66")
    checkpoint.close()
    with pytest.raises(CheckpointError, match="schema 66"):
        Checkpoint.open(path, 3)


def test_a_copy_that_is_behind_is_brought_up_before_anything_is_told(path: Path) -> None:
    checkpoint, _ = Checkpoint.open(path, 1)
    checkpoint.save(STATE, [(1, b"one")], [])
    behind = path.with_name(path.name + SUFFIX).read_bytes()
    checkpoint.save(STATE, [(2, b"two")], [])
    checkpoint.close()
    path.with_name(path.name + SUFFIX).write_bytes(behind)  # killed between the commit and the copy
    checkpoint, _ = Checkpoint.open(path, 2)
    checkpoint.close()
    path.write_bytes(b"rubbish" * 1000)
    checkpoint, saved = Checkpoint.open(path, 3)
    assert (saved.lost, saved.outbox) == (False, {1: b"one", 2: b"two"})
    checkpoint.close()


def test_where_the_copy_is_damaged_too_it_is_known_how_many_readings_are_lost(path: Path) -> None:
    checkpoint, _ = Checkpoint.open(path, 1)
    checkpoint.save(STATE, [(1, b"one")], [], readings=77)
    checkpoint._db.execute("UPDATE state SET body = x'00'")
    checkpoint.close()
    copy = path.with_name(path.name + SUFFIX)
    data = bytearray(copy.read_bytes())
    data[0] ^= 1  # the first head, and what follows the second
    data[-1] ^= 1
    copy.write_bytes(data)
    checkpoint, saved = Checkpoint.open(path, 42)
    assert (saved.state, saved.outbox, saved.lost, saved.held_readings) == (None, {}, True, 77)
    checkpoint.close()


def test_rubbish_is_moved_aside(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00" + b"rubbish" * 999)
    checkpoint, saved = Checkpoint.open(path, 7)
    assert (saved.damaged, saved.lost, saved.held_readings) == (True, True, None)
    checkpoint.close()


def test_the_hashes_of_closed_windows_are_kept_up_to_their_bound(path: Path) -> None:
    checkpoint, _ = Checkpoint.open(path, 1)
    for number in range(20):
        checkpoint.save(STATE, [], [], closed=bytes([number]) * (MAX_CLOSED_BYTES // 8))
    checkpoint.close()
    checkpoint, saved = Checkpoint.open(path, 2)
    assert sorted(set(saved.closed)) == list(range(12, 20))
    checkpoint.close()


@pytest.mark.parametrize("seed", range(16))
def test_bits_flipped_in_one_of_the_files_cost_nothing(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    alive, dead = tmp_path / "alive", tmp_path / "dead"
    alive.mkdir()
    checkpoint, _ = Checkpoint.open(alive / "c", 1)
    outbox: dict[int, bytes] = {}
    for number in range(1, rng.randint(2, 20)):
        added = {number: rng.randbytes(rng.randint(10, 3000))}
        freed = [sequence for sequence in outbox if rng.random() < 0.3]
        state = State({"number": number}, {"time": np.arange(number)})
        checkpoint.save(state, added.items(), freed, closed=rng.randbytes(80))
        outbox = {key: body for key, body in (outbox | added).items() if key not in freed}
    shutil.copytree(alive, dead)  # as a kill -9 leaves it
    checkpoint.close()
    files = [file for file in sorted(dead.iterdir()) if file.stat().st_size and not file.name.endswith("-shm")]
    file = rng.choice(files)
    data = bytearray(file.read_bytes())
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)
    checkpoint, saved = Checkpoint.open(dead / "c", 2)
    assert saved.state is not None
    assert (saved.state.facts, saved.outbox, saved.lost) == ({"number": number}, outbox, False)
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
