"""Summary of an encoded batch, read without decoding its rows.

A receiver that stores batches as they came needs their name, kind, number of rows and time range. All of it stands in
the container and the head, which are plain bytes; the symbols of the model coder are not decoded. NumPy is imported
only for a batch with a directory of its own, and for one whose times are coded by the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from wire import container, reports
from wire.anomaly import Anomalies, Notice
from wire.column_ids import OF_AGGREGATES, OF_READINGS, Id, read_entries
from wire.container import Coder, Kind, Packed
from wire.cursor import Cursor
from wire.errors import FormatError, LimitError, ModelError, UnknownProfileError
from wire.limits import MAX_LATE, MAX_SERIES
from wire.names import Series
from wire.row_times import accumulated, check_order, deviations_of, read_counts, read_times

if TYPE_CHECKING:
    from wire.codec import Profile, Profiles


@dataclass(frozen=True, slots=True)
class Name:
    """Name and kind of a batch; ``packed`` are its rows, still encoded."""

    gateway: str
    epoch: int
    sequence: int
    kind: Kind
    packed: bytes


@dataclass(frozen=True, slots=True)
class Summary:
    """Number of rows and time range of a batch of readings or aggregates.

    ``first_ms`` and ``last_ms`` are the earliest and the latest time of a row (the start of its window), 0 and -1
    without rows. ``series`` is the directory, or None where a profile has it. ``width_ms`` is the usual window width.
    """

    rows: int
    first_ms: int
    last_ms: int
    width_ms: int
    series: tuple[Series, ...] | None


@dataclass(frozen=True, slots=True)
class Present:
    """Series with rows in a batch: their ``series_ids`` in ``profile``, or ``series`` of the batch's own directory."""

    profile: int | None
    series_ids: tuple[int, ...] = ()
    series: tuple[Series, ...] = ()


def read_name(data: bytes) -> Name:
    """Return name and kind of a batch after checking its checksum; raises DecodeError."""
    gateway, epoch, sequence, packed = container.unseal(data)
    return Name(gateway, epoch, sequence, container.unpack(packed).kind, packed)


def summarize(name: Name, profiles: Profiles, series_of: Callable[[str, int], int | None]) -> Summary:
    """Return the summary of readings or aggregates; raises DecodeError for a malformed head.

    ``series_of`` returns the number of series of a gateway's profile, or None for an unknown one, for which
    UnknownProfileError is raised. ``profiles`` is asked only where the times are coded by the model: then the rows
    are decoded.
    """
    parts = container.unpack(name.packed)
    if parts.kind not in (Kind.READINGS, Kind.AGGREGATES):
        raise FormatError(f"{parts.kind.name.lower()}: not rows with times")
    try:
        return _summarize(name, parts, partial(profiles, name.gateway), partial(series_of, name.gateway))
    except ModelError as error:
        raise FormatError(str(error)) from error


def read_present(name: Name) -> Present:
    """Return the series that have rows in a batch of readings or aggregates; raises DecodeError for a malformed head.

    The ids are not compared with the profile, which is not needed.
    """
    parts = container.unpack(name.packed)
    if parts.kind not in (Kind.READINGS, Kind.AGGREGATES):
        raise FormatError(f"{parts.kind.name.lower()}: not rows with times")
    try:
        cursor = Cursor(_head(parts))
        if parts.profile is None:
            series = _own_directory(cursor)
            counts = read_counts(cursor, len(series))
            return Present(None, series=tuple(one for one, rows in zip(series, counts, strict=True) if rows))
        series_ids = _read_series_ids(cursor, parts)
        counts = read_counts(cursor, len(series_ids))
    except ModelError as error:
        raise FormatError(str(error)) from error
    return Present(parts.profile, tuple(series_id for series_id, rows in zip(series_ids, counts, strict=True) if rows))


def _head(parts: Packed) -> bytes:
    """Return the content of a batch, by the model coder that of its head."""
    if parts.coder is Coder.MODEL:
        return container.split(parts)[0]
    return container.inflate(parts.coder, parts.size, parts.stream)


def _summarize(
    name: Name, parts: Packed, find: Callable[[int], Profile | None], series_of: Callable[[int], int | None]
) -> Summary:
    cursor = Cursor(_head(parts))
    series, size = _directory(cursor, parts, series_of)
    counts = read_counts(cursor, size)
    times = read_times(cursor, counts)
    width = 0
    if parts.kind is Kind.AGGREGATES:
        width = cursor.signed("width")
        cursor.signed("count")
    entries = read_entries(cursor, OF_READINGS if parts.kind is Kind.READINGS else OF_AGGREGATES)
    if cursor.left:
        raise FormatError(f"{cursor.left} bytes are left after the columns")
    check_order(entries.get(Id.ORDER))
    rows = sum(counts)
    if not rows:
        return Summary(0, 0, -1, width, series)
    deviations = deviations_of(entries.get(Id.TIME), counts)
    first, last = _decoded_range(name, find) if deviations is None else times.range(deviations)
    return Summary(rows, first, last, width, series)


def _decoded_range(name: Name, find: Callable[[int], Profile | None]) -> tuple[int, int]:
    """Decode the rows and return the earliest and the latest time."""
    from wire import codec
    from wire.model import Aggregates, Readings

    rows = codec.unpack(name.packed, find)
    assert isinstance(rows, Readings | Aggregates)  # noqa: S101 - the kind was checked
    at = rows.time_ms if isinstance(rows, Readings) else rows.start_ms
    return int(at.min()), int(at.max())


def _directory(
    cursor: Cursor, parts: Packed, series_of: Callable[[int], int | None]
) -> tuple[tuple[Series, ...] | None, int]:
    if parts.profile is None:
        series = _own_directory(cursor)
        return series, len(series)
    known = series_of(parts.profile)
    if known is None:
        raise UnknownProfileError(parts.profile)
    series_ids = _read_series_ids(cursor, parts)
    if series_ids and max(series_ids) >= known:
        raise FormatError(f"series: outside the {known} series of profile {parts.profile}")
    return None, len(series_ids)


def _read_series_ids(cursor: Cursor, parts: Packed) -> list[int]:
    """Read the ids of the series in the profile."""
    if parts.kind is not Kind.AGGREGATES or parts.coder is not Coder.MODEL:
        raise FormatError(f"{parts.kind.name.lower()} by {parts.coder.name}: with a profile")
    gaps = cursor.signed_numbers(cursor.number("series"), "series")
    if len(gaps) > MAX_SERIES:
        raise LimitError(f"{len(gaps)} series, at most {MAX_SERIES}")
    series_ids = accumulated([-1, *(gap + 1 for gap in gaps)])[1:]
    if series_ids and min(series_ids) < 0:
        raise FormatError(f"series: {min(series_ids)} is not in profile {parts.profile}")
    if cursor.byte("late") > MAX_LATE:
        raise FormatError(f"late: above {MAX_LATE}")
    return series_ids


def _own_directory(cursor: Cursor) -> tuple[Series, ...]:
    from wire import directory, varint

    columns = varint.Cursor(cursor.data, cursor.at)
    series = directory.read(columns).series
    cursor.at = columns.at
    return series


def read_reports(name: Name) -> Anomalies | Notice:
    """Return the decoded reports of a batch of anomalies or of a notice; raises DecodeError."""
    try:
        return reports.unpack(container.unpack(name.packed))
    except ModelError as error:
        raise FormatError(str(error)) from error
