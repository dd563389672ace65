"""Recorded tables: CSV files with a time and channels, and CSV files with scores."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, FloatArray, IntArray
from strandline.errors import TableError, reason

TIME_COLUMNS = ("time", "timestamp", "datetime", "date_time", "date", "ts")
"""Names of a time column, in any case, in the order of preference."""
_SAMPLE = 100
"""Number of rows from which the columns with numbers are found."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in the file's order: ``stamps`` as in the file, ``time_ms`` [rows], ``values`` [rows, channels]."""

    stamps: list[str]
    time_ms: IntArray
    channels: tuple[str, ...]
    values: FloatArray


def read(path: Path, time: str, channels: Sequence[str]) -> Table:
    """Read a CSV file with a header; an empty or non-numeric value is missing (NaN).

    Times are ISO 8601 (UTC where no offset is given) or numbers: seconds since the epoch, milliseconds if they
    are too large for that. Raises TableError that names the file, and the line or the column.
    """
    header, rows = read_text(path)
    columns = [_column(path, header, name) for name in (time, *channels)]
    short = next((at for at, row in enumerate(rows) if len(row) <= max(columns)), None)
    if short is not None:
        raise TableError(f"{path}: row {short + 1} has {len(rows[short])} columns, the header {len(header)}")
    stamps = [row[columns[0]].strip() for row in rows]
    time_ms = np.array([_time(path, at, stamp) for at, stamp in enumerate(stamps)], np.int64)
    values = np.array([[_number(row[column]) for column in columns[1:]] for row in rows], np.float64)
    return Table(stamps, time_ms, tuple(channels), values.reshape(len(rows), len(channels)))


def choose_columns(path: Path, time: str = "", channels: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
    """Return the columns of time and channels of a CSV file; those that are given stay as they are.

    The time is the column with one of the TIME_COLUMNS as its name, else the first; the channels are all others with
    only numbers in the first rows. Raises TableError.
    """
    if time and channels:
        return time, tuple(channels)
    header, sample = read_text(path, _SAMPLE)
    if len(header) < 2:
        raise TableError(f"{path}: a header with a time and at least one channel is required")
    lower = [name.lower() for name in header]
    time = time or next((header[lower.index(name)] for name in TIME_COLUMNS if name in lower), header[0])
    numeric = [name for at, name in enumerate(header) if name != time and _holds_numbers(sample, at)]
    if not (channels or numeric):
        raise TableError(f"{path}: no column except {time} contains numbers")
    return time, tuple(channels or numeric)


def read_text(path: Path, most: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Return header and rows, at most ``most``, of a CSV file with commas or semicolons.

    Raises TableError that names the file.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            sample = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=";" if sample.count(";") > sample.count(",") else ",")
            header = [name.strip() for name in next(reader, [])]
            return header, list(islice((row for row in reader if row), most))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: {reason(error)}") from error


def write(
    path: Path, table: Table, score: FloatArray, anomaly: BoolArray, cause: list[str], channel: list[str]
) -> None:
    """Write one row for each of the table: timestamp, score, anomaly (0 or 1), cause, channel. Raises TableError."""
    try:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("timestamp", "score", "anomaly", "cause", "channel"))
            columns = (table.stamps, score.tolist(), anomaly.tolist(), cause, channel)
            for stamp, value, inside, why, where in zip(*columns, strict=True):
                writer.writerow((stamp, f"{value:.6g}", int(inside), why, where))
    except OSError as error:
        raise TableError(f"{path}: {reason(error)}") from error


def _column(path: Path, header: list[str], name: str) -> int:
    if name not in header:
        raise TableError(f"{path}: no column {name!r}, there are {', '.join(header[:40])}")
    return header.index(name)


def _holds_numbers(rows: Sequence[Sequence[str]], at: int) -> bool:
    cells = [row[at].strip() for row in rows if len(row) > at and row[at].strip()]
    try:
        return bool(cells) and all(math.isfinite(float(cell)) for cell in cells)
    except ValueError:
        return False


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _time(path: Path, at: int, stamp: str) -> int:
    try:
        return read_time(stamp)
    except TableError as error:
        raise TableError(f"{path}: row {at + 1}: {error}") from error


def read_time(stamp: str) -> int:
    """Return a time in milliseconds since the epoch: ISO 8601 (UTC without an offset), seconds or milliseconds.

    Raises TableError.
    """
    try:
        number = float(stamp)
    except ValueError:
        try:
            moment = datetime.fromisoformat(stamp)
        except ValueError as error:
            raise TableError(f"{stamp[:60]!r} is not a time") from error
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    if not math.isfinite(number) or abs(number) > 1e16:
        raise TableError(f"{stamp[:60]!r} is not a time")
    return round(number if abs(number) > 1e11 else number * 1000)
