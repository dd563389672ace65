"""Rows of a series read from the files of the archive, while the compaction may be replacing these."""

from __future__ import annotations

import numpy as np

from cloud_functions.core.columns import merge
from cloud_functions.core.compaction_plan import DAY_MS, shard_of, stored_shards
from cloud_functions.core.errors import StoreError
from cloud_functions.core.hours import hour_of
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import ArchiveFile, SeriesFiles, Table
from cloud_functions.core.rollup import WIDTH_MS, coarsen, within
from wire.model import Aggregates

_ATTEMPTS = 3


class FileArchiveReader:
    """Implementation of :class:`cloud_functions.core.ports.ArchiveReader` over the files."""

    def __init__(self, table: Table, files: SeriesFiles) -> None:
        self._table, self._files = table, files

    def raw(self, gateway: str, series: str, from_ms: int, to_ms: int, limit: int) -> tuple[Aggregates, int]:
        """Return unmodified rows, and the time before which they are complete."""
        rows = self._rows(gateway, series, from_ms, to_ms)
        if len(rows) <= limit:
            return rows, to_ms
        until_ms = min(to_ms, hour_of(int(np.sort(rows.start_ms)[limit - 1])) + HOUR_MS)
        return within(rows, from_ms, until_ms), until_ms

    def rolled_up(self, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
        """Return rows of 15 minutes."""
        return coarsen(self._rows(gateway, series, from_ms, to_ms), WIDTH_MS)

    def _rows(self, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
        """Return the rows of a series that start in [from_ms, to_ms); raises StoreError.

        The file of the day has all its rows, and so has the one that is about to take its place. If one of them appears
        while the files of hours are read, some of these may have been removed, and the day is read again.
        """
        day_ms = from_ms // DAY_MS * DAY_MS
        shards = stored_shards(self._table, day_ms)
        if shards is None:
            return Aggregates.concatenate([])
        shard = shard_of(gateway, shards)
        day = ArchiveFile(day_ms, None, shard)
        staging = day._replace(staging=True)
        for _ in range(_ATTEMPTS):
            whole = self._existing(day, staging)
            if whole is not None:
                rows = self._files.series(whole, gateway, series, from_ms, to_ms)
                # The staging file may have become the day's before it was read.
                if len(rows) or whole == day or self._files.exists(staging):
                    return rows
                continue
            hours = range(hour_of(from_ms), to_ms, HOUR_MS)
            files = [ArchiveFile(day_ms, (hour_ms - day_ms) // HOUR_MS, shard) for hour_ms in hours]
            rows = merge(self._files.series(file, gateway, series, from_ms, to_ms) for file in files)
            if self._existing(day, staging) is None:
                return rows
        raise StoreError(f"archive of {gateway}: the files of a day are being replaced")

    def _existing(self, *files: ArchiveFile) -> ArchiveFile | None:
        return next((file for file in files if self._files.exists(file)), None)
