"""Spools written by earlier versions are opened without loss."""

from __future__ import annotations

import shutil
import sqlite3
import zipfile
from pathlib import Path

import pytest

from edge_components.common import aggregates_message
from edge_components.forwarder.errors import SpoolError
from edge_components.forwarder.spool.recovery import open_spool
from edge_components.forwarder.spool.spool import Spool
from tests.compat.forwarder import write_state
from wire import codec
from wire.acknowledgement import Acknowledgement
from wire.model import Aggregates
from wire.topics import Lane

ARCHIVES = sorted(path.name for path in write_state.FOLDER.glob("*.zip"))


def opened(name: str, folder: Path) -> Spool:
    with zipfile.ZipFile(write_state.FOLDER / name) as archive:
        archive.extractall(folder)
    return open_spool(folder / write_state.NAME, epoch=1, max_bytes=write_state.MAX_BYTES, wall_ms=1)


def check(spool: Spool) -> None:
    """Compare a spool with what write_state put into it."""
    assert spool.epoch == write_state.EPOCH
    assert spool.losses() == {"rows_merged": 9, "dropped_rows_too_large": 1}
    assert spool.acknowledgement(write_state.SENDER) == Acknowledgement(write_state.SENDER, 3, ((5, 6),))
    assert spool.acknowledgement(write_state.OTHER_SENDER) == Acknowledgement(write_state.OTHER_SENDER, 1)
    pending = list(spool.pending())
    assert [(row.id, row.lane, row.rows, row.used) for row in pending] == [
        (3, Lane.BULK, 5, 0),
        (4, Lane.BULK, 5, 0),
        (5, Lane.BULK, 5, 0),
    ]
    decoded = aggregates_message.decode(pending[2].payload)
    assert (decoded.epoch, decoded.sequence) == (write_state.OTHER_SENDER, 1)
    assert isinstance(decoded.rows, Aggregates)
    assert decoded.rows.mean.tolist() == write_state.rows(1, 5).mean.tolist()
    sent = [batch for key in spool.sent() if (batch := spool.get(key)) is not None]
    assert [(batch.lane, batch.epoch, batch.sequence, batch.rows) for batch in sent] == [
        (Lane.BULK, write_state.EPOCH, 2, 3),
        (Lane.BULK, write_state.EPOCH, 3, 2),
    ]
    assert sent[0].body == codec.pack(write_state.rows(2, 3))
    assert [(batch.rows, batch.sequence) for batch in spool.unsent(Lane.BACKFILL, 9)] == [(4, 0)]


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_spool_of_an_earlier_version_is_opened_with_all_its_rows(name: str, tmp_path: Path) -> None:
    spool = opened(name, tmp_path)
    check(spool)
    assert list(spool._db.execute("SELECT reason, body FROM quarantine")) == [("a reason", b"one row")]
    assert spool.number(spool.unsent(Lane.BACKFILL, 9))[0].sequence == 4
    spool.close()
    assert not list(tmp_path.glob("*.damaged"))


@pytest.mark.parametrize("name", ARCHIVES)
def test_its_journal_alone_restores_a_spool_of_an_earlier_version(name: str, tmp_path: Path) -> None:
    opened(name, tmp_path).abandon()
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    with zipfile.ZipFile(write_state.FOLDER / name) as archive:
        for member in archive.namelist():
            if "journal" in member:
                archive.extract(member, tmp_path)
    spool = open_spool(tmp_path / write_state.NAME, epoch=1, max_bytes=write_state.MAX_BYTES, wall_ms=1)
    assert spool.losses().pop("spools_damaged") == 1
    assert [row.rows - row.used for row in spool.pending()] == [5, 5, 5]
    assert len(spool.sent()) == 2
    spool.close()


def test_archives_of_both_states_are_kept() -> None:
    assert {name.split("-")[1] for name in ARCHIVES} == {"closed", "killed"}


def test_a_downgrade_names_the_newer_schema_and_changes_nothing(tmp_path: Path) -> None:
    opened(ARCHIVES[0], tmp_path).close()
    path = tmp_path / write_state.NAME
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE of_a_newer_version (x); PRAGMA user_version=99;")
    db.close()
    before = path.read_bytes()
    with pytest.raises(SpoolError, match=r"schema 99 \(of a newer forwarder: deploy that version again\)"):
        open_spool(path, epoch=1, max_bytes=write_state.MAX_BYTES, wall_ms=1)
    assert path.read_bytes() == before
