"""The container of a batch: each kind of damage has its error, and decompression is limited."""

from __future__ import annotations

import lzma
import struct
import zlib

import numpy as np
import pytest

from tests.contract import decoder
from tests.contract.make_golden import aggregates
from wire import codec, container, directory, profile
from wire.codec import Coder, Kind
from wire.errors import (
    ChecksumError,
    DecodeError,
    FormatError,
    LimitError,
    MagicError,
    ModelError,
    TooLargeError,
    VersionError,
)
from wire.limits import MAX_BATCH_BYTES, MAX_INFLATED_BYTES, MAX_ROWS
from wire.model import MAX_SEQUENCE, Aggregates, Anomalies, Batch, Notice, Readings, Series
from wire.quantization import BITS
from wire.reports import read_anomalies, read_notice
from wire.varint import number, pack, pack_signed

ROWS = aggregates(6)
DATA = codec.encode(Batch("gw", 1, 2, ROWS))


def crc(data: bytes) -> bytes:
    return data + struct.pack("<I", zlib.crc32(data))


def sealed(packed: bytes) -> bytes:
    return codec.seal("gw", 1, 1, packed, 10**9)


@pytest.mark.parametrize("data", [b"", b"S", b"XY" + DATA[2:], b"\0" * 64])
def test_bytes_that_do_not_begin_as_a_batch_does(data: bytes) -> None:
    with pytest.raises(MagicError):
        codec.decode(data)


def test_a_major_version_that_is_not_known() -> None:
    with pytest.raises(VersionError, match="major version 2"):
        codec.decode(crc(DATA[:2] + b"\2" + DATA[3:-4]))


def test_a_byte_that_changed_on_the_way() -> None:
    with pytest.raises(ChecksumError):
        codec.decode(DATA[:-20] + bytes((DATA[-20] ^ 1,)) + DATA[-19:])


@pytest.mark.parametrize("length", range(2, 20))
def test_a_batch_that_is_cut_short(length: int) -> None:
    with pytest.raises(DecodeError):
        codec.decode(crc(DATA[:length]))


def test_a_batch_has_at_least_nineteen_bytes() -> None:
    for length in range(2, 19):
        with pytest.raises(FormatError, match=f"{length} bytes are too few"):
            codec.decode(DATA[:length])
    with pytest.raises(ChecksumError):
        codec.decode(DATA[:19])


def test_the_dictionary_of_lzma_is_that_of_the_format() -> None:
    content = np.random.default_rng(1).bytes(70_000) * 2
    stream = container.PACK[Coder.LZMA1](content)
    assert lzma.decompress(stream, lzma.FORMAT_RAW, filters=decoder.LZMA) == content
    larger = lzma.compress(content, lzma.FORMAT_RAW, filters=[decoder.LZMA[0] | {"dict_size": 1 << 17}])
    with pytest.raises(FormatError):
        container.inflate(Coder.LZMA1, len(content), larger)


def test_a_directory_has_as_many_series_as_the_limit_and_not_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    series = len(ROWS.series)
    for limit in (series, series - 1):
        with monkeypatch.context() as patch:
            patch.setattr(directory, "MAX_SERIES", limit)
            if limit == series:
                assert len(codec.unpack(codec.pack(ROWS, coders=codec.FAST))) == len(ROWS)
                continue
            with pytest.raises(LimitError, match=f"{series} series, at most {limit}"):
                codec.unpack(codec.pack(ROWS, coders=codec.FAST))


@pytest.mark.parametrize("content", [b"{}", b"null", b"7", b'"a"', b"[1]", b"[[]]"])
def test_anomalies_are_a_list_of_objects(content: bytes) -> None:
    with pytest.raises(FormatError, match="not a list of objects"):
        read_anomalies(content)


def test_a_gateway_that_cannot_be_one() -> None:
    changed = DATA[:-4].replace(b"\2gw", b"\2g/")
    with pytest.raises(FormatError, match="gateway"):
        codec.decode(crc(changed))


@pytest.mark.parametrize("kind", [0, 6, 15])
def test_a_kind_that_is_not_known(kind: int) -> None:
    with pytest.raises(FormatError, match="flags"):
        codec.decode(sealed(bytes((kind << 2,)) + number(0)))


@pytest.mark.parametrize("kind", [Kind.ANOMALIES, Kind.NOTICE, Kind.PROFILE])
def test_kinds_that_are_not_rows_have_no_model(kind: Kind) -> None:
    with pytest.raises(FormatError):
        codec.decode(sealed(container.pack(kind, Coder.MODEL, 0, b"")))


def test_profiles_and_rows_are_distinguished() -> None:
    with pytest.raises(FormatError, match="neither rows nor reports"):
        codec.decode(sealed(container.pack(Kind.PROFILE, Coder.NONE, 0, b"")))
    with pytest.raises(FormatError, match="not a profile"):
        codec.decode_profile(DATA)
    for coder in Coder:
        with pytest.raises(FormatError, match="not a profile"):
            codec.decode_profile(codec.encode(Batch("gw", 1, 2, ROWS), coders=frozenset({coder})))


def test_a_profile_is_read_as_it_was_sent_with_its_gateway() -> None:
    known = profile.learn(ROWS)
    data = codec.encode_profile("gw", 1, 2, known)
    assert codec.decode_profile(data) == ("gw", known)
    assert (codec.name_of(data), codec.kind_of(data)) == (("gw", 1, 2), Kind.PROFILE)
    with pytest.raises(TooLargeError):
        codec.encode_profile("gw", 1, 2, known, len(data) - 1)
    assert codec.encode_profile("gw", 1, 2, known, len(data)) == data


def test_a_size_above_the_limit_is_rejected_before_inflation() -> None:
    with pytest.raises(LimitError):
        codec.decode(sealed(container.pack(Kind.AGGREGATES, Coder.DEFLATE, MAX_INFLATED_BYTES + 1, b"")))


@pytest.mark.parametrize("coder", [Coder.DEFLATE, Coder.LZMA1])
def test_a_content_of_another_size_is_rejected(coder: Coder) -> None:
    stream = container.PACK[coder](bytes(1000))
    for size in (999, 1001):
        with pytest.raises(FormatError, match="the batch states"):
            container.inflate(coder, size, stream)
    assert container.inflate(coder, 1000, stream) == bytes(1000)


def test_too_many_rows_are_rejected_before_allocation() -> None:
    head = directory.write(directory.directory((Series("a"),), (BITS,)))
    content = head + pack_signed(np.array([MAX_ROWS + 1]))
    with pytest.raises(LimitError, match="rows"):
        codec.decode(sealed(container.pack(Kind.READINGS, Coder.NONE, len(content), content)))


def test_too_many_series_are_rejected() -> None:
    with pytest.raises(LimitError, match="series"):
        codec.decode(sealed(container.pack(Kind.READINGS, Coder.NONE, 3, pack(np.array([65_000], np.uint64)))))


def test_more_rows_than_allowed_are_not_encoded() -> None:
    n = MAX_ROWS + 1
    rows = Readings((Series("a"),), np.zeros(n, np.int64), np.arange(n), np.zeros(n), np.zeros(n, np.uint8))
    with pytest.raises(ModelError, match="at most"):
        codec.pack(rows)


def test_the_maximum_number_of_constant_rows_is_encoded_in_few_bytes() -> None:
    n = MAX_ROWS
    rows = Readings((Series("a"),), np.zeros(n, np.int64), np.arange(n) * 1000, np.full(n, 5.0), np.zeros(n, np.uint8))
    data = codec.encode(Batch("gw", 1, 1, rows), coders=codec.FAST)
    assert len(data) < 200
    back = codec.decode(data).rows
    assert isinstance(back, Readings)
    assert (back.value == 5.0).all()
    assert (np.diff(back.time_ms) == 1000).all()


def test_the_error_for_a_too_large_batch_has_both_sizes() -> None:
    with pytest.raises(TooLargeError, match=f"at most {MAX_BATCH_BYTES}"):
        codec.encode(Batch("gw", 1, 1, aggregates(2000, 10)))


@pytest.mark.parametrize("sequence", [1, 127, 128, MAX_SEQUENCE])
@pytest.mark.parametrize("gateway", ["g", "g" * 128])
def test_packed_rows_of_the_size_of_the_room_always_fit(gateway: str, sequence: int) -> None:
    room = codec.room(gateway, 5_000)
    assert len(codec.seal(gateway, 0, MAX_SEQUENCE, bytes(room), 5_000)) == 5_000
    assert len(codec.seal(gateway, 2**64 - 1, sequence, bytes(room), 5_000)) <= 5_000


def test_a_notice_with_an_unsupported_number_is_not_encoded() -> None:
    with pytest.raises(ModelError, match="64-bit"):
        codec.pack(Notice(1, {"a": {"b": 2**63}}))


@pytest.mark.parametrize("version", ["", "1" * 65, "1\n", "é"])
def test_a_notice_with_an_invalid_version_is_not_encoded(version: str) -> None:
    with pytest.raises(ModelError, match="versions"):
        codec.pack(Notice(1, {}, {"a": version}))


@pytest.mark.parametrize("versions", ["null", "[1]", '{"a":1}', '{"a":""}', '{"a":"\\ud800"}'])
def test_a_notice_with_invalid_versions_is_not_decoded(versions: str) -> None:
    with pytest.raises(FormatError, match="notice"):
        read_notice(f'{{"time_ms":1,"counters":{{}},"versions":{versions}}}'.encode())


def test_a_notice_without_versions_is_decoded() -> None:
    assert read_notice(b'{"time_ms":1,"counters":{}}') == Notice(1, {})


def test_no_reports_are_a_batch_too() -> None:
    assert codec.unpack(codec.pack(Anomalies(()))) == Anomalies(())


def test_coded_cells_beyond_64_bits_are_rejected() -> None:
    found_by_fuzzing = bytes.fromhex(
        "534c010500000000000000070467772d310b560152636264602f28cd2dd035d463faeff4df8e0922cecce8c8c0ccc0c0"
        "c0c4c0a4c1d0f0a1edd0bbd4097e0c4c2c0c0be630a6b0b030b37a30300831b032b32a30300830b031b329b003690e76"
        "a0003b131703004cbb1400a33fff3fff3f30c0ab3c73411aa4e06c75dd48211900a8ce50211df65f19b31ba401698035"
        "80d1fe8d8169901a98c46cbb1a51f1a3d8ffbfff3f687fa7d1a33fff7fffbfebb87059b2b7cfc745a731a1"
    )
    with pytest.raises(FormatError, match="more than 64 bits"):
        codec.decode(found_by_fuzzing)


def test_a_batch_holds_as_many_rows_and_series_as_the_limits_and_not_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, series = len(ROWS), len(ROWS.series)
    monkeypatch.setattr(codec, "MAX_ROWS", rows)
    monkeypatch.setattr(codec, "MAX_SERIES", series)
    assert len(codec.unpack(codec.pack(ROWS, coders=codec.FAST))) == rows
    for name, limit in (("MAX_ROWS", rows - 1), ("MAX_SERIES", series - 1)):
        with monkeypatch.context() as patch:
            patch.setattr(codec, name, limit)
            with pytest.raises(ModelError, match=f"{rows} rows, {series} series: at most"):
                codec.pack(ROWS)


def test_rows_that_a_profile_would_round_are_not_shortened() -> None:
    """The means of the profile's rows have two decimals, so that its unit of means is too coarse for four."""
    series = tuple(Series(f"line-{at}.flow", "l/min") for at in range(40))

    def window(above: int, decimals: int, seed: int) -> Aggregates:
        """Return a row of each series, whose mean is ``above`` units of its last decimal above the minimum."""
        n = len(series)
        tenths = 100 * np.arange(n) + np.random.default_rng(seed).integers(0, 30, n)
        mean = (tenths * 10 ** (decimals - 1) + above) / 10**decimals
        start, one = np.full(n, 1_700_000_000_000), np.ones(n, np.int64)
        columns = (mean, tenths / 10, (tenths + 1) / 10, np.full(n, 0.03), np.zeros(n))
        return Aggregates(series, np.arange(n), start, 1000 * one, 10 * one, *columns)

    known = profile.learn(window(5, 2, 1))
    exact, finer = codec.pack(window(6, 2, 2)), codec.pack(window(512, 4, 2))
    assert len(codec.shorten(exact, known)) < len(exact)
    assert min(map(len, codec._pack_known(window(512, 4, 2), known))) < len(finer)
    assert codec.shorten(finer, known) == finer
