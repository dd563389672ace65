"""The compaction over real Parquet files: DuckDB reads exactly the rows that were sent, with the latest revisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud_functions.core.archive_files import file_of, name_of
from cloud_functions.core.compaction import Outcome
from cloud_functions.core.compaction_plan import DAY_AFTER_MS, DAY_MS
from cloud_functions.core.history_reader import HistoryReader
from cloud_functions.core.hours import GRACE_MS
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import ArchiveFile
from cloud_functions.core.rollup import WIDTH_MS
from tests.unit.cloud.fakes import body
from tests.unit.cloud.test_compaction import HOUR, Cloud, windows_of
from wire.model import Aggregates, Batch, Series

duckdb = pytest.importorskip("duckdb")
parquet = pytest.importorskip("cloud_functions.adapters.parquet", exc_type=ImportError)
pytestmark = pytest.mark.usefixtures("decoded_once")
Rows = dict[tuple[str, str, int], tuple[float, int, int]]


class FolderArchive:
    """The archive as Parquet files in a folder, under the names of the objects in the bucket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def exists(self, file: ArchiveFile) -> bool:
        return self._path(file).exists()

    def size(self, file: ArchiveFile) -> int:
        return self._path(file).stat().st_size if self.exists(file) else 0

    def rows(self, file: ArchiveFile) -> Iterator[tuple[str, Aggregates]]:
        yield from parquet.read(self._path(file))

    def replace(self, file: ArchiveFile, rows: Iterable[tuple[str, Aggregates]]) -> None:
        path = self._path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        if parquet.write(new, rows):
            new.replace(path)
        else:
            self.remove(file)

    def remove(self, file: ArchiveFile) -> None:
        self._path(file).unlink(missing_ok=True)

    def rename(self, file: ArchiveFile, to: ArchiveFile) -> None:
        self._path(to).parent.mkdir(parents=True, exist_ok=True)
        self._path(file).replace(self._path(to))

    def files(self) -> list[ArchiveFile]:
        names = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.parquet"))
        return sorted(file for name in names if (file := file_of(name)) is not None)

    def _path(self, file: ArchiveFile) -> Path:
        return self.folder / name_of(file)


def read_by_duckdb(folder: Path) -> Rows:
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT gateway, series, epoch_ms(start), mean, count, revision "
            "FROM read_parquet(?, hive_partitioning=true) WHERE date = strftime(start, '%Y-%m-%d')::DATE",
            [f"{folder}/rows/*/*.parquet"],
        ).fetchall()
    rows = {tuple(row[:3]): tuple(row[3:]) for row in found}
    assert len(rows) == len(found)
    return rows


@pytest.mark.slow
def test_duckdb_reads_revisions_late_batches_and_merged_days_as_they_were_sent(tmp_path: Path) -> None:
    cloud = Cloud(shards=2)
    cloud.archive = FolderArchive(tmp_path)  # type: ignore[assignment]
    gateways = ("gw-1", "gw-2", "gw-3")

    def compact_until(ms: int) -> None:
        while cloud.now_ms < ms:
            cloud.now_ms += HOUR_MS
            assert set(cloud.compact()) <= {Outcome.DONE}
        assert read_by_duckdb(tmp_path) == {key: value for key, value in cloud.sent.items() if key[2] < ms - HOUR_MS}

    for hour in range(3):
        for gateway in gateways:
            cloud.deliver(gateway, HOUR + hour * HOUR_MS + 60_000)
    compact_until(HOUR + 3 * HOUR_MS + GRACE_MS)
    # A late batch and a revision of rows in the files of hours.
    cloud.deliver("gw-2", HOUR + 40 * 60_000)
    cloud.deliver("gw-3", HOUR + HOUR_MS + 60_000, windows=2, revision=1)
    compact_until(HOUR // DAY_MS * DAY_MS + DAY_MS + DAY_AFTER_MS + HOUR_MS)
    assert {file.hour for file in cloud.archive.files()} == {None}  # type: ignore[operator]
    # The same in the file of the day.
    cloud.deliver("gw-1", HOUR + 50 * 60_000)
    cloud.deliver("gw-3", HOUR + HOUR_MS + 60_000, windows=1, revision=2)
    compact_until(cloud.now_ms + 2 * HOUR_MS)
    assert sorted({revision for _, _, revision in cloud.sent.values()}) == [0, 1, 2]


def two_resolutions(start_ms: int) -> Aggregates:
    """Return rows of one name and unit, the first windows with another resolution than the others."""
    rows = windows_of(start_ms, 6, 10_000, 1)
    series = (Series("a.x", "Cel", 0.1), Series("a.x", "Cel", 0.01))
    index = np.array([0] * 6 + [1] * 6)
    return replace(rows, series=series, series_index=index, start_ms=start_ms + np.arange(12) * 10_000)


def test_two_resolutions_of_a_series_in_a_batch_are_one_series_of_all_their_rows(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.archive = FolderArchive(tmp_path)  # type: ignore[assignment]
    rows = two_resolutions(HOUR + 60_000)
    cloud.accept(body(Batch("gw-1", 7, 1, rows), received_at=cloud.now_ms))
    stored = HistoryReader(cloud.table, lambda *_: None).raw("gw-1", "a.x", HOUR, HOUR + HOUR_MS, 100).rows
    assert stored.start_ms.tolist() == rows.start_ms.tolist()
    assert np.allclose(stored.mean, rows.mean, atol=0.06)
    cloud.now_ms = HOUR + HOUR_MS + GRACE_MS
    cloud.compact()
    found = read_by_duckdb(tmp_path)
    assert {key: value[:2] for key, value in found.items()} == {
        ("gw-1", "a.x", start): (mean, count)
        for start, mean, count in zip(
            stored.start_ms.tolist(), stored.mean.tolist(), stored.count.tolist(), strict=True
        )
    }
    rolled_up = HistoryReader(cloud.table, lambda *_: None).rolled_up("gw-1", "a.x", HOUR, HOUR + HOUR_MS, WIDTH_MS)
    assert int(rolled_up.rows.count.sum()) == int(rows.count.sum())
    assert {one.resolution for one in rolled_up.rows.series} == {0.1}
