"""Recorded tables for training: CSV files to standardised sections without gaps, split into three by time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.model_runtime.manifest import FARTHEST
from strandline.errors import TableError, TrainingError
from strandline.recorded import table

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FITTED, STOPPED_ON = 0.7, 0.1
"""Shares of the windows, oldest first; the rest is held out for the figures and the calibration."""
MIN_WINDOWS = 60


@dataclass(frozen=True, slots=True)
class Section:
    """Consecutive windows without a gap: ``time_ms`` [n] their starts, ``values`` [n, channels]."""

    time_ms: IntArray
    values: FloatArray


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training data: contiguous sections in order, each window ``interval_ms`` wide."""

    channels: tuple[str, ...]
    interval_ms: int
    sections: tuple[Section, ...]
    files: tuple[str, ...]
    sha256: str

    @property
    def windows(self) -> int:
        """Total number of windows."""
        return sum(len(section.time_ms) for section in self.sections)

    @property
    def range(self) -> tuple[str, str]:
        """First and last time, ISO 8601."""
        times = [section.time_ms[at] for section in self.sections for at in (0, -1)]
        first, last = (datetime.fromtimestamp(int(at) / 1000, UTC) for at in (min(times), max(times)))
        return first.isoformat(), last.isoformat()


@dataclass(frozen=True, slots=True)
class Parts:
    """Standardised sections to fit, to stop early and held out; ``centre`` and ``scale`` [channels] of the first."""

    fitted: list[FloatArray]
    stopped_on: list[FloatArray]
    held_out: list[FloatArray]
    centre: FloatArray
    scale: FloatArray


def read(
    data: Path,
    time: str,
    channels: Sequence[str],
    window_ms: int | None,
    exclude: Sequence[tuple[int, int]] = (),
) -> Dataset:
    """Read a CSV file, or all of a folder; without ``window_ms`` each row is a window as wide as the rows' interval.

    An empty ``time`` or ``channels`` is chosen from the first file (:func:`table.choose_columns`). Rows in the
    half-open time ranges ``exclude`` (milliseconds) are left out. Raises TrainingError for unusable data and
    TableError for an invalid file.
    """
    files = sorted(data.glob("*.csv")) if data.is_dir() else [data]
    if not files:
        raise TrainingError(f"--data {data}: no CSV files")
    time, channels = table.choose_columns(files[0], time, channels)
    digest, recorded = hashlib.sha256(), []
    try:
        for file in files:
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
            recorded.append(table.read(file, time, channels))
    except OSError as error:
        raise TrainingError(f"{error.filename}: {error.strerror}") from error
    steps = np.concatenate([np.diff(one.time_ms) for one in recorded])
    steps = steps[steps > 0]
    if not len(steps):
        raise TrainingError(f"--data {data}: fewer than two rows at different times")
    apart = int(np.median(steps))
    width = window_ms or apart
    sections: list[Section] = []
    left_out = 0
    for one in recorded:
        order = np.argsort(one.time_ms, kind="stable")
        order = order[~_excluded(one.time_ms[order], exclude)]
        left_out += len(one.time_ms) - len(order)
        time_ms, values = one.time_ms[order], one.values[order]
        if width != apart:
            time_ms, values = window_means(time_ms, values, width)
        sections += _sections(time_ms, values, width)
    found = Dataset(tuple(channels), width, tuple(sections), tuple(f.name for f in files), digest.hexdigest())
    if found.windows < MIN_WINDOWS:
        raise TrainingError(
            f"--data {data}: {found.windows} windows of {width} ms have all channels; at least {MIN_WINDOWS} must"
            f"{_cause(recorded, channels, left_out)}"
        )
    if width < apart:
        raise TrainingError(
            f"--window-ms {width}: the rows are {apart} ms apart, so most windows would have no row; {apart} and "
            "more are allowed"
        )
    return found


def _excluded(time_ms: IntArray, exclude: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """Return a mask of the times in one of the half-open ranges."""
    found = np.zeros(len(time_ms), np.bool_)
    for first, end in exclude:
        found |= (time_ms >= first) & (time_ms < end)
    return found


def _cause(recorded: Sequence[table.Table], channels: Sequence[str], left_out: int) -> str:
    """Return the part of the message about few windows that names rows, exclusions and the emptiest channel."""
    rows = sum(len(one.time_ms) for one in recorded)
    missing = sum(np.isnan(one.values).sum(axis=0) for one in recorded)
    worst = int(np.argmax(missing))
    text = f"; there are {rows} rows"
    text += f", {left_out} of them excluded" if left_out else ""
    return text + (f", {channels[worst]} has no value in {int(missing[worst])}" if missing[worst] else "")


def read_exclusion(text: str) -> tuple[int, int]:
    """Return the time range of ``FROM..TO``, ISO 8601 or numbers as in a table; raises TrainingError."""
    first, separator, last = text.partition("..")
    try:
        if not separator:
            raise TableError("no .. between two times")
        start, end = table.read_time(first.strip()), table.read_time(last.strip())
    except TableError as error:
        raise TrainingError(
            f"--exclude {text!r}: {error}; FROM..TO is required, such as 2026-03-01..2026-03-04"
        ) from error
    if start >= end:
        raise TrainingError(f"--exclude {text!r}: FROM must be before TO")
    return start, end


def split(dataset: Dataset) -> Parts:
    """Split by time and standardise; raises TrainingError for a channel that is constant in the fitted part."""
    ends = [round(dataset.windows * part) for part in (FITTED, FITTED + STOPPED_ON, 1.0)]
    parts: list[list[FloatArray]] = [[], [], []]
    at = 0
    for section in dataset.sections:
        rest, start = section.values, at
        for part, end in zip(parts, ends, strict=True):
            take = min(len(rest), max(0, end - start))
            if take:
                part.append(rest[:take])
                rest, start = rest[take:], start + take
        at += len(section.values)
    seen = np.concatenate(parts[0])
    centre, scale = seen.mean(axis=0), seen.std(axis=0)
    for name, deviation in zip(dataset.channels, scale, strict=True):
        if not deviation > 1e-12 * max(1.0, float(np.abs(seen).max())):
            raise TrainingError(f"channel {name} is constant in the training data: exclude it with --values")

    def standard(values: FloatArray) -> FloatArray:
        return np.asarray(np.clip((values - centre) / scale, -FARTHEST, FARTHEST), np.float64)

    fitted, stopped_on, held_out = ([standard(one) for one in part] for part in parts)
    return Parts(fitted, stopped_on, held_out, centre, scale)


def windows(sections: Sequence[FloatArray], length: int) -> FloatArray:
    """Return all sequences of ``length`` consecutive windows of the sections, [n, length, channels]."""
    views = [
        np.lib.stride_tricks.sliding_window_view(one, length, axis=0).transpose(0, 2, 1)
        for one in sections
        if len(one) >= length
    ]
    if not views:
        raise TrainingError(f"--window {length}: the longest section without a gap has {_longest(sections)} windows")
    return np.concatenate(views)


def _longest(sections: Sequence[FloatArray]) -> int:
    return max((len(one) for one in sections), default=0)


def window_means(time_ms: IntArray, values: FloatArray, width: int) -> tuple[IntArray, FloatArray]:
    """Return the starts of the windows and the means of the channels in them, as the aggregator computes them."""
    starts, index = np.unique(time_ms // width, return_inverse=True)
    known = np.isfinite(values)
    sums, counts = np.zeros((len(starts), values.shape[1])), np.zeros((len(starts), values.shape[1]))
    np.add.at(sums, index, np.where(known, values, 0.0))
    np.add.at(counts, index, known)
    return starts * width, np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _sections(time_ms: IntArray, values: FloatArray, width: int) -> list[Section]:
    """Split at missing windows and at windows with a missing channel."""
    whole = np.isfinite(values).all(axis=1)
    time_ms, values = time_ms[whole], values[whole]
    breaks = np.flatnonzero(np.diff(time_ms) > 1.5 * width) + 1
    parts = zip(np.split(time_ms, breaks), np.split(values, breaks), strict=True)
    return [Section(when, what) for when, what in parts if len(when)]
