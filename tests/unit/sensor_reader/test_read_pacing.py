"""Pauses between reads: short under load, longer at a low rate, none if they would delay a blocked broker."""

from __future__ import annotations

import pytest

from edge_components.sensor_reader.mqtt.read_pacing import (
    LONGEST_REST_S,
    LOW_RATE_REST_S,
    SHORTEST_REST_S,
    ReadPacer,
)


def rest_s(
    count: int,
    elapsed: float,
    room: int = 10_000,
    hold_s: float = 1.0,
    size: int | None = None,
    acknowledged: float = 0.0,
) -> float:
    pacer = ReadPacer()
    pacer.rest_s(1, 1, room, hold_s, 100.0)
    if acknowledged:
        pacer.acknowledged(100.0 + acknowledged)
    return pacer.rest_s(count, count if size is None else size, room, hold_s, 100.0 + elapsed)


def test_a_sensor_a_second_is_read_four_times_a_second_at_most() -> None:
    assert rest_s(1, 1.0) == LOW_RATE_REST_S


def test_thousands_a_second_rest_less() -> None:
    assert rest_s(200, 0.1) == LONGEST_REST_S


def test_a_rest_ends_when_half_of_the_room_is_filled() -> None:
    assert rest_s(1_000, 0.02, room=4_000) == pytest.approx(0.04)
    assert rest_s(1, 0.04, room=8) == pytest.approx(0.16)


def test_a_rest_ends_when_half_of_the_bytes_that_wake_the_loop_have_arrived() -> None:
    assert rest_s(10, 0.01, size=16_000) == pytest.approx(0.02)


def test_a_small_window_that_fills_at_once_is_read_at_once() -> None:
    assert rest_s(5, 0.004, room=15) == 0.0


def test_a_window_that_is_full_is_read_at_once() -> None:
    assert rest_s(1, 1.0, room=0) == 0.0


def test_silence_of_a_blocked_broker_does_not_count_as_a_low_rate() -> None:
    assert rest_s(5, 0.5, room=15) > 0.0
    assert rest_s(5, 0.5, room=15, acknowledged=0.49) == 0.0


def test_pause_that_is_too_short_to_help_is_omitted() -> None:
    assert rest_s(1_000, 0.001, room=1_000) == 0.0
    assert rest_s(1_000, 2.1 * SHORTEST_REST_S, room=1_000) > 0.0


def test_no_publication_waits_longer_than_a_batch_may_wait() -> None:
    assert rest_s(1, 1.0, hold_s=0.01) == 0.01


def test_what_a_read_returns_after_a_pause_arrived_during_it() -> None:
    pacer = ReadPacer()
    pacer.rested(100.0, 100.25)
    assert pacer.unread_s(100.251) == pytest.approx(0.251)
    assert pacer.unread_s(100.252) == 0.0  # the rest of the same read


def test_what_a_read_waits_for_has_just_arrived() -> None:
    pacer = ReadPacer()
    assert pacer.unread_s(100.0) == 0.0
    pacer.rested(100.0, 100.25)
    assert pacer.unread_s(100.3) == 0.0
