"""Event times in every form that sensors write them, and a clear rejection of anything else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.timestamps import event_time_ms

ARRIVAL = 1_700_000_000_500
DAY = 86_400_000
moments = st.integers(10**11, ARRIVAL + DAY)


def read(raw: Any, arrival_ms: int = ARRIVAL) -> int:
    return event_time_ms(raw, arrival_ms, DAY)


def reason(raw: Any, arrival_ms: int = ARRIVAL) -> str:
    with pytest.raises(RejectedError) as caught:
        read(raw, arrival_ms)
    assert len(str(caught.value)) < 200
    return caught.value.reason


def test_an_absent_time_is_the_arrival() -> None:
    assert read(None) == ARRIVAL


@given(moments)
def test_the_unit_of_a_number_follows_from_its_magnitude(time_ms: int) -> None:
    assert read(time_ms) == time_ms
    assert read(float(time_ms)) == time_ms
    assert read(time_ms // 1000) == time_ms // 1000 * 1000
    assert abs(read(time_ms / 1000) - time_ms) <= 1
    assert read(time_ms * 1000 + 999) == time_ms
    assert read(time_ms * 1_000_000 + 999_999) == time_ms


@given(moments, st.integers(-23 * 60, 23 * 60))
def test_text_is_iso_8601_at_any_offset(time_ms: int, minutes: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    assert read(moment.astimezone(timezone(timedelta(minutes=minutes))).isoformat()) == time_ms
    assert read(moment.isoformat().replace("+00:00", "Z")) == time_ms


@pytest.mark.parametrize(
    "raw",
    [
        *(True, False, [], {}, "", "yesterday", "2023-11-14", "2023-11-14T22:13:20", "x" * 10**5),
        *(
            0,
            1,
            -1,
            12_345,
            10**20,
            10**400,
            -(10**400),
            float("nan"),
            float("inf"),
            -1e300,
            "0001-01-01T00:00:00Z",
            "1971-01-01T00:00:00Z",
        ),
    ],
)
def test_invalid_times_are_rejected(raw: Any) -> None:
    assert reason(raw) == "rejected_time"


@pytest.mark.parametrize(
    "raw",
    [
        {"timeInSeconds": ARRIVAL // 1000, "offsetInNanos": 5_999_999},
        {"seconds": ARRIVAL // 1000, "nanos": 5_000_000},
    ],
)
def test_seconds_and_nanoseconds_are_one_time(raw: Any) -> None:
    assert read(raw) == ARRIVAL // 1000 * 1000 + 5


@pytest.mark.parametrize("raw", [{"timeInSeconds": "x"}, {"seconds": True}, {"seconds": 5, "nanos": 10**9}, {"s": 1}])
def test_other_objects_are_no_times(raw: Any) -> None:
    assert reason(raw) == "rejected_time"


def test_a_time_too_far_ahead_is_rejected_and_one_just_within_is_not() -> None:
    assert read(ARRIVAL + DAY) == ARRIVAL + DAY
    assert reason(ARRIVAL + DAY + 1) == "rejected_future"
    assert reason("9999-12-31T23:59:59+00:00") == "rejected_future"


def test_a_gateway_without_the_time_does_not_call_a_sensor_s_time_future() -> None:
    assert read(ARRIVAL, arrival_ms=5_000) == ARRIVAL
    assert reason(ARRIVAL + 10 * DAY, arrival_ms=ARRIVAL) == "rejected_future"
