"""Every batch is accepted exactly once over a channel that loses, duplicates and reorders messages."""

from __future__ import annotations

import itertools
import random
from typing import Generic, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.common.errors import HandoverError
from edge_components.common.handover import Inbox, Outbox, RetryPolicy, SendWindow, new_epoch
from tests.examples import examples
from wire.acknowledgement import Acknowledgement

T = TypeVar("T")
POLICY = RetryPolicy(in_flight=4, first_s=1.0, longest_s=8.0)


def outbox(max_bytes: int = 1_000_000, policy: RetryPolicy = POLICY) -> Outbox:
    return Outbox(1, policy, random.Random(1), max_bytes)


def sent(box: Outbox, now: float) -> list[int]:
    return [sequence for sequence, _payload, _times in box.to_send(now)]


class Channel(Generic[T]):
    """Channel that loses, duplicates and reorders messages."""

    def __init__(self, chance: random.Random, loss: float, doubling: float) -> None:
        self._chance, self._loss, self._doubling = chance, loss, doubling
        self._waiting: list[T] = []

    def put(self, item: T) -> None:
        for _ in range(1 + (self._chance.random() < self._doubling)):
            if self._chance.random() >= self._loss:
                self._waiting.insert(self._chance.randint(0, len(self._waiting)), item)

    def take(self) -> list[T]:
        count = self._chance.randint(0, len(self._waiting))
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken


@given(st.integers(1, 40), st.integers(0, 2**32), st.floats(0, 0.7), st.floats(0, 0.4))
@settings(max_examples=examples(60), deadline=None)
def test_a_lossy_doubling_reordering_channel_delivers_exactly_once(
    count: int, seed: int, loss: float, doubling: float
) -> None:
    chance, box, inbox, taken = random.Random(seed), outbox(), Inbox(), []
    forth: Channel[tuple[int, bytes]] = Channel(chance, loss, doubling)
    back: Channel[bytes] = Channel(chance, loss, doubling)
    assert [box.add(b"%d" % number) for number in range(1, count + 1)] == list(range(1, count + 1))
    now = 0.0
    while len(box):
        now += chance.random() * 4
        assert now < 100_000, "nothing gets through any more"
        for sequence, payload, _times in box.to_send(now):
            forth.put((sequence, payload))
        taken += [item for item in forth.take() if inbox.accept(box.epoch, item[0])]
        for ack in inbox.acknowledgements():
            back.put(ack.encode())
        for said in back.take():
            box.acknowledge(Acknowledgement.decode(said))
    assert sorted(taken) == [(number, b"%d" % number) for number in range(1, count + 1)]
    assert box.size == 0


@given(st.integers(0, 2**32), st.integers(1, 5))
@settings(max_examples=examples(40), deadline=None)
def test_a_sender_that_drops_its_oldest_still_gets_every_other_through(seed: int, room: int) -> None:
    chance, box, inbox = random.Random(seed), outbox(max_bytes=room * 10), Inbox()
    taken, dropped, now = [], [], 0.0
    for _ in range(60):
        while box.room < 10:
            gone = box.drop_oldest()
            assert gone is not None
            dropped.append(gone[0])
        box.add(bytes(10))
        now += chance.random() * 3
        for sequence, _payload, _times in box.to_send(now):
            if chance.random() < 0.5 and inbox.accept(box.epoch, sequence):
                taken.append(sequence)
        if chance.random() < 0.3:
            for ack in inbox.acknowledgements():
                box.acknowledge(ack)
    while len(box):
        now += 10
        taken += [sequence for sequence in sent(box, now) if inbox.accept(box.epoch, sequence)]
        for ack in inbox.acknowledgements():
            box.acknowledge(ack)
    assert len(set(taken)) == len(taken)
    assert set(taken) | set(dropped) == set(range(1, 61))


def test_the_number_in_flight_is_limited_and_acknowledgements_free_it() -> None:
    box = outbox()
    for _ in range(10):
        box.add(b"x")
    assert sent(box, 0.0) == [1, 2, 3, 4]
    assert sent(box, 0.1) == []
    assert box.acknowledge(Acknowledgement(1, 1, ((3, 3),))) == 2
    assert sent(box, 0.2) == [5, 6]


def test_retransmissions_back_off_and_precede_new_batches() -> None:
    box, times = outbox(policy=RetryPolicy(in_flight=2, first_s=1.0, longest_s=8.0)), []
    for _ in range(3):
        box.add(b"x")
    now = 0.0
    while now < 60.0:
        times += [now for sequence in sent(box, now) if sequence == 1]
        now += 0.01
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    for wait, ceiling in zip(waits, (1, 2, 4, 8, 8, 8, 8), strict=False):
        assert ceiling / 2 - 0.02 <= wait <= ceiling + 0.02
    box.acknowledge(Acknowledgement(1, 1))
    assert sent(box, 100.0) == [2, 3]


def test_an_acknowledgement_of_another_epoch_frees_nothing() -> None:
    box = outbox()
    box.add(b"x")
    assert sent(box, 0.0) == [1]
    assert box.acknowledge(Acknowledgement(2, 1)) == 0
    assert len(box) == 1


def test_an_acknowledgement_during_sending_removes_the_covered_batches() -> None:
    box, seen = outbox(), []
    for _ in range(4):
        box.add(b"x")
    assert len(sent(box, 0.0)) == 4
    for sequence, _payload, _times in box.to_send(50.0):
        seen.append(sequence)
        box.acknowledge(Acknowledgement(1, 3))
    assert seen == [1, 4]


def test_a_full_outbox_rejects_new_payloads() -> None:
    box = outbox(max_bytes=10)
    box.add(bytes(6))
    with pytest.raises(HandoverError, match="6 of 10 bytes"):
        box.add(bytes(5))
    assert (box.size, box.room, box.next_sequence) == (6, 4, 2)
    assert box.drop_oldest() == (1, bytes(6))
    assert box.drop_oldest() is None
    assert sent(box, 0.0) == []


def test_the_oldest_payload_is_dropped_whether_in_flight_or_not() -> None:
    box = outbox()
    for _ in range(6):
        box.add(b"x")
    assert sent(box, 0.0) == [1, 2, 3, 4]
    assert [box.drop_oldest() for _ in range(5)] == [(number, b"x") for number in range(1, 6)]
    assert sent(box, 0.0) == [6]
    assert sent(box, 60.0) == [6]


def test_changed_limits_apply_to_new_payloads_and_lose_nothing() -> None:
    box = outbox(max_bytes=10)
    box.add(bytes(10))
    box.set_limits(RetryPolicy(in_flight=1), 4)
    assert len(box) == 1
    assert box.room < 0
    with pytest.raises(HandoverError):
        box.add(b"x")


def test_an_inbox_repeats_its_acknowledgement_for_a_repeated_batch() -> None:
    inbox = Inbox()
    assert inbox.accept(7, 1)
    assert inbox.acknowledgements() == [Acknowledgement(7, 1)]
    assert inbox.acknowledgements() == []
    assert not inbox.accept(7, 1)
    assert inbox.acknowledgements() == [Acknowledgement(7, 1)]


def test_an_inbox_separates_epochs_and_drops_the_least_recent_one() -> None:
    inbox = Inbox(epochs=2)
    assert inbox.accept(1, 5)
    assert inbox.accept(2, 1)
    assert not inbox.accept(1, 5)
    assert inbox.accept(3, 1)
    assert [ack.epoch for ack in inbox.acknowledgements()] == [1, 3]
    assert not inbox.accept(1, 5)
    assert inbox.accept(2, 1)


def test_a_sending_that_failed_is_due_at_once_and_does_not_count() -> None:
    box = outbox()
    box.add(b"x")
    assert list(box.to_send(0.0)) == [(1, b"x", 1)]
    box.refused(1, 0.5)
    assert box.next_s(0.5) == 0.0
    assert list(box.to_send(0.5)) == [(1, b"x", 1)]
    assert box.next_s(0.5) >= POLICY.first_s / 2
    box.acknowledge(Acknowledgement(1, 1))
    box.refused(1, 0.6)
    assert box.next_s(0.6) == float("inf")


def test_an_inbox_knows_the_accepted_batches_and_the_highest_of_an_epoch() -> None:
    inbox = Inbox()
    for sequence in (1, 2, 5):
        inbox.accept(7, sequence)
    assert [(7, sequence) in inbox for sequence in (1, 2, 3, 4, 5, 6)] == [True, True, False, False, True, False]
    assert (8, 1) not in inbox
    assert (inbox.highest(7), inbox.highest(8)) == (5, 0)


def test_an_inbox_continues_after_a_restart() -> None:
    inbox, restored = Inbox(), Inbox()
    for epoch, sequence in ((7, 1), (9, 4), (7, 3)):
        inbox.accept(epoch, sequence)
    restored.restore(inbox.held())
    assert restored.held() == inbox.held() == {9: (0, ((4, 4),)), 7: (1, ((3, 3),))}
    assert not restored.due
    restored.repeat()
    assert restored.due
    assert restored.acknowledgements() == [Acknowledgement(7, 1, ((3, 3),))]
    assert not restored.due
    assert not restored.accept(9, 4)


def test_an_inbox_without_senders_has_nothing_to_repeat() -> None:
    inbox = Inbox()
    inbox.repeat()
    assert inbox.acknowledgements() == []


def test_a_number_can_be_removed_from_the_window() -> None:
    window = SendWindow(POLICY, random.Random(1))
    assert window.sent(3, 0.0) == 1
    assert 3 in window
    window.forget(3)
    assert len(window) == 0
    assert window.due(1e9) == []


@given(st.integers(0, 2**60), st.integers(0, 2**32))
def test_epochs_fit_64_bits_and_differ_also_under_a_clock_that_stands_still(wall_ms: int, seed: int) -> None:
    chance = random.Random(seed)
    epochs = [new_epoch(wall_ms, chance) for _ in range(3)]
    assert all(0 <= epoch < 2**64 for epoch in epochs)
    assert len(set(epochs)) > 1
