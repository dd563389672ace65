"""An MQTT source with a real connection, its readings in memory, and a sensor that publishes to the same broker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_components.common.health import Counters
from edge_components.common.limited_log import RateLimitedLog
from edge_components.sensor_reader.mqtt.subscriptions import FilterStore
from edge_components.sensor_reader.sources import Context
from edge_components.sensor_reader.sources.mqtt import open_mqtt, read_entry
from tests.fakes import FakeClock
from tests.unit.sensor_reader.fakes import Filters, Sink
from tests.waiting import pause, until

DEADLINE = 60.0


class Site:
    """A source, its readings, and a sensor that publishes."""

    def __init__(self, port: int, filters: FilterStore | None = None, **changes: Any) -> None:
        entry = read_entry({"port": port, "client_id": "strandline-gw", **changes})
        self.counters, self.clock = Counters(), FakeClock()
        self.sink = Sink(self.clock)
        self.port = port
        log = RateLimitedLog(self.counters, logging.getLogger("test"), self.clock)
        self.woken = threading.Event()
        context = Context("mqtt", "gw", self.clock, log, self.woken.set, Path(), lambda: 0.02)
        self.source = open_mqtt(entry, context, filters or Filters())
        self.sensor = paho.Client(CallbackAPIVersion.VERSION2)

    def poll_until(self, done: Callable[[], bool]) -> None:
        def state() -> object:
            return self.sink.readings, self.sink.rejected, self.counters.snapshot()

        def work() -> None:
            self.source.poll(self.sink)
            pause(0.01)

        until(done, state, DEADLINE, work)

    def poll_until_counted(self, counter: str, times: int) -> None:
        self.poll_until(lambda: self.counters[counter] == times)

    def open(self) -> None:
        self.source.start()
        self.sensor.connect("127.0.0.1", self.port)
        self.sensor.loop_start()
        # A subscription is in force when something published arrives.
        self.poll_until(self._probe_arrived)
        self.clear()

    def _probe_arrived(self) -> bool:
        self.publish("sensors/probe/x", "1")
        return bool(self.sink.readings)

    def clear(self) -> None:
        """Discard the probes, including those in flight."""
        self.publish("sensors/probe/end", "1")
        self.poll_until(lambda: any(name == "probe.end" for name, _, _ in self.sink.readings))
        self.sink.readings.clear()

    def publish(self, topic: str, payload: str | bytes, retain: bool = False) -> None:
        self.sensor.publish(topic, payload, qos=1, retain=retain).wait_for_publish(DEADLINE)

    def close(self) -> None:
        self.source.close()
        self.sensor.disconnect()
        self.sensor.loop_stop()
