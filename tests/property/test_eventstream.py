"""Frames are encoded and decoded unchanged; arbitrary bytes give frames or the package's error."""

from __future__ import annotations

import itertools
import struct
import uuid
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.greengrass.errors import EventStreamError, FrameChecksumError
from device_sim.greengrass.eventstream import Decoder, Frame, Header, HeaderType, encode

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
SIZES = {HeaderType.INT8: 8, HeaderType.INT16: 16, HeaderType.INT32: 32, HeaderType.INT64: 64, HeaderType.TIMESTAMP: 64}
VALUES = st.one_of(
    st.just((HeaderType.TRUE, True)),
    st.just((HeaderType.FALSE, False)),
    st.sampled_from(list(SIZES)).flatmap(
        lambda kind: st.tuples(st.just(kind), st.integers(-(2 ** (SIZES[kind] - 1)), 2 ** (SIZES[kind] - 1) - 1))
    ),
    st.tuples(st.just(HeaderType.BYTES), st.binary(max_size=200)),
    st.tuples(st.just(HeaderType.STRING), st.text(st.characters(codec="utf-8"), max_size=100)),
    st.tuples(st.just(HeaderType.UUID), st.uuids()),
)
HEADERS = st.builds(lambda name, value: Header(name, *value), NAMES, VALUES)
FRAMES = st.builds(Frame, st.lists(HEADERS, max_size=6).map(tuple), st.binary(max_size=500))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(at)]


@given(st.lists(FRAMES, max_size=4), st.lists(st.integers(0, 10_000), max_size=8))
def test_frames_received_in_any_pieces_are_decoded(frames: list[Frame], cuts: list[int]) -> None:
    decoder = Decoder()
    out = [frame for piece in pieces(b"".join(map(encode, frames)), cuts) for frame in decoder.feed(piece)]
    assert out == frames
    assert decoder.pending == 0


@given(st.binary(max_size=400))
def test_any_bytes_give_frames_or_the_packages_error(data: bytes) -> None:
    decoder = Decoder()
    try:
        decoder.feed(data)
    except EventStreamError:
        with pytest.raises(EventStreamError):
            decoder.feed(b"")


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_any_headers_with_right_checksums_give_a_frame_or_the_packages_error(headers: bytes, payload: bytes) -> None:
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    data = body + struct.pack(">I", zlib.crc32(body))
    try:
        (frame,) = Decoder().feed(data)
    except EventStreamError:
        return
    assert encode(frame) == data


@given(FRAMES, st.integers(0), st.integers(1, 255))
def test_a_changed_byte_is_detected(frame: Frame, place: int, change: int) -> None:
    data = bytearray(encode(frame))
    data[place % len(data)] ^= change
    # A change in the lengths is detected by the prelude's checksum, so the decoder does not wait for more bytes.
    with pytest.raises(FrameChecksumError):
        Decoder().feed(bytes(data))


@given(st.uuids())
def test_a_uuid_is_sixteen_bytes(value: uuid.UUID) -> None:
    assert value.bytes in encode(Frame((Header("id", HeaderType.UUID, value),)))
