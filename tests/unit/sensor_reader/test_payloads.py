"""Payloads in every form, and whatever else is sent to a sensor's topic."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.payloads import MAX_VALUE, PayloadForm, Said
from wire.model import Quality

FORM = PayloadForm("value", "time", "quality")


def reason(payload: bytes, form: PayloadForm = FORM) -> str:
    with pytest.raises(RejectedError) as caught:
        form.read(payload)
    assert len(str(caught.value)) < 400
    return caught.value.reason


@given(st.floats(-MAX_VALUE, MAX_VALUE) | st.integers(-(10**99), 10**99))
def test_a_number_alone_and_one_in_an_object_are_the_same(value: float) -> None:
    assert FORM.read(json.dumps(value).encode()) == Said(float(value), None, Quality.GOOD)
    body = {"value": value, "time": 5, "quality": "bad", "more": [1]}
    assert FORM.read(json.dumps(body).encode()) == Said(float(value), 5, Quality.BAD)


def test_keys_are_configured_and_a_dot_descends() -> None:
    form = PayloadForm("data.temp", "ts", "")
    said = form.read(b'{"data": {"temp": 3}, "ts": "t", "quality": "junk", "value": 9}')
    assert said == Said(3.0, "t", Quality.GOOD)
    assert reason(b'{"data": 3}', form) == "rejected_value"
    assert PayloadForm("value", "", "").read(b'{"value": 1, "time": 2}').time is None


@pytest.mark.parametrize("raw", [0, 1, 2, "good", "UNCERTAIN", "bad"])
def test_a_quality_is_a_number_or_a_word(raw: Any) -> None:
    said = FORM.read(json.dumps({"value": 1, "quality": raw}).encode())
    assert said.quality == (raw if isinstance(raw, int) else Quality[raw.upper()])


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        *((payload, "rejected_json") for payload in (b"", b"{", b"21,5", b"\xff\xfe", b'{"value": 1', b"nan", b"'1'")),
        (b"[" * 100_000, "rejected_json"),
        (b'{"value":' * 100_000, "rejected_json"),
        (b"1" * 5_000, "rejected_json"),
        *((payload, "rejected_value") for payload in (b"true", b"null", b'"21.5"', b"[1]", b"{}", b'{"value": null}')),
        *((b'{"value": %s}' % value, "rejected_value") for value in (b"true", b'"1"', b"[1]", b'{"value": 1}')),
        *((payload, "rejected_not_finite") for payload in (b"NaN", b"-Infinity", b'{"value": NaN}', b"1e999")),
        *((payload, "rejected_range") for payload in (b"1" * 400, b"-" + b"9" * 400, b"1e101", b'{"value": -2e200}')),
        *((b'{"value":1,"quality":%s}' % raw, "rejected_quality") for raw in (b"3", b"true", b'"fine"', b"[]", b"0.0")),
    ],
)
def test_junk_is_rejected_with_its_reason(payload: bytes, why: str) -> None:
    assert reason(payload) == why


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
@example(b"\x00")
def test_any_bytes_are_read_or_rejected(payload: bytes) -> None:
    try:
        said = FORM.read(payload)
    except RejectedError as error:
        assert error.reason.startswith("rejected_")  # noqa: PT017 # what is caught is the point
    else:
        assert abs(said.value) <= MAX_VALUE


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["value", "time", "quality", "x"]), inner),
    )
)
def test_any_json_is_read_or_rejected(body: Any) -> None:
    try:
        said = FORM.read(json.dumps(body).encode())
    except RejectedError as error:
        assert error.reason.startswith("rejected_")  # noqa: PT017 # what is caught is the point
    else:
        assert abs(said.value) <= MAX_VALUE
