"""An acknowledgement is sent when all readings before it are stored, and not earlier."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from edge_components.sensor_reader.pending_acknowledgements import PendingAcknowledgements


def test_an_acknowledgement_waits_for_the_batch_of_its_reading() -> None:
    pending, settled = PendingAcknowledgements(), []
    pending.add(1, lambda: settled.append("a"))
    pending.add(2, lambda: settled.append("b"))
    assert pending.settle(None) == 0
    pending.cut(1, 1)
    pending.cut(2, 1)
    pending.settle(oldest_unstored=1)
    assert settled == []
    pending.settle(oldest_unstored=2)
    assert settled == ["a"]
    pending.settle(oldest_unstored=None)
    assert settled == ["a", "b"]
    assert len(pending) == 0


def test_one_without_a_reading_is_made_at_once_when_all_is_stored() -> None:
    pending, settled = PendingAcknowledgements(), []
    pending.add(0, lambda: settled.append("rejected"))
    pending.settle(None)
    assert settled == ["rejected"]


@given(st.data())
def test_in_any_order_of_batches_none_is_made_early_and_all_are_made_in_the_end(
    data: st.DataObject,
) -> None:
    pending = PendingAcknowledgements()
    settled: list[int] = []
    batch_of: dict[int, int] = {}
    sequence = reading = 0
    for _ in range(data.draw(st.integers(1, 8))):
        size = data.draw(st.integers(1, 5))
        for at in range(size):
            pending.add(at + 1, partial(settled.append, reading))
            batch_of[reading] = sequence + 1
            reading += 1
        sequence += 1
        pending.cut(sequence, size)
    unstored = set(range(1, sequence + 1))
    for freed in data.draw(st.permutations(sorted(unstored))):
        unstored.discard(freed)
        pending.settle(min(unstored, default=None))
        assert all(batch_of[done] not in unstored for done in settled)
    assert settled == list(range(reading))
