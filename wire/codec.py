"""Encoder and decoder of batches: the public interface of the codec. FORMAT.md specifies the layout.

Pure: no I/O, no clock. Arbitrary bytes give a batch or a :class:`wire.errors.DecodeError`, in bounded time and memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from wire import aggregates, container, directory, profile, readings, reports
from wire.column_reader import Reader
from wire.column_writer import Writer
from wire.columns import OF_AGGREGATES, OF_READINGS, Id
from wire.container import Coder, Kind, Packed
from wire.directory import Directory
from wire.errors import FormatError, ModelError, UnknownProfileError
from wire.limits import MAX_BATCH_BYTES, MAX_LATE, MAX_ROWS, MAX_SERIES
from wire.model import AGGREGATE_COLUMNS, Aggregates, Anomalies, Batch, Notice, Readings, Rows
from wire.model_coder import rans
from wire.model_coder.adaptive_model import State
from wire.profile import Profile
from wire.rows import Layout, read_counts
from wire.varint import Cursor, number, pack_signed

ALL = frozenset(Coder)
"""All coders: the smallest result is used."""
FAST = frozenset({Coder.NONE, Coder.DEFLATE})
"""The fastest coders, for links where CPU time counts more than bytes."""
Profiles = Callable[[str, int], Profile | None]
"""Lookup of a gateway's profile by its version; returns None for an unknown one."""
_LATE = (0, 1, 2, 3)


def encode(
    batch: Batch,
    limit: int = MAX_BATCH_BYTES,
    *,
    known: Profile | None = None,
    coders: frozenset[Coder] = ALL,
) -> bytes:
    """Return the encoded batch; of ``coders`` the one with the smallest result is used.

    ``known`` is a profile that the reader has.
    Raises TooLargeError above ``limit`` bytes, and ModelError for more rows or series than a batch may hold.
    """
    return seal(batch.gateway, batch.epoch, batch.sequence, pack(batch.rows, known=known, coders=coders), limit)


def decode(data: bytes, profiles: Profiles | None = None) -> Batch:
    """Return the batch encoded in ``data``; raises DecodeError (see wire.errors) for anything else.

    Rows are in the order of time, then of the directory; FORMAT.md states the precision. Raises UnknownProfileError for
    a batch whose profile ``profiles`` does not find.
    """
    try:
        gateway, epoch, sequence, packed = container.unseal(data)
        find = None if profiles is None else partial(profiles, gateway)
        return Batch(gateway, epoch, sequence, unpack(packed, find))
    except ModelError as error:
        raise FormatError(str(error)) from error


def encode_profile(gateway: str, epoch: int, sequence: int, known: Profile, limit: int = MAX_BATCH_BYTES) -> bytes:
    """Return an encoded profile, named like a batch; raises TooLargeError above ``limit``: profile fewer series."""
    return seal(gateway, epoch, sequence, pack_profile(known), limit)


def pack_profile(known: Profile) -> bytes:
    """Return an encoded profile without the batch name."""
    content = profile.write(known)
    coder, stream = container.smallest(content)
    return container.pack(Kind.PROFILE, coder, len(content), stream)


def decode_profile(data: bytes) -> tuple[str, Profile]:
    """Return (gateway, profile); raises DecodeError for anything but a profile."""
    try:
        gateway, _, _, packed = container.unseal(data)
        parts = container.unpack(packed)
        if parts.kind is not Kind.PROFILE or parts.coder is Coder.MODEL or parts.profile is not None:
            raise FormatError(
                f"kind {parts.kind.name}, coder {parts.coder.name}, profile {parts.profile}: not a profile"
            )
        return gateway, profile.read(container.inflate(parts.coder, parts.size, parts.stream))
    except ModelError as error:
        raise FormatError(str(error)) from error


def shorten(packed: bytes, known: Profile) -> bytes:
    """Return packed rows encoded against a profile, or unchanged if that is not smaller.

    Both decode to exactly the same rows. Raises DecodeError for anything but packed rows.
    """
    rows = unpack(packed)
    if not isinstance(rows, Aggregates):
        return packed
    best = min(_pack_known(rows, known), key=len, default=packed)
    if len(best) >= len(packed) or not _same(rows, unpack(best, lambda version: known)):
        return packed
    return best


def _same(rows: Aggregates, others: Rows) -> bool:
    return (
        isinstance(others, Aggregates)
        and rows.series == others.series
        and all(getattr(rows, name).tobytes() == getattr(others, name).tobytes() for name in AGGREGATE_COLUMNS)
    )


def name_of(data: bytes) -> tuple[str, int, int]:
    """Return (gateway, epoch, sequence) of a batch without decoding its rows; raises DecodeError."""
    gateway, epoch, sequence, _ = container.unseal(data)
    return gateway, epoch, sequence


def kind_of(data: bytes) -> Kind:
    """Return the kind of a batch (rows, notice, profile); raises DecodeError."""
    return container.unpack(container.unseal(data)[3]).kind


def seal(gateway: str, epoch: int, sequence: int, packed: bytes, limit: int = MAX_BATCH_BYTES) -> bytes:
    """Return the batch with this name around packed rows; raises TooLargeError above ``limit``."""
    return container.seal(gateway, epoch, sequence, packed, limit)


def room(gateway: str, limit: int = MAX_BATCH_BYTES) -> int:
    """Return the maximum size of packed rows for a batch of ``gateway`` with any sequence number within ``limit``."""
    return container.room(gateway, limit)


def pack(rows: Rows, *, known: Profile | None = None, coders: frozenset[Coder] = ALL) -> bytes:
    """Return the encoded rows without the batch name, so that they can be packed before the sequence is known.

    Raises ModelError for more rows or series than a batch may hold.
    """
    if isinstance(rows, Anomalies | Notice):
        content = reports.write(rows)
        kind = Kind.ANOMALIES if isinstance(rows, Anomalies) else Kind.NOTICE
        coder, stream = container.smallest(content)
        return container.pack(kind, coder, len(content), stream)
    if len(rows) > MAX_ROWS or len(rows.series) > MAX_SERIES:
        raise ModelError(f"{len(rows)} rows, {len(rows.series)} series: at most {MAX_ROWS} and {MAX_SERIES}")
    made = _pack_alone(rows, coders)
    if known is not None and isinstance(rows, Aggregates):
        made += _pack_known(rows, known)
    return min(made, key=len)


def _pack_alone(rows: Readings | Aggregates, coders: frozenset[Coder]) -> list[bytes]:
    times = rows.time_ms if isinstance(rows, Readings) else rows.start_ms
    layout = Layout(rows.series_index, times, len(rows.series))
    if isinstance(rows, Readings):
        kind, steps = Kind.READINGS, readings.steps(rows, layout)
        write: Callable[[Writer], bytes] = partial(readings.write, rows, layout, steps)
    else:
        kind, steps = Kind.AGGREGATES, aggregates.steps(rows, layout)
        write = partial(aggregates.write, rows, layout, steps)
    entries = directory.directory(rows.series, steps)
    begin = directory.write(entries) + _counts(layout)
    made = []
    if coders - {Coder.MODEL}:
        writer = Writer(entries.kinds.tolist(), modelled=False)
        content = begin + write(writer) + writer.finish()
        made += [
            container.pack(kind, coder, len(content), container.PACK[coder](content))
            for coder in sorted(coders - {Coder.MODEL})
        ]
    if Coder.MODEL in coders:
        writer = Writer(entries.kinds.tolist(), modelled=True)
        head = begin + write(writer) + writer.finish()
        made.append(container.pack(kind, Coder.MODEL, *container.join(head, rans.encode(writer.symbols))))
    return made


def _pack_known(rows: Aggregates, known: Profile) -> list[bytes]:
    """Return the rows encoded against a profile, per value of ``late``; empty if it lacks one of the series."""
    series_ids = known.select(rows.series)
    if series_ids is None:
        return []
    layout, entries = Layout(rows.series_index, rows.start_ms, len(rows.series)), known.entries(series_ids)
    begin = number(len(series_ids)) + pack_signed(np.diff(np.array(series_ids, np.int64), prepend=np.int64(-1)) - 1)
    made = []
    first = Writer(entries.kinds.tolist(), modelled=True, known=known.known(series_ids), late=_LATE[0])
    times = aggregates.write(rows, layout, entries.steps, first)
    for late in _LATE:
        writer = first if late == _LATE[0] else first.with_late(late)
        head = begin + bytes((late,)) + _counts(layout) + times + writer.finish()
        joined = container.join(head, rans.encode(writer.symbols))
        made.append(container.pack(Kind.AGGREGATES, Coder.MODEL, *joined, profile=known.version))
    return made


def _counts(layout: Layout) -> bytes:
    return pack_signed(np.diff(layout.counts, prepend=np.int64(0)))


@dataclass(slots=True)
class Opened:
    """Decoded rows with the column reader they came from; see :func:`open_rows`."""

    rows: Readings | Aggregates
    parts: Packed
    head: bytes
    reader: Reader


def unpack(packed: bytes, find: Callable[[int], Profile | None] | None = None) -> Rows:
    """Return the rows encoded by :func:`pack`; raises DecodeError or ModelError."""
    parts = container.unpack(packed)
    if parts.kind in (Kind.READINGS, Kind.AGGREGATES):
        return open_rows(parts, find).rows
    return reports.unpack(parts)


def open_rows(parts: Packed, find: Callable[[int], Profile | None] | None = None) -> Opened:
    """Return readings or aggregates together with their column reader; raises DecodeError."""
    decoder = None
    if parts.coder is Coder.MODEL:
        content, symbols = container.split(parts)
        decoder = rans.Decoder(symbols)
    else:
        content = container.inflate(parts.coder, parts.size, parts.stream)
    cursor = Cursor(content)
    entries, states, late = _entries(cursor, parts, find)
    counts = read_counts(cursor, len(entries.series))
    opened: list[Reader] = []

    def open_columns(cursor: Cursor) -> Reader:
        own = OF_READINGS if parts.kind is Kind.READINGS else OF_AGGREGATES
        reader = Reader.open(cursor, entries.kinds.tolist(), own)
        reader.decoder, reader.known, reader.late = decoder, states, late
        if cursor.left:
            raise FormatError(f"{cursor.left} bytes are left after the columns")
        opened.append(reader)
        return reader

    read = readings.read if parts.kind is Kind.READINGS else aggregates.read
    rows = read(cursor, entries, counts, open_columns)
    if decoder is not None:
        decoder.finish()
    return Opened(rows, parts, content, opened[0])


def _entries(
    cursor: Cursor, parts: Packed, find: Callable[[int], Profile | None] | None
) -> tuple[Directory, dict[Id, list[State]], int]:
    if parts.profile is None:
        return directory.read(cursor), {}, 0
    if parts.kind is not Kind.AGGREGATES or parts.coder is not Coder.MODEL:
        raise FormatError(f"{parts.kind.name.lower()} by {parts.coder.name}: with a profile")
    known = None if find is None else find(parts.profile)
    if known is None:
        raise UnknownProfileError(parts.profile)
    gaps = cursor.signed_column(cursor.number("series"), "series")
    series_ids = np.cumsum(gaps + 1) - 1
    if len(series_ids) and (int(series_ids.min()) < 0 or int(series_ids.max()) >= len(known.series)):
        raise FormatError(f"series: outside the {len(known.series)} series of profile {known.version}")
    late = cursor.byte("late")
    if late > MAX_LATE or len(series_ids) > MAX_SERIES:
        raise FormatError(f"late: {late}, at most {MAX_LATE}; {len(series_ids)} series")
    found = series_ids.tolist()
    return known.entries(found), known.known(found), late


__all__ = [
    "ALL",
    "FAST",
    "Coder",
    "Kind",
    "Profile",
    "decode",
    "decode_profile",
    "encode",
    "encode_profile",
    "kind_of",
    "name_of",
    "pack",
    "pack_profile",
    "room",
    "seal",
    "shorten",
    "unpack",
]
