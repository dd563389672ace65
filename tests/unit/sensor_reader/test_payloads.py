"""Payloads in every form, and invalid payloads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.payloads import ParsedPayload, PayloadParser
from wire.limits import MAX_VALUE
from wire.model import Quality

PARSER = PayloadParser("value", "time", "quality")


def reason(payload: bytes, parser: PayloadParser = PARSER) -> str:
    with pytest.raises(RejectedError) as caught:
        parser.parse(payload)
    assert len(str(caught.value)) < 400
    return caught.value.reason


@given(st.floats(-MAX_VALUE, MAX_VALUE) | st.integers(-(10**99), 10**99))
def test_a_number_alone_and_one_in_an_object_are_the_same(value: float) -> None:
    assert PARSER.parse(json.dumps(value).encode()) == ParsedPayload(float(value), None, Quality.GOOD)
    body = {"value": value, "time": 5, "quality": "bad", "more": [1]}
    assert PARSER.parse(json.dumps(body).encode()) == ParsedPayload(float(value), 5, Quality.BAD)


def test_keys_are_configured_and_a_dot_descends() -> None:
    parser = PayloadParser("data.temp", "ts", "")
    parsed = parser.parse(b'{"data": {"temp": 3}, "ts": "t", "quality": "junk", "value": 9}')
    assert parsed == ParsedPayload(3.0, "t", Quality.GOOD)
    assert reason(b'{"data": 3}', parser) == "rejected_value"
    assert PayloadParser("value", "", "").parse(b'{"value": 1, "time": 2}').time is None


@pytest.mark.parametrize("payload", [b"\xef\xbb\xbf21.5", b"21.5\0", b'\xef\xbb\xbf{"value": 21.5}\0\0', b" 21.5\r\n"])
def test_a_byte_order_mark_and_trailing_nuls_are_dropped(payload: bytes) -> None:
    assert PARSER.parse(payload) == ParsedPayload(21.5, None, Quality.GOOD)
    assert PARSER.parse_all([payload, payload]).values == [21.5, 21.5]


@given(
    st.lists(
        st.sampled_from(
            [
                b"1",
                b"2.5",
                b"null",
                b"",
                b"[1",
                b"2]",
                b"1,2",
                b'"a',
                b'b"',
                b"true",
                b'{"value": 3, "time": 5, "quality": 1}',
                b'{"value":',
                b'4, "time": 9}',
                b"\xef\xbb\xbf7",
                b"8\0",
                b"\xff",
                b"1e999",
                b"NaN",
                b"[" * 2_000,
            ]
        )
        | st.binary(max_size=20),
        max_size=12,
    )
)
def test_payloads_parsed_together_give_the_same_values_as_alone(payloads: list[bytes]) -> None:
    parsed = PARSER.parse_all(payloads)
    assert len(parsed.values) == len(parsed.times) == len(parsed.qualities) == len(payloads)
    for at, payload in enumerate(payloads):
        try:
            alone = PARSER.parse(payload)
        except RejectedError as error:
            assert parsed.errors[at].reason == error.reason  # noqa: PT017 # what is caught is the point
            continue
        assert at not in parsed.errors
        assert ParsedPayload(parsed.values[at], parsed.times[at], parsed.qualities[at]) == alone


@pytest.mark.parametrize("raw", [0, 1, 2, "good", "UNCERTAIN", "bad"])
def test_a_quality_is_a_number_or_a_word(raw: Any) -> None:
    parsed = PARSER.parse(json.dumps({"value": 1, "quality": raw}).encode())
    assert parsed.quality == (raw if isinstance(raw, int) else Quality[raw.upper()])


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        *((payload, "rejected_json") for payload in (b"{", b"21,5", b"\xff\xfe", b'{"value": 1', b"nan", b"'1'")),
        *((payload, "rejected_null") for payload in (b"null", b'{"value": null}', b"null\0")),
        *((payload, "payloads_empty") for payload in (b"", b"\0", b"\xef\xbb\xbf")),
        (b"[" * 100_000, "rejected_json"),
        (b'{"value":' * 100_000, "rejected_json"),
        (b"1" * 5_000, "rejected_json"),
        *((payload, "rejected_value") for payload in (b'"warm"', b'"21.5 5"', b"[1]", b"{}", b'{"valu": null}')),
        *((b'{"value": %s}' % value, "rejected_value") for value in (b'"on"', b"[1]", b'{"value": 1}')),
        *((payload, "rejected_not_finite") for payload in (b"NaN", b"-Infinity", b'{"value": NaN}', b"1e999")),
        *((payload, "rejected_range") for payload in (b"1" * 400, b"-" + b"9" * 400, b"1e101", b'{"value": -2e200}')),
        *((b'{"value":1,"quality":%s}' % raw, "rejected_quality") for raw in (b"3", b"-1", b'"fine"', b"[]", b"0.0")),
    ],
)
def test_invalid_payloads_are_rejected_with_a_reason(payload: bytes, why: str) -> None:
    assert reason(payload) == why


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
@example(b"\x00")
def test_any_bytes_are_read_or_rejected(payload: bytes) -> None:
    try:
        parsed = PARSER.parse(payload)
    except RejectedError as error:
        assert error.reason.startswith(("rejected_", "payloads_empty"))  # noqa: PT017 # what is caught is the point
    else:
        assert abs(parsed.value) <= MAX_VALUE


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["value", "time", "quality", "x"]), inner),
    )
)
def test_any_json_is_read_or_rejected(body: Any) -> None:
    try:
        parsed = PARSER.parse(json.dumps(body).encode())
    except RejectedError as error:
        assert error.reason.startswith(("rejected_", "payloads_empty"))  # noqa: PT017 # what is caught is the point
    else:
        assert abs(parsed.value) <= MAX_VALUE
