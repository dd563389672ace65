"""A receipt is settled when every reading before it is held, and not before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_components.sensor_reader.receipts import Receipts


def test_a_receipt_waits_for_the_batch_that_its_reading_is_in() -> None:
    receipts, settled = Receipts(), []
    receipts.expect(1, lambda: settled.append("a"))
    receipts.expect(2, lambda: settled.append("b"))
    assert receipts.settle(None) == 0
    receipts.cut(1, 1)
    receipts.cut(2, 1)
    receipts.settle(oldest_unheld=1)
    assert settled == []
    receipts.settle(oldest_unheld=2)
    assert settled == ["a"]
    receipts.settle(oldest_unheld=None)
    assert settled == ["a", "b"]
    assert len(receipts) == 0


def test_one_that_stands_for_no_reading_is_settled_at_once_when_all_is_held() -> None:
    receipts, settled = Receipts(), []
    receipts.expect(0, lambda: settled.append("rejected"))
    receipts.settle(None)
    assert settled == ["rejected"]


def test_those_that_are_in_no_batch_yet_are_told_apart() -> None:
    receipts = Receipts()
    for position in range(1, 6):
        receipts.expect(position, lambda: None)
    assert receipts.uncut == 5
    receipts.cut(1, 3)
    assert receipts.uncut == 2


@given(st.data())
def test_whatever_the_order_of_acknowledgements_none_is_settled_early_and_all_are_in_the_end(
    data: st.DataObject,
) -> None:
    receipts = Receipts()
    settled: list[int] = []
    batch_of: dict[int, int] = {}
    sequence = reading = 0
    for _ in range(data.draw(st.integers(1, 8))):
        size = data.draw(st.integers(1, 5))
        for at in range(size):
            receipts.expect(at + 1, lambda reading=reading: settled.append(reading))
            batch_of[reading] = sequence + 1
            reading += 1
        sequence += 1
        receipts.cut(sequence, size)
    unheld = set(range(1, sequence + 1))
    for freed in data.draw(st.permutations(sorted(unheld))):
        unheld.discard(freed)
        receipts.settle(min(unheld, default=None))
        assert all(batch_of[done] not in unheld for done in settled)
    assert settled == list(range(reading))
