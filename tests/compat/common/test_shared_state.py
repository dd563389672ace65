"""Files and messages that earlier versions of the shared code wrote are read without loss."""

from __future__ import annotations

import logging
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge_components.common import aggregates_message, environment, live_configuration, readings_message
from edge_components.common.environment import Environment
from edge_components.common.journal import Journal, Record
from edge_components.common.live_configuration import LastGoodConfiguration
from tests.compat.common import write_state
from wire.model import AGGREGATE_COLUMNS, Aggregates, Batch, Readings

FOLDER = write_state.FOLDER


def kept(pattern: str) -> list[str]:
    """Return the names of the files of all versions; at least one."""
    found = sorted(path.name for path in FOLDER.glob(pattern))
    assert found
    return found


@pytest.mark.parametrize("name", kept("environment-*.json"))
def test_the_description_of_an_environment_is_read(name: str, tmp_path: Path) -> None:
    shutil.copy(FOLDER / name, tmp_path / environment.FILE)
    assert Environment.read(tmp_path) == write_state.ENVIRONMENT


@pytest.mark.parametrize("name", kept("configuration-*.json"))
def test_the_last_good_configuration_is_read(name: str, tmp_path: Path) -> None:
    shutil.copy(FOLDER / name, tmp_path / live_configuration.FILE)
    last_good = LastGoodConfiguration(tmp_path / live_configuration.FILE, logging.getLogger())
    assert last_good.read() == write_state.CONFIGURATION


@pytest.mark.parametrize("name", kept("journal-*.zip"))
def test_a_journal_is_recovered_with_its_snapshot_and_records(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(FOLDER / name) as archive:
        archive.extractall(tmp_path)
    journal, recovered = Journal.open(tmp_path)
    assert recovered.snapshot == b"state " * 20
    assert list(recovered.records) == [Record(1, b"first"), Record(7, bytes(range(256)))]
    assert not recovered.repaired
    journal.append(2, b"more")
    journal.commit()
    journal.close()
    assert list(Journal.open(tmp_path)[1].records)[-1] == Record(2, b"more")


@pytest.mark.parametrize("name", kept("readings-*.message"))
def test_a_message_of_readings_is_decoded_and_its_bytes_are_unchanged(name: str) -> None:
    data, expected = (FOLDER / name).read_bytes(), write_state.readings_batch()
    batch = readings_message.decode(data)
    assert (batch.gateway, batch.epoch, batch.sequence) == _name(expected)
    assert isinstance(batch.rows, Readings)
    assert isinstance(expected.rows, Readings)
    assert batch.rows.series == expected.rows.series
    for column in ("series_index", "time_ms", "value", "quality"):
        assert np.array_equal(getattr(batch.rows, column), getattr(expected.rows, column))
    assert readings_message.encode(expected) == data


@pytest.mark.parametrize("name", kept("aggregates-*.message"))
def test_a_message_of_aggregates_is_decoded_and_its_bytes_are_unchanged(name: str) -> None:
    data, expected = (FOLDER / name).read_bytes(), write_state.aggregates_batch()
    batch = aggregates_message.decode(data)
    assert (batch.gateway, batch.epoch, batch.sequence) == _name(expected)
    assert isinstance(batch.rows, Aggregates)
    assert isinstance(expected.rows, Aggregates)
    assert batch.rows.series == expected.rows.series
    for column in AGGREGATE_COLUMNS:
        assert np.array_equal(getattr(batch.rows, column), getattr(expected.rows, column))
    assert aggregates_message.encode(expected) == data


def _name(batch: Batch) -> tuple[str, int, int]:
    return batch.gateway, batch.epoch, batch.sequence
