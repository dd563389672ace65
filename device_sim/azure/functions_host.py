"""Host of the functions: threads that run them for their triggers, as the Functions host does.

Each trigger has a process of its own, which is its handlers with their connections. A failed invocation is repeated; a
message of a queue that failed five times goes to the dead letters of the queue. A process that was stopped is replaced.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import azure.functions as func
from azure.core.exceptions import AzureError
from azure.functions.timer import TimerRequest

from cloud_functions.adapters.azure.handlers import CHANGES, RETRY, Handlers
from cloud_functions.adapters.azure.storage import Storage
from cloud_functions.core.errors import CloudError
from device_sim.azure.event_hub import DeviceMessage, events_of
from device_sim.azure.function_faults import FunctionFaults, StoppedError

MAX_EVENTS = 100
"""Events of an invocation (host.json)."""
MAX_DEQUEUED, HIDDEN_S = 5, 10
DEAD_SUFFIX = "-poison"
"""Suffix of the queue to which the Functions host moves a message that failed MAX_DEQUEUED times."""
POLL_S, PAUSE_S, STOP_S = 0.1, 0.5, 30.0
LOG = logging.getLogger("strandline.azure")

Invocation = Callable[[Handlers], None]
QueueFunction = Callable[[Handlers], Callable[[func.QueueMessage], None]]
NewProcess = Callable[[], tuple[Handlers, Callable[[], None]]]
"""Returns the handlers of a new process, and the function that closes its connections."""


class FunctionProcess:
    """Process of a function, which is replaced after a stop."""

    def __init__(self, new: NewProcess, faults: FunctionFaults, ended: threading.Event) -> None:
        self._new, self._faults, self._ended = new, faults, ended
        self._started, (self._handlers, self._close) = faults.starts, new()
        self.failures = self.stops = 0

    def run(self, invocation: Invocation) -> bool:
        """Run an invocation; return False if it failed or was stopped."""
        try:
            invocation(self._handlers)
        except (CloudError, AzureError) as error:
            self.failures += 1
            LOG.warning("invocation failed: %s", error)
            return False
        except StoppedError:
            self.stops += 1
            self._ended.wait(PAUSE_S)
            self.close()
            self._handlers, self._close = self._new()
            return False
        return True

    def close(self) -> None:
        """Close the connections."""
        self._close()


class FunctionsHost:
    """Host over the storage account ``storage``; ``new`` makes processes."""

    def __init__(self, storage: Storage, new: NewProcess, faults: FunctionFaults, watch_every_s: float) -> None:
        self._storage, self._new, self._faults, self._watch_every_s = storage, new, faults, watch_every_s
        self._waiting: list[DeviceMessage] = []
        self._arrived, self._ended = threading.Condition(), threading.Event()
        self._processes: list[FunctionProcess] = []
        self._threads = [
            threading.Thread(target=work, args=arguments, name=f"azure-{name}", daemon=True)
            for name, work, arguments in (
                ("ingest", self._events, ()),
                (RETRY, self._queue, (RETRY, lambda handlers: handlers.ingest_again)),
                (CHANGES, self._queue, (CHANGES, lambda handlers: handlers.alerting)),
                ("watch", self._timer, ()),
            )
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads, after the invocations that run."""
        self._ended.set()
        with self._arrived:
            self._arrived.notify_all()
        for thread in self._threads:
            thread.join(STOP_S)

    def publish(self, message: DeviceMessage) -> None:
        """Add an event to the log of events."""
        with self._arrived:
            self._waiting.append(message)
            self._arrived.notify()

    @property
    def failures(self) -> int:
        """Number of invocations that failed, all of which are repeated."""
        return sum(process.failures for process in self._processes)

    @property
    def stops(self) -> int:
        """Number of invocations that were stopped, all of which are repeated."""
        return sum(process.stops for process in self._processes)

    def _process(self) -> FunctionProcess:
        process = FunctionProcess(self._new, self._faults, self._ended)
        self._processes.append(process)
        return process

    def _run(self, process: FunctionProcess, what: str, invocation: Invocation) -> bool:
        """Run an invocation, at the same time in another process if that is planned; return True if both succeed."""
        if not self._faults.take_twice(what):
            return process.run(invocation)
        other, results = self._process(), list[bool]()
        thread = threading.Thread(target=lambda: results.append(other.run(invocation)), daemon=True)
        thread.start()
        succeeded = process.run(invocation)
        thread.join()
        other.close()
        return succeeded and results == [True]

    def _events(self) -> None:
        process = self._process()
        while not self._ended.is_set():
            with self._arrived:
                self._arrived.wait_for(lambda: self._waiting or self._ended.is_set())
                taken = self._waiting[:MAX_EVENTS]
            if taken and self._run(process, "events", _ingest(taken)):
                with self._arrived:
                    del self._waiting[: len(taken)]
            elif taken:
                self._ended.wait(PAUSE_S)
        process.close()

    def _queue(self, name: str, method: QueueFunction) -> None:
        process = self._process()
        queue = self._storage.queue(name)
        while not self._ended.wait(POLL_S):
            try:
                for received in queue.receive_messages(messages_per_page=16, visibility_timeout=HIDDEN_S):
                    message = func.QueueMessage(id=received.id, body=str(received.content))
                    if not self._run(process, "messages", _on_message(method, message)):
                        if int(received.dequeue_count or 0) < MAX_DEQUEUED:
                            continue
                        self._move_to_dead_letters(name, received.content)
                    queue.delete_message(received)
            except AzureError as error:
                LOG.warning("queue %s: %s", name, error)
        process.close()

    def _move_to_dead_letters(self, name: str, content: Any) -> None:
        dead = self._storage.queue(f"{name}{DEAD_SUFFIX}")
        with contextlib.suppress(AzureError):
            dead.create_queue()
        dead.send_message(content)

    def _timer(self) -> None:
        process = self._process()
        while not self._ended.wait(self._watch_every_s):
            process.run(lambda handlers: handlers.watch(TimerRequest(past_due=False)))
        process.close()


def _ingest(messages: Sequence[DeviceMessage]) -> Invocation:
    return lambda handlers: handlers.ingest(events_of(messages))


def _on_message(method: QueueFunction, message: func.QueueMessage) -> Invocation:
    return lambda handlers: method(handlers)(message)
