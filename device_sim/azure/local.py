"""A local Azure: the functions over Azurite, with a stand-in of IoT Hub, in the threads of this process.

Each trigger has a thread with handlers of its own, as a process of a function has. A failed invocation is repeated; a
message of a queue that failed five times goes to the dead letters of the queue.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import azure.functions as func
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.functions.timer import TimerRequest

from cloud_functions.adapters.azure.handlers import CHANGES, RETRY, Handlers, Options, create
from cloud_functions.adapters.azure.iot_hub import IotHub
from cloud_functions.adapters.azure.storage import Storage, of_connection_string
from cloud_functions.clock import now_ms
from cloud_functions.core.errors import CloudError
from device_sim.azure.azurite import Azurite
from device_sim.azure.event_hub import DeviceMessage, events_of
from device_sim.azure.iot_hub import Deliver, LocalIotHub

MAX_EVENTS = 100
"""Events of an invocation (host.json)."""
MAX_DEQUEUED, HIDDEN_S = 5, 10
DEAD_SUFFIX = "-poison"
"""Suffix of the queue to which the Functions host moves a message that failed MAX_DEQUEUED times."""
POLL_S, PAUSE_S, STOP_S = 0.1, 0.5, 30.0
LOG = logging.getLogger("strandline.azure")


class LocalAzure:
    """A running local Azure; a context manager. ``deliver`` passes messages of the cloud to devices."""

    def __init__(self, root: Path, deliver: Deliver, watch_every_s: float = 60.0) -> None:
        self._root, self._deliver, self._watch_every_s = root, deliver, watch_every_s
        self._stack = contextlib.ExitStack()
        self._waiting: list[DeviceMessage] = []
        self._arrived, self._ended = threading.Condition(), threading.Event()
        self._number = 0
        self._threads: list[threading.Thread] = []
        self.failures = 0
        """Invocations that failed, all of which are repeated."""

    def __enter__(self) -> Self:
        try:
            self._azurite = self._stack.enter_context(Azurite.start(self._root))
            self.hub = self._stack.enter_context(LocalIotHub(self._deliver))
            create(self.storage())
        except BaseException:
            self._stack.close()
            raise
        for name, work in (
            ("ingest", self._ingest),
            (RETRY, lambda: self._queue(RETRY, lambda handlers: handlers.ingest_again)),
            (CHANGES, lambda: self._queue(CHANGES, lambda handlers: handlers.alerting)),
            ("watch", self._watch),
        ):
            thread = threading.Thread(target=work, name=f"azure-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._arrived:
            self._arrived.notify_all()
        for thread in self._threads:
            thread.join(STOP_S)
        self._stack.close()

    def storage(self) -> Storage:
        """Return the storage account with connections of its own, which are closed at the end."""
        made = of_connection_string(self._azurite.connection_string)
        self._stack.callback(made.close)
        return made

    def register(self, device: str) -> None:
        """Register a device."""
        self.hub.devices.add(device)

    def publish(self, device: str, body: bytes, properties: dict[str, str]) -> None:
        """Accept a message of a device: from now on it is in the hub's log of events."""
        with self._arrived:
            self._number += 1
            self._waiting.append(DeviceMessage(device, body, properties, now_ms(), self._number))
            self._arrived.notify()

    def dead_letters(self) -> int:
        """Return the number of dead letters, and of batches that were not stored in five attempts."""
        container = self.storage().container("dead-letters")
        total = len(list(container.list_blob_names()))
        with contextlib.suppress(ResourceNotFoundError):
            queue = self.storage().queue(f"{RETRY}{DEAD_SUFFIX}")
            total += int(queue.get_queue_properties().approximate_message_count or 0)
        return total

    def handlers(self) -> Handlers:
        """Return handlers as a new process of a function has them."""
        hub = IotHub(self.hub.connection_string, now_ms)
        self._stack.callback(hub.close)
        return Handlers(self.storage(), hub, Options(), now_ms, LOG)

    def _ingest(self) -> None:
        handlers = self.handlers()
        while not self._ended.is_set():
            with self._arrived:
                self._arrived.wait_for(lambda: self._waiting or self._ended.is_set())
                taken = self._waiting[:MAX_EVENTS]
            if taken and self._succeeds(functools.partial(handlers.ingest, events_of(taken))):
                with self._arrived:
                    del self._waiting[: len(taken)]
            elif taken:
                self._ended.wait(PAUSE_S)

    def _queue(self, name: str, method: Callable[[Handlers], Callable[[func.QueueMessage], None]]) -> None:
        handle = method(self.handlers())
        queue, dead = self.storage().queue(name), self.storage().queue(f"{name}{DEAD_SUFFIX}")
        while not self._ended.wait(POLL_S):
            try:
                for received in queue.receive_messages(messages_per_page=16, visibility_timeout=HIDDEN_S):
                    message = func.QueueMessage(id=received.id, body=str(received.content))
                    if not self._succeeds(functools.partial(handle, message)):
                        if int(received.dequeue_count or 0) < MAX_DEQUEUED:
                            continue
                        with contextlib.suppress(AzureError):
                            dead.create_queue()
                        dead.send_message(received.content)
                    queue.delete_message(received)
            except AzureError as error:
                LOG.warning("queue %s: %s", name, error)

    def _watch(self) -> None:
        handlers = self.handlers()
        while not self._ended.wait(self._watch_every_s):
            self._succeeds(lambda: handlers.watch(TimerRequest(past_due=False)))

    def _succeeds(self, invocation: Callable[[], None]) -> bool:
        try:
            invocation()
        except (CloudError, AzureError) as error:
            self.failures += 1
            LOG.warning("invocation failed: %s", error)
            return False
        return True
