"""The codec: exact within the stated precision for all valid rows, and a DecodeError for other bytes."""

from __future__ import annotations

import contextlib
import json
import math
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.contract.make_golden import GOLDEN
from tests.examples import examples
from wire import codec, container, profile
from wire.codec import Coder
from wire.errors import DecodeError, UnknownProfileError
from wire.model import AGGREGATE_COLUMNS, Aggregates, Anomalies, Anomaly, Batch, Notice, Phase, Readings, Rows, Series

BUSY = settings(deadline=None, max_examples=examples(30), suppress_health_check=[HealthCheck.too_slow])
LIMIT = 10**9
CODERS = [frozenset({coder}) for coder in Coder]
int64 = st.integers(-(2**63), 2**63 - 1)
resolutions = st.sampled_from(
    [None, None, 1.0, 0.1, 0.01, 0.5, 0.25, 0.0625, 1e-6, 1000.0, 1 / 3, 1e-300, 1e300, 7.3e-12]
)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9\-:./_]{0,20}", fullmatch=True)
numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-3000, 3000).map(lambda k: k / 10),
    st.integers(-300, 300).map(float),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1.7e308, 2.0**53, 1e15, 0.1 + 0.2]),
)


@st.composite
def directories(draw: st.DrawFn) -> tuple[Series, ...]:
    count = draw(st.integers(1, 5))
    units = st.sampled_from(["", "Cel", "%RH", "µS/cm"])
    return tuple(Series(draw(names), draw(units), draw(resolutions)) for _ in range(count))


@st.composite
def times(draw: st.DrawFn, n: int) -> np.ndarray:
    if draw(st.booleans()):
        step, start = draw(st.sampled_from([1, 250, 1000, 10_000])), draw(st.integers(-(10**13), 10**13))
        jitter = draw(st.sampled_from([0, 0, 3]))
        return start + step * np.arange(n) + np.array([draw(st.integers(0, jitter)) for _ in range(n)], np.int64)
    return np.array(draw(st.lists(int64, min_size=n, max_size=n)), np.int64)


@st.composite
def readings(draw: st.DrawFn) -> Readings:
    series, n = draw(directories()), draw(st.integers(0, 40))
    index = np.array(draw(st.lists(st.integers(0, len(series) - 1), min_size=n, max_size=n)), np.int64)
    value = np.array(draw(st.lists(numbers, min_size=n, max_size=n)), np.float64)
    quality = np.array(draw(st.lists(st.sampled_from([0, 0, 0, 1, 2, 255]), min_size=n, max_size=n)), np.uint8)
    return Readings(series, index, draw(times(n)), value, quality)


@st.composite
def aggregates(draw: st.DrawFn) -> Aggregates:
    series, n = draw(directories()), draw(st.integers(0, 40))
    index = np.array(draw(st.lists(st.integers(0, len(series) - 1), min_size=n, max_size=n)), np.int64)
    counts = st.one_of(st.sampled_from([10, 10, 10, 9, 0]), int64)
    width = np.array(draw(st.lists(st.one_of(st.just(10_000), int64), min_size=n, max_size=n)), np.int64)
    count = np.array(draw(st.lists(counts, min_size=n, max_size=n)), np.int64)
    if draw(st.booleans()):  # like real windows: ordered, with NaN in empty ones
        step = np.array([series[i].resolution or 0.1 for i in index])
        low = np.array(draw(st.lists(st.integers(-500, 500), min_size=n, max_size=n)), float) * step
        spread = np.array(draw(st.lists(st.integers(0, 40), min_size=n, max_size=n)), np.float64)
        mean, high = low + spread * step * 0.37, low + spread * step
        std = spread * step * 0.31
        empty = count == 0
        for column in (mean, low, high, std):
            column[empty] = np.nan
    else:
        mean, low, high, std = (np.array(draw(st.lists(numbers, min_size=n, max_size=n)), float) for _ in range(4))
    scores = st.one_of(st.just(math.nan), st.floats(0, 10), numbers)
    score = np.array(draw(st.lists(scores, min_size=n, max_size=n)), float)
    return Aggregates(series, index, draw(times(n)), width, count, mean, low, high, std, score)


reports = st.builds(
    Anomaly,
    names,
    st.sampled_from(Phase),
    int64,
    int64,
    st.floats(0, 1e9),
    st.text(max_size=20),
    observed=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    causes=st.dictionaries(st.text(max_size=8), st.floats(0, 10), max_size=4),
)
rows = st.one_of(
    readings(),
    aggregates(),
    st.lists(reports, max_size=5).map(lambda r: Anomalies(tuple(r))),
    st.builds(
        Notice,
        int64,
        st.dictionaries(st.text(max_size=8), st.dictionaries(st.text(max_size=8), int64)),
        st.dictionaries(st.text(max_size=8), st.from_regex(r"[ -~]{1,64}", fullmatch=True), max_size=3),
    ),
)


def same(left: np.ndarray, right: np.ndarray, allowed: np.ndarray | float) -> np.ndarray:
    """Return where two columns agree: equal, both NaN, or within the allowed difference."""
    with np.errstate(invalid="ignore", over="ignore"):
        agree: np.ndarray = (left == right) | (np.isnan(left) & np.isnan(right)) | (np.abs(left - right) <= allowed)
    return agree


def check_readings(sent: Readings, back: Readings) -> None:
    order = np.lexsort((sent.series_index, sent.time_ms))
    for column in ("series_index", "time_ms", "quality"):
        assert (getattr(sent, column)[order] == getattr(back, column)).all()
    step = np.array([one.resolution or 0.0 for one in sent.series])[sent.series_index[order]]
    assert same(sent.value[order], back.value, 1.0001e-6 * step).all()


def check_aggregates(sent: Aggregates, back: Aggregates) -> None:
    order = np.lexsort((sent.series_index, sent.start_ms))
    for column in ("series_index", "start_ms", "width_ms", "count"):
        assert (getattr(sent, column)[order] == getattr(back, column)).all()
    index = sent.series_index[order]
    step = np.array([one.resolution or 0.0 for one in sent.series])[index]
    found = np.array([_found_step(sent, at) for at in range(len(sent.series))])[index]
    for column in ("min", "max"):
        assert same(getattr(sent, column)[order], getattr(back, column), 1.0001e-6 * step).all()
    with np.errstate(invalid="ignore", over="ignore"):
        assert same(sent.mean[order], back.mean, 0.0500001 * np.maximum(step, found)).all()
        assert same(sent.std[order], back.std, 0.025 * np.abs(sent.std[order])).all()
        assert same(sent.score[order], back.score, 0.011 * (1 + np.abs(sent.score[order]))).all()


def _found_step(sent: Aggregates, at: int) -> float:
    """Return the largest power of ten that divides all minima and maxima of a series without resolution."""
    mine = sent.series_index == at
    values = np.concatenate((sent.min[mine], sent.max[mine]))
    values = values[np.isfinite(values)]
    for places in range(-20, 10):
        whole = [
            round(v * 10**places) if places >= 0 else round(v / 10**-places) for v in values.tolist() if abs(v) < 1e18
        ]
        back = [k / 10**places if places >= 0 else float(k * 10**-places) for k in whole]
        single = [float(np.float32(b)) for b in back if abs(b) < 1e38]
        if values.tolist() in (back, single):
            common = math.gcd(*whole) or 1
            return float(common / 10**places if places >= 0 else common * 10**-places)
    return 0.0


def check(sent: Rows, back: Rows) -> None:
    assert type(sent) is type(back)
    if isinstance(sent, Readings) and isinstance(back, Readings):
        assert sent.series == back.series
        check_readings(sent, back)
    elif isinstance(sent, Aggregates) and isinstance(back, Aggregates):
        assert sent.series == back.series
        check_aggregates(sent, back)
    else:
        assert sent == back


@pytest.mark.slow
@BUSY
@given(rows, st.sampled_from([*CODERS, codec.ALL]), st.integers(0, 2**64 - 1), st.integers(1, 2**63 - 1))
def test_all_valid_rows_are_restored_with_the_stated_precision(
    sent: Rows, coders: frozenset[Coder], epoch: int, sequence: int
) -> None:
    batch = Batch("gw-1", epoch, sequence, sent)
    data = codec.encode(batch, LIMIT, coders=coders)
    back = codec.decode(data)
    assert (back.gateway, back.epoch, back.sequence) == ("gw-1", epoch, sequence)
    check(sent, back.rows)
    assert len(data) <= len(codec.pack(sent, coders=coders)) + LIMIT - codec.room("gw-1", LIMIT)


@pytest.mark.slow
@BUSY
@given(rows)
def test_decoded_rows_are_unchanged_by_another_encoding(sent: Rows) -> None:
    once = codec.unpack(codec.pack(sent))
    twice = codec.unpack(codec.pack(once))
    if isinstance(once, Readings | Aggregates):
        columns = AGGREGATE_COLUMNS if isinstance(once, Aggregates) else ("series_index", "time_ms", "value", "quality")
        for column in columns:
            np.testing.assert_array_equal(getattr(once, column), getattr(twice, column), err_msg=column)
    else:
        assert once == twice


@pytest.mark.slow
@BUSY
@given(aggregates(), st.integers(0, 2**32 - 1))
def test_rows_encoded_with_a_profile_decode_to_the_same_rows(sent: Aggregates, version: int) -> None:
    known = profile.learn(sent, version)
    data = codec.encode_profile("gw-1", 1, 1, known, LIMIT)
    assert codec.decode_profile(data) == ("gw-1", known)
    assert codec.kind_of(data) is codec.Kind.PROFILE
    check(sent, codec.unpack(codec.pack(sent, known=known), lambda asked: known if asked == version else None))
    for packed in codec._pack_known(sent, known):
        check(sent, codec.unpack(packed, lambda asked: known if asked == version else None))
        with pytest.raises(UnknownProfileError) as missing:
            codec.unpack(packed, lambda asked: None)
        assert missing.value.version == version


def _always(known: profile.Profile) -> Callable[[int], profile.Profile]:
    return lambda _version: known


@pytest.mark.slow
@BUSY
@given(aggregates(), aggregates())
def test_shortening_with_any_profile_does_not_change_the_rows(sent: Aggregates, others: Aggregates) -> None:
    whole = codec.pack(sent)
    for known in (profile.learn(sent), profile.learn(others)):
        short = codec.shorten(whole, known)
        back, again = codec.unpack(whole), codec.unpack(short, _always(known))
        assert len(short) <= len(whole)
        assert isinstance(back, Aggregates)
        assert isinstance(again, Aggregates)
        assert back.series == again.series
        for column in AGGREGATE_COLUMNS:
            assert getattr(back, column).tobytes() == getattr(again, column).tobytes(), column


@pytest.mark.slow
@BUSY
@given(rows)
def test_the_same_rows_give_the_same_bytes(sent: Rows) -> None:
    assert codec.pack(sent) == codec.pack(sent)


def readable(data: bytes) -> None:
    """Assert that bytes give a batch or a DecodeError, and likewise as a profile."""
    with contextlib.suppress(DecodeError):
        codec.decode(data, lambda gateway, version: KNOWN)
    with contextlib.suppress(DecodeError):
        codec.decode_profile(data)


def small() -> Aggregates:
    n = 24
    rng = np.random.default_rng(1)
    low = rng.integers(0, 50, n) / 10
    return Aggregates(
        (Series("a.b", "Cel", 0.1), Series("a.c")),
        np.arange(n) % 2,
        np.arange(n) // 2 * 1000,
        np.full(n, 1000),
        np.full(n, 10),
        low + 0.33,
        low,
        low + 1,
        rng.random(n),
        rng.random(n),
    )


KNOWN = profile.learn(small(), 7)


def sealed(packed: bytes) -> bytes:
    return codec.seal("gw", 1, 1, packed, LIMIT)


def contents() -> list[tuple[str, bytes]]:
    """Return packed batches of every kind and coder."""
    n = 40
    raw = Readings(
        (Series("a", "", 0.5), Series("b")),
        np.arange(n) % 2,
        np.cumsum(np.arange(n) % 7) * 100,
        np.where(np.arange(n) % 20 < 8, 0.0, np.arange(n) * 1.5),
        (np.arange(n) % 9 == 0).astype(np.uint8),
    )
    found: list[tuple[str, bytes]] = []
    for coder in Coder:
        found.append((f"aggregates-{coder.name}", codec.pack(small(), coders=frozenset({coder}))))
        found.append((f"readings-{coder.name}", codec.pack(raw, coders=frozenset({coder}))))
    found.append(("known", codec._pack_known(small(), KNOWN)[0]))
    # Some encodings are chosen only for more rows.
    long = ("long-model", "wave-model")
    found += [(name, container.unseal((GOLDEN / f"{name}.batch").read_bytes())[3]) for name in long]
    found.append(("anomalies", codec.pack(Anomalies((Anomaly("a", Phase.END, 1, 2, 3.0, "gap"),)))))
    found.append(("notice", codec.pack(Notice(1, {"forwarder": {"sent": 2}}))))
    return found


PACKED = contents()


@BUSY
@given(st.binary(max_size=300))
def test_any_bytes_give_a_batch_or_a_decode_error(data: bytes) -> None:
    readable(data)
    readable(b"SL\x01" + data)
    readable(sealed(data))


@BUSY
@given(st.integers(0, 127), st.integers(0, 2000), st.binary(max_size=300))
def test_any_content_after_valid_flags_gives_a_batch_or_a_decode_error(flags: int, size: int, stream: bytes) -> None:
    length = bytes((size & 127 | 128, size >> 7))
    readable(sealed(bytes((flags,)) + length + stream))
    readable(sealed(bytes((flags & 0x3C,)) + struct.pack("B", len(stream) & 127) + stream))


@BUSY
@given(st.sampled_from(PACKED), st.data())
def test_a_batch_changed_anywhere_gives_a_batch_or_a_decode_error(
    which: tuple[str, bytes], data: st.DataObject
) -> None:
    packed = bytearray(which[1])
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(packed)] * 3 + list(range(len(packed)))))
    readable(sealed(bytes(packed[:cut])))


@BUSY
@given(st.data())
def test_a_head_changed_anywhere_gives_a_batch_or_a_decode_error(data: st.DataObject) -> None:
    """The change is made before compression, so that it is not detected by deflate."""
    _, packed = data.draw(st.sampled_from([p for p in PACKED if not p[0].startswith(("anom", "not"))]))
    parts = container.unpack(packed)
    symbols = b""
    if parts.coder is Coder.MODEL:
        head, symbols = container.split(parts)
    else:
        head = container.inflate(parts.coder, parts.size, parts.stream)
    changed = bytearray(head)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    if parts.coder is Coder.MODEL:
        again = container.pack(parts.kind, Coder.MODEL, *container.join(bytes(changed), symbols), parts.profile)
    else:
        again = container.pack(parts.kind, Coder.NONE, len(changed), bytes(changed))
    readable(sealed(again))


@BUSY
@given(st.binary(min_size=1, max_size=400), st.integers(0, 399))
def test_a_batch_with_a_changed_byte_is_not_decoded_to_the_original(noise: bytes, at: int) -> None:
    data = bytearray(sealed(PACKED[1][1]))
    place = at % len(data)
    if data[place] == noise[0]:
        return
    data[place] = noise[0]
    with pytest.raises(DecodeError):
        codec.decode(bytes(data))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@BUSY
@given(st.sampled_from([codec.Kind.ANOMALIES, codec.Kind.NOTICE]), json_values)
@example(codec.Kind.NOTICE, {"time_ms": 1, "counters": {"a": {"b": 10**30}}})
def test_any_json_gives_rows_or_a_decode_error(kind: codec.Kind, value: object) -> None:
    body = json.dumps(value).encode()
    readable(sealed(container.pack(kind, Coder.NONE, len(body), body)))


@BUSY
@given(st.sampled_from(["series", "phase", "onset_ms", "time_ms", "score", "cause", "causes", "observed"]), json_values)
def test_any_value_in_a_report_gives_rows_or_a_decode_error(key: str, value: object) -> None:
    report = Anomaly("a", Phase.END, 1, 2, 3.0, "gap").to_dict() | {key: value}
    body = json.dumps([report]).encode()
    data = sealed(container.pack(codec.Kind.ANOMALIES, Coder.NONE, len(body), body))
    with contextlib.suppress(DecodeError):
        back = codec.decode(data)
        check(back.rows, codec.decode(codec.encode(back, LIMIT)).rows)


@pytest.mark.parametrize("bomb", [lambda n: zlib.compress(bytes(n), 9, wbits=-15)])
def test_a_batch_that_inflates_beyond_its_size_is_rejected_early(bomb: Callable[[int], bytes]) -> None:
    data = sealed(container.pack(codec.Kind.AGGREGATES, Coder.DEFLATE, 100, bomb(50_000_000)))
    with pytest.raises(DecodeError, match="101 bytes or more"):
        codec.decode(data)
