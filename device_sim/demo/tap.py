"""Subscriber to the components' local topics, with the command line's rights, and a few operations of the nucleus.

It receives the aggregates on the local topics, independent of the path to the cloud, as the reference for the proof.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import awsiot.greengrasscoreipc
import numpy as np
from awsiot.eventstreamrpc import LifecycleHandler
from awsiot.greengrasscoreipc import client as gg
from awsiot.greengrasscoreipc import model

from device_sim.errors import DemoError
from edge_components.common import aggregates_message, readings_message
from wire import topics
from wire.acknowledgement import Acknowledgement, SequenceSet
from wire.errors import WireError
from wire.model import Aggregates, Readings

TIMEOUT_SECONDS = 10.0


class Tap:
    """Record of the local messages: each batch of aggregates once, by (epoch, sequence), the newest counters of each
    component, and the readings on their way from the sensor reader to the aggregator.

    A batch of aggregates that cannot be decoded is left out, so that its rows fail the proof as unexpected.
    Raises DemoError when the nucleus cannot be reached. Its methods may be called from any thread.
    """

    def __init__(self, cli_info: Path) -> None:
        try:
            info = json.loads(cli_info.read_text())
            self._client = awsiot.greengrasscoreipc.connect(
                ipc_socket=info["socket"],
                authtoken=info["token"],
                lifecycle_handler=LifecycleHandler(),
                timeout=TIMEOUT_SECONDS,
            )
        except Exception as error:  # awscrt raises many unrelated kinds here, all mean the same
            raise DemoError(f"no connection to the nucleus of {cli_info}: {type(error).__name__}: {error}") from error
        self._lock = threading.Lock()
        self._batches: dict[tuple[int, int], bytes] = {}
        self._rows = 0
        self._counters: dict[str, Restarted] = {}
        self._forwarded: Counter[str] = Counter()
        self._reading_batches: dict[int, SequenceSet] = {}
        self._acknowledged: dict[int, Acknowledgement] = {}
        self._streams: list[Any] = []
        self._subscribe(topics.AGGREGATES, self._on_aggregates)
        self._subscribe(topics.HEALTH, self._on_health)
        self._subscribe(topics.READINGS, self._on_readings)
        self._subscribe(topics.READINGS_ACK, self._on_readings_ack)

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    @property
    def rows(self) -> int:
        """Number of aggregates made so far."""
        return self._rows

    def aggregates(self) -> Aggregates:
        """Return all rows made so far, without the repetitions of repeated batches."""
        with self._lock:
            payloads = [self._batches[name] for name in sorted(self._batches)]
        decoded = [aggregates_message.decode(payload).rows for payload in payloads]
        return Aggregates.concatenate([rows for rows in decoded if isinstance(rows, Aggregates)])

    def counters(self) -> dict[str, dict[str, int]]:
        """Return the last reported counters of each component, summed over its restarts."""
        with self._lock:
            return {name: counts.total() for name, counts in self._counters.items()}

    def forwarded(self, series: Iterable[str]) -> int:
        """Return the number of readings of these series that the sensor reader has forwarded."""
        with self._lock:
            return sum(self._forwarded[name] for name in series)

    def readings_acknowledged(self) -> bool:
        """Return whether the aggregator has acknowledged every batch of readings."""
        with self._lock:
            return all(
                epoch in self._acknowledged and self._acknowledged[epoch].cumulative >= batches.cumulative
                for epoch, batches in self._reading_batches.items()
            )

    def state(self, component: str) -> str:
        """Return a component's lifecycle state; raises DemoError when the nucleus does not answer."""
        request = model.GetComponentDetailsRequest(component_name=component)
        response = self._operate(self._client.new_get_component_details(), request, component)
        return str(response.component_details.state)

    def stop_component(self, name: str) -> None:
        """Stop a component through the nucleus; raises DemoError on failure."""
        self._operate(self._client.new_stop_component(), model.StopComponentRequest(component_name=name), name)

    def restart_component(self, name: str) -> None:
        """Restart a component through the nucleus; raises DemoError on failure."""
        self._operate(self._client.new_restart_component(), model.RestartComponentRequest(component_name=name), name)

    def _operate(self, operation: Any, request: Any, what: str) -> Any:
        try:
            operation.activate(request)
            return operation.get_response().result(TIMEOUT_SECONDS)
        except Exception as error:  # the SDK's errors have no more specific base
            raise DemoError(f"{what}: {type(request).__name__}: {type(error).__name__}: {error}") from error
        finally:
            operation.close()

    def _subscribe(self, topic: str, handle: Callable[[bytes], None]) -> None:
        class _Stream(gg.SubscribeToTopicStreamHandler):  # type: ignore[misc]  # awsiot ships no type information
            def on_stream_event(self, event: model.SubscriptionResponseMessage) -> None:
                if event.binary_message is not None:
                    handle(event.binary_message.message or b"")

            def on_stream_error(self, _error: Exception) -> bool:
                return False

        operation = self._client.new_subscribe_to_topic(_Stream())
        try:
            operation.activate(model.SubscribeToTopicRequest(topic=topic))
            operation.get_response().result(TIMEOUT_SECONDS)
        except Exception as error:  # the SDK's errors have no more specific base
            raise DemoError(f"subscribe to {topic}: {type(error).__name__}: {error}") from error
        self._streams.append(operation)

    def _on_aggregates(self, payload: bytes) -> None:
        try:
            batch = aggregates_message.decode(payload)
        except WireError:
            return
        if not isinstance(batch.rows, Aggregates):
            return
        with self._lock:
            if (batch.epoch, batch.sequence) not in self._batches:
                self._batches[batch.epoch, batch.sequence] = payload
                self._rows += len(batch.rows)

    def _on_readings(self, payload: bytes) -> None:
        if not payload:  # a flush request
            return
        try:
            batch = readings_message.decode(payload)
        except WireError:
            return
        rows = batch.rows
        if not isinstance(rows, Readings):
            return
        with self._lock:
            if self._reading_batches.setdefault(batch.epoch, SequenceSet()).add(batch.sequence):
                counts = np.bincount(rows.series_index, minlength=len(rows.series)).tolist()
                for series, count in zip(rows.series, counts, strict=True):
                    self._forwarded[series.name] += count

    def _on_readings_ack(self, payload: bytes) -> None:
        try:
            ack = Acknowledgement.decode(payload)
        except WireError:
            return
        with self._lock:
            self._acknowledged[ack.epoch] = ack

    def _on_health(self, payload: bytes) -> None:
        try:
            body = json.loads(payload)
            name, counts = str(body["component"]), {str(k): int(v) for k, v in body["counters"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        with self._lock:
            self._counters.setdefault(name, Restarted()).update(counts)


class Restarted:
    """Counters that restart at 0 with their process; a decrease indicates a restart."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._now: dict[str, int] = {}

    def update(self, counts: dict[str, int]) -> None:
        """Update with the current counters of the process."""
        if any(counts.get(name, 0) < count for name, count in self._now.items()):
            self._before = self.total()
        self._now = counts

    def total(self) -> dict[str, int]:
        """Return the sums over all its processes."""
        names = [*self._before, *(name for name in self._now if name not in self._before)]
        return {name: self._before.get(name, 0) + self._now.get(name, 0) for name in names}
