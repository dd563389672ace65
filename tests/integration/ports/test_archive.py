"""Contract of the archive: files are replaced as a whole, and DuckDB reads what was written."""

from __future__ import annotations

import itertools

import numpy as np

from cloud_functions.clock import DAY_MS
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import ArchiveFile
from tests.integration.ports.cloud import Adapters, SeriesArchive
from tests.integration.ports.conftest import Interruptions
from tests.unit.cloud.fakes import START_MS, aggregates
from wire.model import AGGREGATE_COLUMNS, Aggregates

_DAYS = itertools.count(START_MS // DAY_MS)


def fresh_file() -> ArchiveFile:
    """Return a file of a day that no other test uses."""
    return ArchiveFile(next(_DAYS) * DAY_MS, 5, 0)


def table_of(rows: Aggregates) -> list[tuple[object, ...]]:
    """Return rows as tuples that can be compared, by series and time."""
    names = [rows.series[index].name for index in rows.series_index]
    columns = [getattr(rows, name).tolist() for name in AGGREGATE_COLUMNS if name != "series_index"]
    return sorted(zip(names, *columns, strict=True))


def read(archive: SeriesArchive, file: ArchiveFile) -> dict[str, list[tuple[object, ...]]]:
    return {gateway: table_of(rows) for gateway, rows in archive.rows(file)}


def test_a_file_is_written_read_and_removed(adapters: Adapters) -> None:
    archive, file = adapters.archive, fresh_file()
    assert not archive.exists(file)
    assert archive.size(file) == 0
    archive.remove(file)
    archive.replace(file, [("gw-1", aggregates(1)), ("gw-2", aggregates(2))])
    assert archive.exists(file)
    assert archive.size(file) > 0
    assert read(archive, file) == {"gw-1": table_of(aggregates(1)), "gw-2": table_of(aggregates(2))}
    archive.replace(file, [("gw-3", aggregates(3))])
    assert read(archive, file) == {"gw-3": table_of(aggregates(3))}
    archive.replace(file, [])
    assert not archive.exists(file)


def test_a_file_is_searched_for_gateways_and_series(adapters: Adapters) -> None:
    archive, file = adapters.archive, fresh_file()
    archive.replace(file, [("gw-1", aggregates(1)), ("gw-2", aggregates(2))])
    assert archive.contains(file, "gw-1", None)
    assert archive.contains(file, "gw-2", "pump1.temperature")
    assert not archive.contains(file, "gw-3", None)
    assert not archive.contains(file, "gw-1", "pump9.temperature")


def test_rows_of_a_series_are_read_alone(adapters: Adapters) -> None:
    archive, file, rows = adapters.archive, fresh_file(), aggregates(1)
    archive.replace(file, [("gw-1", rows), ("gw-2", aggregates(2))])
    second = np.unique(rows.start_ms)[1]
    found = archive.series(file, "gw-1", "pump1.temperature", int(second), int(second) + 10_000)
    wanted = (rows.series_index == 1) & (rows.start_ms == second)
    assert table_of(found) == table_of(rows.take(np.flatnonzero(wanted)))
    assert len(archive.series(fresh_file(), "gw-1", "pump1.temperature", 0, START_MS)) == 0


def test_files_are_listed_also_those_that_readers_do_not_see(adapters: Adapters) -> None:
    archive = adapters.archive
    file = fresh_file()
    files = {file, file._replace(hour=None, staging=True), file._replace(hour=None, shard=12)}
    for one in files:
        archive.replace(one, [("gw-1", aggregates(1))])
    assert files <= set(archive.list_files())
    for one in files:
        archive.remove(one)
    assert not files & set(archive.list_files())


def test_a_reader_never_sees_half_a_file_after_a_fault_at_any_call(interruptions: Interruptions) -> None:
    """A replacement that is stopped leaves the old file or the new one, and a repetition leaves the new one."""
    file = fresh_file()
    old, new = [("gw-1", aggregates(1))], [("gw-2", aggregates(2, 600))]
    states = [{name: table_of(rows) for name, rows in content} for content in (old, new)]
    archive = interruptions.cloud.connect().archive

    def act(adapters: Adapters, name: str) -> None:
        interrupted = name in seen
        seen.add(name)
        if interrupted:
            assert read(adapters.archive, file) in states
        adapters.archive.replace(file, new)

    def check(adapters: Adapters, name: str) -> None:
        assert read(adapters.archive, file) == states[1]
        archive.replace(file, old)

    seen: set[str] = set()
    archive.replace(file, old)
    interruptions.at_every_call(act, check)


def test_a_renaming_is_repeatable_after_a_fault_at_any_call(interruptions: Interruptions) -> None:
    day = fresh_file()._replace(hour=None)
    staging = day._replace(staging=True)
    archive = interruptions.cloud.connect().archive
    archive.replace(staging, [("gw-1", aggregates(1))])

    def act(adapters: Adapters, name: str) -> None:
        # As the merge of a day does it: without the staged file, the day is merged already.
        if adapters.archive.exists(staging):
            adapters.archive.rename(staging, day)

    def check(adapters: Adapters, name: str) -> None:
        assert read(adapters.archive, day) == {"gw-1": table_of(aggregates(1))}
        assert not adapters.archive.exists(staging)
        archive.replace(staging, [("gw-1", aggregates(1))])

    interruptions.at_every_call(act, check)


def test_an_interrupted_reading_is_an_error_or_whole(interruptions: Interruptions) -> None:
    file = fresh_file()
    interruptions.cloud.connect().archive.replace(file, [("gw-1", aggregates(1, 600))])
    found: list[int] = []

    def act(adapters: Adapters, name: str) -> None:
        try:
            found.append(len(read(adapters.archive, file)["gw-1"]))
            found.append(len(adapters.archive.series(file, "gw-1", "pump0.temperature", 0, 2**42)))
        except StoreError:
            found.append(600)

    interruptions.at_every_call(act, lambda adapters, name: None)
    assert set(found) == {200, 600}
