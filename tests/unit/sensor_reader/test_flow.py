"""A blocked broker is detected by its window or by a pause, and distinguished from a pause of the sensors."""

from __future__ import annotations

from edge_components.sensor_reader.mqtt.flow import FIRST_GAP_S, LEARNED_S, USUAL_GAPS, FlowMonitor

FIRST_PAUSE_S = FIRST_GAP_S * USUAL_GAPS


class Broker:
    """A broker with a window of its own, which sends as sensors publish and is acknowledged on request."""

    def __init__(self, window: int, configured: int) -> None:
        self.flow, self.window, self.now = FlowMonitor(configured), window, 0.0
        self.queued = self.sent = self.requests = 0

    def publish(self, count: int) -> None:
        self.queued += count
        self._send()

    def advance(self, seconds: float) -> None:
        """Advance the time in small steps, and acknowledge all publications when the broker seems blocked."""
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            if self.flow.blocked(self.now):
                self.requests += 1
                self.acknowledge()

    def acknowledge(self) -> None:
        count, self.sent = self.sent, 0
        self.flow.acknowledged(count, self.now)
        self._send()

    def _send(self) -> None:
        count = min(self.queued, self.window - self.sent)
        if count:
            self.queued -= count
            self.sent += count
            self.flow.received(count, self.now)


def test_a_full_window_is_blocked_at_once() -> None:
    broker = Broker(20, 20)
    broker.publish(19)
    assert not broker.flow.blocked(0.0)
    assert broker.flow.room == 1
    broker.publish(30)
    assert broker.flow.blocked(0.0)


def test_a_window_smaller_than_configured_is_found_by_a_pause_and_known_from_then_on() -> None:
    broker = Broker(20, 1_000)
    broker.publish(1_000)
    assert not broker.flow.blocked(0.0)
    assert broker.flow.next_check_s(0.0) == FIRST_PAUSE_S
    broker.advance(FIRST_PAUSE_S + 0.05)
    assert broker.queued == 960
    assert broker.flow.room == 0
    assert broker.flow.blocked(broker.now)


def test_pauses_of_sensors_cause_few_requests_and_no_detected_window() -> None:
    broker = Broker(1_000, 1_000)
    for second in range(120):
        broker.publish(24)
        broker.advance(1.0)
        if second % 5 == 4:
            broker.acknowledge()
    assert broker.requests <= 5
    assert broker.flow.room > 800


def test_a_window_that_was_found_by_chance_is_given_up_after_a_while() -> None:
    broker = Broker(1_000, 1_000)
    broker.publish(10)
    broker.advance(FIRST_PAUSE_S + 0.05)
    broker.publish(10)  # by chance at once after the acknowledgement
    assert broker.flow.blocked(broker.now)
    broker.now += LEARNED_S + 1
    broker.flow.blocked(broker.now)
    assert broker.flow.room == 990


def test_a_broker_with_a_varying_window_is_supported() -> None:
    broker = Broker(20, 1_000)
    broker.publish(100_000)
    for window in (400, 553, 481, 20, 300) * 20:
        broker.window = window
        broker.advance(1.0)
    assert broker.queued < 100_000 - 20 * (400 + 553 + 481 + 300)


def test_sensors_that_send_a_few_times_a_second_cause_no_requests() -> None:
    for rate in (2, 3, 5, 10):
        broker = Broker(1_000, 1_000)
        for at in range(60 * rate):
            broker.publish(1)
            broker.advance(round(1 / rate, 2))
            if at % (5 * rate) == 0:
                broker.acknowledge()
        assert broker.requests <= 5, rate


def test_another_connection_begins_with_nothing() -> None:
    broker = Broker(20, 1_000)
    broker.publish(100)
    broker.advance(1.0)
    broker.flow.reset()
    assert (broker.flow.room, broker.flow.blocked(broker.now)) == (1_000, False)
