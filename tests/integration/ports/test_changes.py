"""Contract of the changes of a table without a stream: each is processed at least once, in the order of its item."""

from __future__ import annotations

import contextlib

import pytest

from cloud_functions.adapters.change_relay import KEPT_MS, Relay, message_of
from cloud_functions.clock import now_ms
from cloud_functions.core.changes import Change
from cloud_functions.core.errors import CloudError, StoreError
from cloud_functions.core.ports import Item, Key
from tests.integration.ports.cloud import CapturedTable, Capturing, Cloud
from tests.integration.ports.conftest import Interruptions
from tests.integration.ports.faults import Fault, StoppedError

SK = "alert"


@pytest.fixture
def capturing(cloud: Cloud) -> Capturing:
    """A cloud whose tables have no stream."""
    if not isinstance(cloud, Capturing):
        pytest.skip("its tables have a stream of changes, or none is needed")
    cloud.faults.stop()
    return cloud


def alert(pk: str, value: str, sk: str = SK) -> Item:
    return {"pk": pk, "sk": sk, "kind": "alert", "value": value, "body": b"\0\xff", "listed": f"state-{value}"}


def values(changes: list[Change]) -> list[tuple[object, object]]:
    return [(old and old["value"], new and new["value"]) for old, new in changes]


class Receiver:
    """Relay that records what it processes; ``failing`` is the value of a change that fails."""

    def __init__(self, captured: CapturedTable, failing: str = "") -> None:
        self.changes: list[Change] = []
        self._failing = failing
        self.relay = Relay({"alerts": captured.changes}, self._process)

    def _process(self, changes: object) -> dict[int, str]:
        found: list[Change] = list(changes)  # type: ignore[call-overload]
        failed = {at: "refused" for at, (_, new) in enumerate(found) if new and new["value"] == self._failing}
        self.changes += [change for at, change in enumerate(found) if at not in failed]
        return failed

    def of(self, pk: str) -> list[Change]:
        return [(old, new) for old, new in self.changes if new and new["pk"] == pk]


def test_changes_are_found_in_their_order_until_they_are_processed(capturing: Capturing, pk: str) -> None:
    captured = capturing.captured(now_ms)
    table = captured.table
    assert table.put_new({**alert(pk, "a"), "version": 1}) is None
    assert table.replace(alert(pk, "b"), 1)
    assert table.replace(alert(pk, "c"), 2)
    assert not table.replace(alert(pk, "d"), 2)
    table.put_many([alert(pk, "e", "other"), {"pk": pk, "sk": "note", "kind": "note"}])
    assert captured.woken == [pk] * 4
    receiver = Receiver(capturing.captured(now_ms))
    assert receiver.relay.on_message(message_of("alerts", pk)) == 4
    assert values(receiver.changes) == [(None, "a"), ("a", "b"), ("b", "c"), (None, "e")]
    assert receiver.changes[0][1] == {**alert(pk, "a"), "version": 1}
    assert receiver.relay.on_message(message_of("alerts", pk)) == 0
    stored = table.get(Key(pk, SK))
    assert stored is not None
    assert (stored["value"], stored["version"]) == ("c", 3)
    # An item without changes that wait changes again, and is removed.
    assert table.replace(alert(pk, "f"), 3)
    table.remove([Key(pk, SK)])
    assert table.get(Key(pk, SK)) is None
    assert table.put_new(alert(pk, "g")) is None


def test_a_change_that_fails_stays_and_the_others_are_processed(capturing: Capturing, pk: str) -> None:
    table = capturing.captured(now_ms).table
    table.put_many([alert(pk, value, value) for value in ("a", "b", "c")])
    other = f"{pk}-other"
    table.put_many([alert(other, "z")])
    receiver = Receiver(capturing.captured(now_ms), failing="b")
    with pytest.raises(CloudError):
        receiver.relay.on_message(message_of("alerts", pk))
    assert values(receiver.of(pk)) == [(None, "a"), (None, "c")]
    with pytest.raises(StoreError):
        receiver.relay.follow()
    assert values(receiver.of(other)) == [(None, "z")]
    later = Receiver(capturing.captured(now_ms))
    later.relay.follow()
    assert values(later.of(pk)) == [(None, "b")]


def test_a_change_that_fails_for_long_is_still_processed(capturing: Capturing, pk: str) -> None:
    capturing.captured(now_ms).table.put_many([alert(pk, "a")])
    for times in range(1, 4):
        later = capturing.captured(lambda times=times: now_ms() + times * (KEPT_MS + 60_000))  # type: ignore[misc]
        with pytest.raises(StoreError):
            Receiver(later, failing="a").relay.follow()
    recovered = Receiver(capturing.captured(now_ms))
    recovered.relay.follow()
    assert values(recovered.of(pk)) == [(None, "a")]


def test_many_changes_of_many_partitions_are_followed(capturing: Capturing, pk: str) -> None:
    table = capturing.captured(now_ms).table
    wanted = {f"{pk}-{n}": [f"{number:03d}" for number in range(size)] for n, size in enumerate((205, 5, 5))}
    for name, numbers in wanted.items():
        table.put_many([alert(name, number, number) for number in numbers])
    receiver = Receiver(capturing.captured(now_ms))
    receiver.relay.follow()
    for name, numbers in wanted.items():
        assert values(receiver.of(name)) == [(None, number) for number in numbers]


def test_an_announcement_without_a_change_is_removed_when_it_is_old(
    capturing: Capturing, pk: str, cloud: Cloud
) -> None:
    cloud.faults.at(0, Fault.STOPPED)
    with contextlib.suppress(StoppedError):
        capturing.captured(now_ms).table.put_many([{"pk": pk, "sk": SK, "kind": "alert", "value": "a"}])
    cloud.faults.stop()
    for later_ms in (0, KEPT_MS + 60_000):
        captured = capturing.captured(lambda later_ms=later_ms: now_ms() + later_ms)  # type: ignore[misc]
        assert pk in list(captured.changes.partitions())
        Receiver(captured).relay.follow()
    assert pk not in list(captured.changes.partitions())


def test_no_change_is_lost_after_a_fault_at_any_call(interruptions: Interruptions, capturing: Capturing) -> None:
    """A writer and a relay are stopped at any call; the repetition by the caller and the timer complete the work."""
    received: dict[str, list[tuple[object, object]]] = {}

    def act(_: object, name: str) -> None:
        captured = capturing.captured(now_ms)
        receiver = Receiver(captured)
        try:
            there = captured.table.put_new(alert(name, "a") | {"version": 1})
            if there is None or there["version"] == 1:
                captured.table.replace(alert(name, "b"), 1)
            receiver.relay.on_message(message_of("alerts", name))
        finally:
            received.setdefault(name, []).extend(values(receiver.of(name)))

    def check(_: object, name: str) -> None:
        captured = capturing.captured(now_ms)
        assert list(dict.fromkeys(received[name])) == [(None, "a"), ("a", "b")]
        assert list(captured.changes.of(name)) == []
        stored = captured.table.get(Key(name, SK))
        assert stored is not None
        assert stored["version"] == 2

    interruptions.at_every_call(act, check)
    assert interruptions.runs > 12
