"""Rows whose batches and roll-ups have expired are read from the archive, also while it is being compacted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_functions.core.archive_reader import FileArchiveReader
from cloud_functions.core.compaction_plan import DAY_AFTER_MS, DAY_MS
from cloud_functions.core.errors import StoreError
from cloud_functions.core.history_reader import MAX_ARCHIVE_DAYS, Archived, HistoryReader
from cloud_functions.core.hours import GRACE_MS
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import ArchiveFile
from cloud_functions.core.rollup import WIDTH_MS
from tests.unit.cloud.test_columns import bits
from tests.unit.cloud.test_compaction import HOUR, Cloud, FakeArchive, windows_of
from wire.model import Aggregates

DAY = HOUR // DAY_MS * DAY_MS
pytestmark = pytest.mark.usefixtures("decoded_once")


def compacted(hours: int, *, merged: bool = False) -> Cloud:
    """Return a cloud with two batches an hour of two gateways, of successive hours, all compacted."""
    cloud = Cloud(shards=2)
    for hour in range(hours):
        for gateway in ("gw-1", "gw-2"):
            for minute in (1, 31):
                cloud.deliver(gateway, HOUR + hour * HOUR_MS + minute * 60_000)
        cloud.now_ms = HOUR + (hour + 1) * HOUR_MS + GRACE_MS
        cloud.compact()
    if merged:
        while cloud.now_ms < DAY + DAY_MS + DAY_AFTER_MS:
            cloud.now_ms += HOUR_MS
            cloud.compact()
    return cloud


def expire(cloud: Cloud, *kinds: str) -> None:
    for key in [key for key, item in cloud.table.items.items() if item["kind"] in kinds]:
        del cloud.table.items[key]


def reader(cloud: Cloud, batches_before_ms: int, rollups_before_ms: int = 0) -> HistoryReader:
    archive = FileArchiveReader(cloud.table, cloud.archive)
    return HistoryReader(cloud.table, lambda *_: None, Archived(archive, batches_before_ms, rollups_before_ms))


@pytest.mark.parametrize("merged", [False, True])
def test_rows_of_expired_batches_are_those_that_were_stored(merged: bool) -> None:
    cloud = compacted(3, merged=merged)
    assert any(file.hour is None for file in cloud.archive.files) is merged
    before = HistoryReader(cloud.table, lambda *_: None).raw("gw-1", "a.x", HOUR, HOUR + 3 * HOUR_MS, 10_000)
    expire(cloud, "batch")
    assert not len(HistoryReader(cloud.table, lambda *_: None).raw("gw-1", "a.x", HOUR, HOUR + HOUR_MS, 100).rows)
    after = reader(cloud, HOUR + 3 * HOUR_MS).raw("gw-1", "a.x", HOUR, HOUR + 3 * HOUR_MS, 10_000)
    assert len(after.rows) == 36
    assert after.until_ms == before.until_ms
    assert bits(after.rows) == bits(before.rows)


def test_a_page_ends_after_the_hour_in_which_its_limit_is_reached() -> None:
    cloud = compacted(4)
    expire(cloud, "batch")
    found = reader(cloud, HOUR + 4 * HOUR_MS).raw("gw-1", "a.x", HOUR, HOUR + 4 * HOUR_MS, 15)
    assert (len(found.rows), found.until_ms) == (24, HOUR + 2 * HOUR_MS)


def test_archive_and_stored_batches_are_joined_without_a_repeated_row() -> None:
    cloud = compacted(3)
    all_rows = HistoryReader(cloud.table, lambda *_: None).raw("gw-1", "a.x", HOUR, HOUR + 3 * HOUR_MS, 10_000)
    # A late batch with a revision that is not compacted yet.
    cloud.deliver("gw-1", HOUR + 60_000, windows=1, revision=1)
    found = reader(cloud, HOUR + HOUR_MS + 1).raw("gw-1", "a.x", HOUR, HOUR + 3 * HOUR_MS, 10_000)
    assert found.rows.start_ms.tolist() == all_rows.rows.start_ms.tolist()
    assert found.rows.revision.tolist() == [1] + [0] * 35


def test_expired_roll_ups_are_computed_from_the_archive() -> None:
    cloud = compacted(3)
    args = ("gw-2", "a.y", HOUR, HOUR + 3 * HOUR_MS, WIDTH_MS)
    before = HistoryReader(cloud.table, lambda *_: None).rolled_up(*args)
    expire(cloud, "batch", "hour")
    after = reader(cloud, HOUR + 3 * HOUR_MS, HOUR + 3 * HOUR_MS).rolled_up(*args)
    assert after.until_ms == before.until_ms
    for name in ("start_ms", "width_ms", "count", "min", "max"):
        assert (getattr(after.rows, name) == getattr(before.rows, name)).all()
    assert np.allclose(after.rows.mean, before.rows.mean, atol=1e-3)


def test_a_request_for_many_days_ends_after_some_and_can_be_continued() -> None:
    class NoRows:
        def raw(self, gateway: str, series: str, from_ms: int, to_ms: int, limit: int) -> tuple[Aggregates, int]:
            return Aggregates.concatenate([]), to_ms

        def rolled_up(self, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
            assert from_ms // DAY_MS == (to_ms - 1) // DAY_MS
            return Aggregates.concatenate([])

    now_ms = DAY + 100 * DAY_MS
    found = HistoryReader(Cloud().table, lambda *_: None, Archived(NoRows(), now_ms, now_ms))
    assert found.raw("gw-1", "a.x", DAY, now_ms, 100).until_ms == DAY + MAX_ARCHIVE_DAYS * DAY_MS
    assert found.rolled_up("gw-1", "a.x", DAY, now_ms, DAY_MS).until_ms == DAY + MAX_ARCHIVE_DAYS * DAY_MS


def test_a_day_that_is_merged_during_a_read_is_read_again() -> None:
    cloud = compacted(3)

    class Merging(FakeArchive):
        merges = 1

        def series(self, file: ArchiveFile, *args: Any) -> Aggregates:
            if file.hour == 6 and self.merges:
                self.merges -= 1
                cloud.now_ms = DAY + DAY_MS + DAY_AFTER_MS
                while any(one.hour is not None for one in self.files):
                    cloud.compact()
                    cloud.now_ms += HOUR_MS
            return super().series(file, *args)

    cloud.archive = Merging(cloud.archive.files)
    rows, until_ms = FileArchiveReader(cloud.table, cloud.archive).raw("gw-1", "a.x", HOUR, HOUR + 3 * HOUR_MS, 1_000)
    assert (len(rows), until_ms) == (36, HOUR + 3 * HOUR_MS)


def test_a_merge_that_a_crash_interrupted_does_not_hide_rows() -> None:
    cloud = compacted(2, merged=True)
    for file in list(cloud.archive.files):
        cloud.archive.files[file._replace(staging=True)] = cloud.archive.files.pop(file)
    rows, _ = FileArchiveReader(cloud.table, cloud.archive).raw("gw-1", "a.x", HOUR, HOUR + 2 * HOUR_MS, 1_000)
    assert len(rows) == 24


def test_a_day_without_compaction_has_no_rows() -> None:
    archive = FileArchiveReader(Cloud().table, FakeArchive())
    assert len(archive.rolled_up("gw-1", "a.x", DAY + 9 * DAY_MS, DAY + 10 * DAY_MS)) == 0


class FakeS3:
    """Objects that are read by range; ``read`` counts the bytes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.read, self.version = content, 0, "1"

    def head_object(self, **_: Any) -> dict[str, Any]:
        return {"ContentLength": len(self.content)}

    def get_object(self, **request: Any) -> dict[str, Any]:
        if request.get("IfMatch", self.version) != self.version:
            from botocore.exceptions import ClientError

            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "GetObject")
        first, last = (int(number) for number in request["Range"].removeprefix("bytes=").split("-"))
        part = self.content[first : last + 1]
        self.read += len(part)
        return {"Body": io.BytesIO(part), "ETag": self.version}


def test_only_the_row_groups_of_a_gateway_and_time_are_read_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    from cloud_functions.adapters import parquet, ranged_file, s3_archive

    monkeypatch.setattr(parquet, "GROUP_ROWS", 4_000)
    monkeypatch.setattr(ranged_file, "AHEAD", 16)
    gateways = [(f"gw-{at:02d}", windows_of(HOUR, 2_000, 1_000, at)) for at in range(20)]
    parquet.write(tmp_path / "a", gateways)
    s3 = FakeS3((tmp_path / "a").read_bytes())
    archive = s3_archive.S3Archive("bucket", s3)
    file = ArchiveFile(DAY, 5, 0)
    found = archive.series(file, "gw-03", "a.y", HOUR + 10_000, HOUR + 20_000)
    mine = gateways[3][1]
    wanted = (mine.series_index == 1) & (mine.start_ms >= HOUR + 10_000) & (mine.start_ms < HOUR + 20_000)
    assert found.start_ms.tolist() == mine.start_ms[wanted].tolist()
    assert found.mean.tolist() == mine.mean[wanted].tolist()
    assert s3.read < len(s3.content) / 4
    s3.read = 0
    assert not len(archive.series(file, "gw-99", "a.y", HOUR, HOUR + HOUR_MS))
    assert not len(archive.series(file, "gw-03", "a.y", HOUR + HOUR_MS, HOUR + 2 * HOUR_MS))
    assert s3.read < len(s3.content) / 5


def test_a_file_that_is_replaced_while_it_is_read_is_an_error_and_not_a_mixture() -> None:
    from cloud_functions.adapters import s3_file

    s3 = FakeS3(bytes(300_000))
    file = s3_file.S3File(s3, "bucket", "key", len(s3.content))
    assert file.read(10) == bytes(10)
    s3.version = "2"
    file.seek(200_000)
    with pytest.raises(StoreError, match="PreconditionFailed"):
        file.read(10)
