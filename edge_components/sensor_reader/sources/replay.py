"""Readings from a file: CSV, JSON lines or Parquet, at the speed at which they were recorded, or faster."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from edge_components.common.config import absolute_path, flag, mapping, number, text
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.errors import MissingPackageError, RejectedError, SourceError
from edge_components.sensor_reader.mapping.settings import zone_of
from edge_components.sensor_reader.mapping.values import Rule, from_text
from edge_components.sensor_reader.source_thread import Outlet, Sample, ThreadSource
from edge_components.sensor_reader.sources import Context, Kind, Level
from edge_components.sensor_reader.timestamps import event_time_ms

BATCH_ROWS = 500
REPEAT_PAUSE_S = 1.0
"""Time between the last row and the first one of the next repetition, unless the speed is not limited."""

_COLUMNS = "a list of names of columns, or an object from columns to names of series"
_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")


def _columns(value: Any) -> dict[str, str]:
    names = value if isinstance(value, Mapping) else dict.fromkeys(value) if _is_list_of_texts(value) else None
    if names is None or not all(isinstance(name, str | None) and name != "" for name in names.values()):
        raise ValueError(_COLUMNS)
    return {str(column): column if name is None else name for column, name in names.items()}


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """One file."""

    file: str = absolute_path("the file: .csv, .jsonl, .ndjson or .parquet")
    time: str = text("timestamp", "column of the event time")
    values: dict[str, str] = mapping(  # noqa: RUF009
        [], _columns, _COLUMNS, "columns of values; none is all that are numbers"
    )
    series: str = text("", "column of the series' name, where each row is one reading with the column `value`")
    time_zone: str = text("UTC", "IANA time zone of times without an offset from UTC")
    speed: float = number(1.0, 0.0, 1e6, "how many times faster than recorded; 0 is as fast as possible")
    rebase: bool = flag(False, "shift all times, so that the first reading is of now")
    repeat: bool = flag(False, "begin again at the end, with later times (only with rebase)")
    prefix: str = text("", "first part of the names of the series; empty is the entry's name")

    def __post_init__(self) -> None:
        problems = []
        if Path(self.file).suffix not in _SUFFIXES:
            problems.append(f"file: {self.file!r} is not allowed, expected a path that ends in {', '.join(_SUFFIXES)}")
        try:
            zone_of(self.time_zone)
        except ValueError as error:
            problems.append(f"time_zone: {error}")
        if self.repeat and not self.rebase:
            problems.append("repeat: only with rebase")
        if problems:
            raise ConfigError(problems)


class ReplayWorker:
    """Reads one file; see edge_components.sensor_reader.source_thread.Worker."""

    def __init__(self, settings: ReplaySettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._prefix = settings.prefix or context.name
        self._zone = zone_of(settings.time_zone)

    def work(self, outlet: Outlet) -> None:
        """Pass all rows in order, then return; raises SourceError for a file that cannot be read."""
        try:
            rows = self._pass(outlet)
            while self._settings.repeat and not outlet.stopping:
                # Without a pause a file of one row, or without rows, would be repeated as fast as possible.
                if (self._settings.speed or not rows) and outlet.wait(REPEAT_PAUSE_S):
                    return
                rows = self._pass(outlet)
        except (OSError, ValueError, csv.Error) as error:
            raise SourceError(f"{self._settings.file}: {error}") from error

    def _pass(self, outlet: Outlet) -> int:
        """Pass all rows in order, unless asked to stop; return their number."""
        settings, clock = self._settings, self._context.clock
        first_ms: int | None = None
        began, began_ms = clock.monotonic(), clock.wall_ms()
        rows = iter(self._rows())
        size, count = BATCH_ROWS if settings.speed == 0 else 1, 0
        while batch := list(islice(rows, size)):
            samples, count = [], count + len(batch)
            for row in batch:
                time_ms = self._time(row, outlet)
                if time_ms is None:
                    continue
                first_ms = time_ms if first_ms is None else first_ms
                if settings.speed and self._wait(outlet, began + (time_ms - first_ms) / 1000 / settings.speed):
                    return count
                samples += self._samples(row, time_ms + (began_ms - first_ms if settings.rebase else 0))
            outlet.works()
            outlet.put(samples, block=True)
            if outlet.stopping:
                break
        return count

    def _wait(self, outlet: Outlet, due: float) -> bool:
        while (left := due - self._context.clock.monotonic()) > 0:
            if outlet.wait(min(left, 10.0)):
                return True
        return False

    def _time(self, row: Mapping[str, Any], outlet: Outlet) -> int | None:
        raw = row.get(self._settings.time)
        try:
            if raw is None or raw == "":
                raise RejectedError("rejected_time", f"the column {self._settings.time!r} is missing or empty")
            return event_time_ms(raw, self._context.clock.wall_ms(), 2**60, self._zone)
        except RejectedError as error:
            outlet.reject(error.reason, str(error))
            return None

    def _samples(self, row: Mapping[str, Any], time_ms: int) -> list[Sample]:
        settings = self._settings
        if settings.series:
            name = row.get(settings.series)
            return [Sample(f"{self._prefix}.{name}", row.get("value"), time_ms)] if name else []
        columns = settings.values or {key: key for key in row if key != settings.time}
        found = ((name, row.get(column)) for column, name in columns.items())
        return [
            Sample(f"{self._prefix}.{name}", value, time_ms)
            for name, value in found
            if value not in (None, "") and (settings.values or _is_number(value))
        ]

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        path = Path(self._settings.file)
        if path.suffix == ".parquet":
            yield from _parquet_rows(path)
            return
        with path.open(newline="", encoding="utf-8-sig") as file:
            if path.suffix == ".csv":
                yield from csv.DictReader(file)
                return
            for line in file:
                if line.strip():
                    row = json.loads(line)
                    if isinstance(row, dict):
                        yield row


def _parquet_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingPackageError("pyarrow", "archive", error) from error
    for batch in parquet.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS):
        for row in batch.to_pylist():
            yield {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in row.items()}


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return from_text(value, Rule()) is not None
    return isinstance(value, int | float)


def open_replay(settings: ReplaySettings, context: Context) -> ThreadSource:
    """Return the source of one file."""
    worker = ReplayWorker(settings, context)
    return ThreadSource(context, lambda: worker)


KIND = Kind(
    ReplaySettings,
    open_replay,
    level=Level.SILVER,
    inapplicable={
        "reconnects": "a file on the gateway itself",
        "secure": "a file on the gateway itself",
        "hangs": "a file on the gateway itself",
    },
)
