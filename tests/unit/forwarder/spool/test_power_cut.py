"""After a kill at any step, or a power cut at any written byte, every acknowledged row is stored once."""

from __future__ import annotations

import copy
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_components.forwarder.spool import journal
from edge_components.forwarder.spool.entries import ReceivedBatch
from edge_components.forwarder.spool.frames import Change, StateVersion, digest
from edge_components.forwarder.spool.journal import SUFFIXES, Journal
from edge_components.forwarder.spool.recovery import open_spool
from edge_components.forwarder.spool.replay import Rows, read
from tests.unit.forwarder.spool.test_damage import NAME, Driver, check, kill
from wire.topics import Lane


class Killer:
    """Copy the folder before and after each call that writes to the disk, as after a kill."""

    def __init__(self, folder: Path, into: Path) -> None:
        self.folder, self.into, self.copies, self.on = folder, into, 0, False

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            self.copy()
            result = call(*args, **named)
            self.copy()
            return result

        return wrapped

    def copy(self) -> None:
        if self.on:
            shutil.copytree(self.folder, self.into / str(self.copies))
            self.copies += 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_step_the_spool_is_as_before_it_or_as_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    (tmp_path / "alive").mkdir()
    killer = Killer(tmp_path / "alive", tmp_path / "dead")
    monkeypatch.setattr(journal, "GROWTH_BYTES", 15_000)
    monkeypatch.setattr(journal, "_write", killer.around(journal._write))
    monkeypatch.setattr(Path, "replace", killer.around(Path.replace))
    monkeypatch.setattr(os, "fsync", killer.around(os.fsync))
    driver = Driver(tmp_path / "alive" / NAME, seed)
    for _ in range(20):
        before, last = driver.spool.row_values(), driver.spool.version.last
        killer.on = True
        driver.step()
        killer.on = False
        for number in range(killer.copies):
            spool = open_spool(tmp_path / "dead" / str(number) / NAME, 2, 50_000_000, 5)
            assert (spool.epoch, spool.losses()) == (1, {}), "a kill does not damage the spool"
            assert spool.row_values() in (before, driver.spool.row_values())
            assert spool.version.last in (last, driver.spool.version.last)
            spool.close()
        shutil.rmtree(tmp_path / "dead", ignore_errors=True)
        killer.copies = 0
    driver.spool.close()


def _commits(rng: random.Random, number: int) -> list[tuple[list[Change], bool]]:
    """Return commits, each with whether it is synced."""
    made = []
    for at in range(1, number + 1):
        payload = rng.randbytes(rng.choice((10, 60)))
        changes = [
            Change(("pending", at), [1, 3, 0, digest("pending", payload)], payload),
            Change(("senders", "0000000000000007"), [at, "[]", at]),
        ]
        if at > 3:
            changes.append(Change(("pending", at - 3), None))
        made.append((changes, rng.random() < 0.6))
    return made


@pytest.mark.slow
def test_power_cut_at_any_byte_leaves_an_earlier_state_with_everything_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / NAME
    writes: list[tuple[int, int, bytes]] = []
    writer = Journal(path)
    monkeypatch.setattr(journal, "GROWTH_BYTES", 4_000)
    writer.snapshot(StateVersion(1, 0, 0), [])
    files = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    start = [file.read_bytes() for file in files]
    real = journal._write
    monkeypatch.setattr(
        journal, "_write", lambda file, data, at: (writes.append((file, at, data)), real(file, data, at))
    )
    first = writer._files[0]
    states: list[Rows] = [{}]
    for number, (changes, durable) in enumerate(_commits(random.Random(4), 7), 1):
        writer.append(StateVersion(1, number, 0), changes, durable=durable)
        states.append(dict(states[-1]))
        for key, values, _ in changes:
            if values is None:
                del states[-1][key]
            else:
                states[-1][key] = list(values)
        writes.append((-1, number, b"durable" if durable else b""))
    writer.close()
    on_disk = [bytearray(data) for data in start]
    durable_commit = 0
    for file, at, data in writes:
        if file == -1:
            durable_commit = at if data else durable_commit
            continue
        which = 0 if file == first else 1
        for cut in range(len(data) + 1):
            on_disk[which][at : at + cut] = data[:cut]
            # The second file is never synced: it may be as it was at the start, or up to date.
            for second in (on_disk[1], start[1]) if cut % 8 == 0 else (start[1],):
                _state_is_one_that_was(path, files, (on_disk[0], second), states, durable_commit)
    assert durable_commit > 3


def _state_is_one_that_was(
    path: Path, files: list[Path], images: tuple[bytes | bytearray, ...], states: list[Rows], durable: int
) -> None:
    for file, image in zip(files, images, strict=True):
        file.write_bytes(image)
    found = read(path)
    assert found is not None
    assert found.intact
    assert found.version.commits >= durable
    assert found.rows == states[found.version.commits]
    for key, values in found.rows.items():
        if key[0] == "pending":
            assert any(digest("pending", one) == values[-1] for one in found.payloads[key]), "a payload is missing"


def test_a_hole_before_a_durable_commit_is_damage(tmp_path: Path) -> None:
    path = tmp_path / NAME
    writer = Journal(path)
    writer.snapshot(StateVersion(1, 0, 0), [])
    ends = []
    for number, (changes, _) in enumerate(_commits(random.Random(4), 6), 1):
        writer.append(StateVersion(1, number, 0), changes, durable=True)
        ends.append(tuple(writer._ends))
    writer.close()
    images = [path.with_name(path.name + suffix).read_bytes() for suffix in SUFFIXES]

    def without(first: int, last: int) -> tuple[bool, int]:
        """Blank commits in both files and return whether the journal is intact, and its last commit."""
        for which, (suffix, image) in enumerate(zip(SUFFIXES, images, strict=True)):
            start, end = ends[first - 2][which], ends[last - 1][which]
            path.with_name(path.name + suffix).write_bytes(image[:start] + bytes(end - start) + image[end:])
        found = read(path)
        assert found is not None
        return found.intact, found.version.commits

    assert without(3, 4) == (False, 6)
    assert without(4, 4) == (True, 6), "the next commit repeats its facts"


def test_a_durable_commit_at_the_end_whose_payload_is_damaged_in_both_files_is_damage(tmp_path: Path) -> None:
    path = tmp_path / NAME
    spool = open_spool(path, 1, 50_000_000, 5)
    payload = random.Random(1).randbytes(500)
    spool.store([ReceivedBatch(7, 1, Lane.BULK, 3, payload)])
    spool.abandon()
    for suffix in SUFFIXES:
        file = path.with_name(path.name + suffix)
        data = file.read_bytes()
        assert payload in data
        file.write_bytes(data.replace(payload, bytes(500)))
    again = open_spool(path, 2, 50_000_000, 5)
    assert again.losses() == {"dropped_rows_not_recovered_bulk": 3, "spools_damaged": 1}
    assert again.holds(7, 1), "it was acknowledged, so it is a loss that is counted"
    again.close()


def test_unsynced_changes_that_a_power_cut_undoes_are_made_again(tmp_path: Path) -> None:
    """A freed batch can be restored with its number and bytes."""
    (tmp_path / "alive").mkdir()
    driver = Driver(tmp_path / "alive" / NAME, 3)
    while not driver.truth.sent:
        driver.step()
    truth = copy.deepcopy(driver.truth)
    synced = kill(tmp_path / "alive" / NAME, tmp_path / "synced")
    driver.free()
    driver.spool.abandon()
    spool = open_spool(synced, 2, 50_000_000, 5)
    check(spool, truth)
    spool.close()


def test_sqlite_is_at_the_last_fold_after_a_kill(tmp_path: Path) -> None:
    (tmp_path / "alive").mkdir()
    driver = Driver(tmp_path / "alive" / NAME, 5)
    for _ in range(10):
        driver.step()
    path = kill(tmp_path / "alive" / NAME, tmp_path / "dead")
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM senders").fetchone()[0] == 0
    db.close()
    spool = open_spool(path, 2, 50_000_000, 5)
    check(spool, driver.truth)
    spool.close()
    driver.spool.close()
