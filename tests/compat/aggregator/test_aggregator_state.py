"""The journal of an earlier version is continued without losses and duplicates."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from edge_components.aggregator.operations import Kind
from edge_components.common.journal import Journal, Record
from tests.compat.aggregator.write_state import FOLDER, rows_after

VERSIONS = sorted(path.stem.removeprefix("journal-") for path in FOLDER.glob("journal-*.zip"))


def unpacked(version: str, work: Path) -> Path:
    with zipfile.ZipFile(FOLDER / f"journal-{version}.zip") as archive:
        archive.extractall(work)
    return work


@pytest.mark.parametrize("version", VERSIONS)
def test_the_aggregator_continues_from_the_state_of_an_earlier_version(version: str, tmp_path: Path) -> None:
    expected = json.loads((FOLDER / f"expected-{version}.json").read_text())
    assert rows_after(unpacked(version, tmp_path)) == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_the_kept_journal_has_a_snapshot_and_records_of_the_usual_kinds(version: str, tmp_path: Path) -> None:
    _, recovered = Journal.open(unpacked(version, tmp_path) / "journal")
    assert recovered.snapshot is not None
    kinds = {Kind(record.kind) for record in recovered.records if isinstance(record, Record)}
    assert kinds >= {Kind.READINGS, Kind.BATCH, Kind.CLOSE, Kind.SERIES, Kind.SETTINGS, Kind.EMITTED, Kind.FREED}
