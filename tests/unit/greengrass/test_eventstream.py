"""Tests of the event-stream limits, and of one frame byte by byte."""

from __future__ import annotations

import struct
import zlib

import pytest

from device_sim.greengrass import eventstream
from device_sim.greengrass.errors import FrameChecksumError, FrameFormatError, FrameSizeError
from device_sim.greengrass.eventstream import Decoder, Frame, Header, HeaderType, encode


def test_a_frame_has_the_documented_bytes() -> None:
    headers = b"\x01a\x04\x00\x00\x00\x07" + b"\x02bc\x07\x00\x01z"
    lengths = struct.pack(">II", 16 + len(headers) + 2, len(headers))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + b"{}"
    frame = Frame((eventstream.int32("a", 7), eventstream.text("bc", "z")), b"{}")
    assert encode(frame) == body + struct.pack(">I", zlib.crc32(body))


def test_an_invalid_prelude_is_rejected_immediately() -> None:
    with pytest.raises(FrameChecksumError, match="prelude"):
        Decoder().feed(b"GET / HTTP/1")
    huge = struct.pack(">II", 2**31, 0)
    with pytest.raises(FrameSizeError, match="2147483648 bytes, at most 10000"):
        Decoder(10_000).feed(huge + struct.pack(">I", zlib.crc32(huge)))
    short = struct.pack(">II", 15, 0)
    with pytest.raises(FrameFormatError):
        Decoder().feed(short + struct.pack(">I", zlib.crc32(short)))


def test_frames_before_a_malformed_one_are_not_lost() -> None:
    decoder = Decoder()
    good = Frame((), b"good")
    assert decoder.feed(encode(good) + b"x" * 12) == [good]
    with pytest.raises(FrameChecksumError):
        decoder.feed(encode(good))


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (Header("", HeaderType.STRING, "x"), FrameSizeError),
        (Header("n" * 128, HeaderType.STRING, "x"), FrameSizeError),
        (Header("n", HeaderType.STRING, "x" * 32_768), FrameSizeError),
        (Header("n", HeaderType.INT8, 128), FrameSizeError),
        (Header("n", HeaderType.INT32, True), FrameFormatError),
        (Header("n", HeaderType.STRING, b"x"), FrameFormatError),
        (Header("n", HeaderType.TRUE, False), FrameFormatError),
        (Header("n", HeaderType.STRING, "\ud800"), FrameFormatError),
    ],
)
def test_values_that_the_format_cannot_represent_are_rejected(header: Header, error: type[Exception]) -> None:
    with pytest.raises(error):
        encode(Frame((header,)))


def test_a_frame_over_the_limit_is_not_encoded() -> None:
    assert len(encode(Frame((), bytes(84)), 100)) == 100
    with pytest.raises(FrameSizeError, match="101 bytes, at most 100"):
        encode(Frame((), bytes(85)), 100)


def test_an_unknown_header_type_is_named() -> None:
    lengths = struct.pack(">II", 16 + 3, 3)
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + b"\x01n\x0a"
    with pytest.raises(FrameFormatError, match="unknown type 10"):
        Decoder().feed(body + struct.pack(">I", zlib.crc32(body)))
