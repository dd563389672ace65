"""Input that FORMAT.md does not allow is rejected, so that all decoders give the same rows or an error."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from tests.contract.make_golden import aggregates, duty, readings
from wire import codec, container, profile
from wire.aggregates import _log
from wire.codec import Coder
from wire.columns import Id, Mode
from wire.container import Kind
from wire.errors import FormatError
from wire.model import AGGREGATE_COLUMNS, Aggregates, Rows
from wire.model_coder.prediction import residuals, restore
from wire.preset_dictionary import DICTIONARY
from wire.quantization import read_size
from wire.varint import Cursor, number


def altered(rows: Rows, changes: dict[int, tuple[int, bytes] | None]) -> bytes:
    """Return the rows packed with coder 0, with columns replaced by (mode, payload) or removed."""
    parts = container.unpack(codec.pack(rows, coders=frozenset({Coder.NONE})))
    entries = codec.open_rows(parts).reader.entries
    size = sum(entry.size for entry in entries.values())
    begin = parts.stream[: len(parts.stream) - size - 1]
    columns = {column: (entry.mode, entry.payload) for column, entry in entries.items()}
    kept = {column: way for column, way in (columns | changes).items() if way is not None}
    content = begin + number(len(kept))
    for column, (mode, payload) in kept.items():
        content += bytes((column, mode)) + number(len(payload)) + payload
    return container.pack(parts.kind, Coder.NONE, len(content), content)


ROWS = aggregates(3)
RUNS = bytes((1, len(ROWS)))


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (ROWS, {Id.QUALITY: (Mode.FEW, b"\0\0")}, "not one of this kind"),
        (readings(20), {Id.WIDTH: (Mode.FEW, b"\0\0")}, "not one of this kind"),
        (readings(20), {Id.SCORE: (Mode.FEW, b"\0\0")}, "not one of this kind"),
        (ROWS, {Id.SCORED: (Mode.BYTES, RUNS + b"x")}, "scored: 1 bytes are left"),
        (ROWS, {Id.SCORED: (Mode.BYTES, RUNS), Id.SCORE: None}, "scored: without scores"),
        (ROWS, {Id.SCORED: (Mode.BYTES, bytes((1, len(ROWS) - 1)))}, "runs: of other than the 12 rows"),
        (ROWS, {Id.SCORED: (Mode.BYTES, bytes((2, 1, len(ROWS))))}, "runs: of other than the 12 rows"),
        (ROWS, {Id.REST: (Mode.BYTES, RUNS)}, "rest: of no row"),
        (ROWS, {Id.ORDER: (Mode.BYTES, bytes((0, 1, 2, 3, 128)))}, "order: 1 bytes are left"),
        (ROWS, {Id.ORDER: (Mode.BYTES, bytes((0, 1, 2)))}, "order: 3 of 4 groups"),
    ],
)
def test_a_column_that_the_format_does_not_allow_is_rejected(
    rows: Rows, changes: dict[int, tuple[int, bytes] | None], message: str
) -> None:
    assert codec.unpack(altered(rows, {})) is not None
    with pytest.raises(FormatError, match=message):
        codec.unpack(altered(rows, changes))


def test_runs_may_be_empty_and_a_known_column_may_have_bit_7() -> None:
    scored = bytes((4, 0, 0, 5, 7))
    rows = codec.unpack(altered(ROWS, {Id.SCORED: (Mode.BYTES, scored), Id.SCORE: (Mode.FEW, b"\0\0")}))
    assert isinstance(rows, Aggregates)
    assert (~np.isnan(rows.score)).sum() == 5
    parts = container.unpack(altered(ROWS, {}))
    way = codec.open_rows(parts).reader.entries[Id.VALUE]
    flagged = altered(ROWS, {Id.VALUE: None, Id.VALUE | 0x80: (way.mode, way.payload)})
    assert_equal(codec.unpack(flagged), codec.unpack(altered(ROWS, {})))


@pytest.mark.parametrize("coder", [Coder.DEFLATE, Coder.LZMA1])
def test_a_stream_with_trailing_bytes_or_without_an_end_is_rejected(coder: Coder) -> None:
    parts = container.unpack(codec.pack(ROWS, coders=frozenset({coder})))
    with pytest.raises(FormatError, match="does not end"):
        codec.unpack(container.pack(parts.kind, coder, parts.size, parts.stream + b"more"))
    if coder is Coder.DEFLATE:
        open_ended = zlib.compressobj(9, wbits=-15, zdict=DICTIONARY)
        stream = open_ended.compress(b"[]") + open_ended.flush(zlib.Z_SYNC_FLUSH)
        with pytest.raises(FormatError, match="does not end"):
            codec.unpack(container.pack(Kind.ANOMALIES, coder, 2, stream))


@pytest.mark.parametrize(
    "data",
    [
        bytes((32, 0)),
        bytes((32, 10)),
        bytes((54, 1)),
        bytes((31,)) + number(2**31),
        b"\1" + struct.pack("<d", 0.1),
        b"\1" + struct.pack("<d", -1 / 3),
        b"\1" + struct.pack("<d", float("inf")),
        bytes((9, 1)),
        bytes((55, 1)),
    ],
)
def test_only_the_canonical_encoding_of_a_step_is_accepted(data: bytes) -> None:
    assert read_size(Cursor(b"\1" + struct.pack("<d", 1 / 3)), "step") == 1 / 3
    with pytest.raises(FormatError, match="step"):
        read_size(Cursor(data), "step")


def test_a_profile_that_refers_to_a_profile_is_rejected() -> None:
    packed = codec.pack_profile(profile.learn(ROWS))
    parts = container.unpack(packed)
    named = container.pack(parts.kind, parts.coder, parts.size, parts.stream, 7)
    codec.decode_profile(codec.seal("gw", 1, 1, packed))
    with pytest.raises(FormatError, match="not a profile"):
        codec.decode_profile(codec.seal("gw", 1, 1, named))


def test_a_series_at_rest_is_written_and_read_with_a_profile() -> None:
    rows = duty(60)
    known = profile.learn(rows)
    whole = codec.pack(rows)
    assert Id.REST in codec.open_rows(container.unpack(whole)).reader.entries
    short = codec.shorten(whole, known)
    assert len(short) < len(whole)
    assert_equal(codec.unpack(short, lambda _: known), codec.unpack(whole))


@pytest.mark.parametrize("bits", range(1, 63))
def test_logarithms_are_exact_for_large_integers(bits: int) -> None:
    below, power = _log(np.array([2**bits - 1, 2**bits])).tolist()
    assert power == bits << 12
    assert power - below < 4096 if bits > 1 else below == 0
    assert below <= power


def reference_restore(cells: list[int], window: int) -> list[int]:
    """Restore cells as FORMAT.md defines windows 1 to 80, with unbounded integers in which only cells wrap."""
    out: list[int] = []
    level = seen = before = 0
    for left in cells:
        cell = (left + (level + 128 >> 8) + 2**63) % 2**64 - 2**63
        if window > 64:
            level = 256 * cell + (cell - (before if out else cell)) * 32 * (window - 64)
        elif window:
            seen = min(seen + 1, window)
            level += (256 * cell - level) // seen
        before = cell
        out.append(cell)
    return out


@pytest.mark.parametrize("window", [0, 1, 2, 63, 64, 65, 80])
def test_cells_wrap_under_a_window_and_levels_do_not(window: int) -> None:
    rng = np.random.default_rng(window)
    ends = np.array([2**63 - 1, -(2**63), 0, 2**62, -1], np.int64)
    left = np.concatenate((ends[rng.integers(0, 5, 300)], rng.integers(-(2**63), 2**63, 300, np.int64)))
    restored = restore(left, [300, 300], [window, window])
    assert restored.tolist() == reference_restore(left[:300].tolist(), window) + reference_restore(
        left[300:].tolist(), window
    )
    assert residuals(restored, [300, 300], [window, window]).tolist() == left.tolist()


def assert_equal(one: Rows, other: Rows) -> None:
    """Assert equality to the bit."""
    assert isinstance(one, Aggregates)
    assert isinstance(other, Aggregates)
    assert one.series == other.series
    for name in AGGREGATE_COLUMNS:
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
