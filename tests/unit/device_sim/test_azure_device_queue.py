"""Tests of the queue of messages that IoT Hub keeps for a device."""

from __future__ import annotations

import pytest

from device_sim.azure.device_queue import LOCK_S, MAX_MESSAGES, DeviceQueue

TTL_S = 600.0


@pytest.fixture
def queue() -> DeviceQueue:
    return DeviceQueue(TTL_S)


def payloads(queue: DeviceQueue, now_s: float) -> list[bytes]:
    return [message.payload for message in queue.take(now_s)]


def test_a_message_before_the_subscription_is_not_received_and_counts_until_it_expires(queue: DeviceQueue) -> None:
    assert queue.put(b"early", 0)
    queue.subscribed_s = 1
    assert queue.put(b"late", 2)
    assert payloads(queue, 2) == [b"late"]
    assert len(queue) == 2
    assert payloads(queue, TTL_S + 0.5) == [b"late"]
    assert len(queue) == 1


def test_a_message_without_completion_is_received_again_after_its_lock(queue: DeviceQueue) -> None:
    queue.subscribed_s = 0
    queue.put(b"one", 0)
    queue.put(b"two", 0)
    for number, message in enumerate(queue.take(0), 1):
        message.packet_id = number
    queue.complete(1)
    assert payloads(queue, LOCK_S - 1) == []
    assert payloads(queue, LOCK_S) == [b"two"]


def test_a_full_queue_rejects_a_message_until_one_is_completed_or_expires(queue: DeviceQueue) -> None:
    queue.subscribed_s = 0
    assert all(queue.put(b"", 0) for _ in range(MAX_MESSAGES))
    assert not queue.put(b"", 1)
    queue.take(1)[0].packet_id = 7
    queue.complete(7)
    assert queue.put(b"", 2)
    assert not queue.put(b"", 3)
    assert queue.put(b"", TTL_S)


def test_a_device_without_subscription_receives_nothing(queue: DeviceQueue) -> None:
    queue.put(b"one", 0)
    assert queue.take(0) == []
