"""Names of the archive's files: ``rows/date=<day>/<hour>-<shard>.parquet``, the same in every object store.

A table over ``rows/`` with the partition ``date`` reads them. Files under ``staging/`` are not part of it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cloud_functions.core.ports import ArchiveFile

_NAME = re.compile(r"(rows|staging)/date=(\d{4}-\d{2}-\d{2})/(\d{2}|day)-(\d{4,})\.parquet")


def name_of(file: ArchiveFile) -> str:
    """Return the name of a file's object."""
    day = datetime.fromtimestamp(file.day_ms / 1000, UTC).strftime("%Y-%m-%d")
    hour = "day" if file.hour is None else f"{file.hour:02d}"
    return f"{'staging' if file.staging else 'rows'}/date={day}/{hour}-{file.shard:04d}.parquet"


def file_of(name: str) -> ArchiveFile | None:
    """Return the file of an object, None for an object that is not a file of the archive."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    folder, day, hour, shard = found.groups()
    day_ms = round(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp() * 1000)
    return ArchiveFile(day_ms, None if hour == "day" else int(hour), int(shard), folder == "staging")
