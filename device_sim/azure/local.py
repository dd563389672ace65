"""A local Azure: the functions over Azurite, behind stand-ins of IoT Hub, in the threads of this process."""

from __future__ import annotations

import contextlib
import itertools
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from azure.core.exceptions import ResourceNotFoundError

from cloud_functions.adapters.azure.handlers import RETRY, Handlers, Options, create
from cloud_functions.adapters.azure.iot_hub import METHOD, IotHub
from cloud_functions.adapters.azure.storage import Storage, of_connection_string
from cloud_functions.clock import now_ms
from device_sim.aws.gateways import GatewayCredentials
from device_sim.azure.azurite import Azurite
from device_sim.azure.device_endpoint import DeviceEndpoint
from device_sim.azure.event_hub import DeviceMessage
from device_sim.azure.function_faults import FaultyTransport, FunctionFaults, RequestFault, StoppedError
from device_sim.azure.functions_host import DEAD_SUFFIX, LOG, FunctionsHost
from device_sim.azure.iot_hub import LocalIotHub
from device_sim.chaos.certificates import Authority

HOST = "127.0.0.1"
TTL_S = 60.0
"""Life of a message to a device (main.bicep)."""


class LocalAzure:
    """A running local Azure; a context manager. ``faults`` affect its functions."""

    def __init__(self, root: Path, watch_every_s: float = 60.0) -> None:
        self._root, self._watch_every_s = root, watch_every_s
        self._stack = contextlib.ExitStack()
        self._numbers = itertools.count(1)
        self._publishing = threading.Lock()
        self._keys: dict[str, bytes | None] = {}
        self.faults = FunctionFaults()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _start(self) -> None:
        enter = self._stack.enter_context
        self._azurite = enter(Azurite.start(self._root))
        self.faults.tables = self._azurite.url("table")
        create(self.storage())
        self._authority = Authority(self._root / "authority")
        self.endpoint = enter(DeviceEndpoint(HOST, self._context(), self._keys, self._publish, TTL_S))
        self.hub = enter(LocalIotHub(self.endpoint.send, self._call))
        self.host = FunctionsHost(self.storage(), self._new_process, self.faults, self._watch_every_s)
        self.host.start()
        self._stack.callback(self.host.stop)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def storage(self) -> Storage:
        """Return the storage account with connections of its own, which are closed at the end."""
        made = of_connection_string(self._azurite.connection_string)
        self._stack.callback(made.close)
        return made

    def register(self, device: str) -> GatewayCredentials:
        """Register a device with a certificate, and return the files of its identity and the hub's address."""
        pair = self._authority.gateway(device)
        self._keys[device] = None
        self.hub.devices.add(device)
        return GatewayCredentials(device, HOST, self.endpoint.port, pair.cert, pair.key, self._authority.ca)

    def dead_letters(self) -> int:
        """Return the number of dead letters, and of batches that were not stored in five attempts."""
        container = self.storage().container("dead-letters")
        total = len(list(container.list_blob_names()))
        with contextlib.suppress(ResourceNotFoundError):
            queue = self.storage().queue(f"{RETRY}{DEAD_SUFFIX}")
            total += int(queue.get_queue_properties().approximate_message_count or 0)
        return total

    def _context(self) -> ssl.SSLContext:
        server = self._authority.server()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.cert, server.key)
        context.load_verify_locations(self._authority.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _publish(self, device: str, properties: dict[str, str], body: bytes) -> None:
        with self._publishing:
            self.host.publish(DeviceMessage(device, body, properties, now_ms(), next(self._numbers)))

    def _call(self, device: str, payload: bytes) -> int | None:
        return self.endpoint.call(device, METHOD, payload)

    def _new_process(self) -> tuple[Handlers, Callable[[], None]]:
        """Return handlers as a new process of a function has them, and the function that closes them."""
        started = self.faults.starts
        transport = FaultyTransport(lambda url: self.faults.next_fault(url, started))
        storage = of_connection_string(self._azurite.connection_string, {"transport": transport})
        hub = _FaultyHub(self.hub.connection_string, self.faults, started)

        def close() -> None:
            transport.close()
            hub.close()

        return Handlers(storage, hub, Options(), now_ms, LOG), close


class _FaultyHub(IotHub):
    """Client of the hub with the faults of the functions."""

    def __init__(self, connection: str, faults: FunctionFaults, started: int) -> None:
        super().__init__(connection, now_ms)
        self._faults, self._started = faults, started

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Send a request."""
        fault = self._faults.next_fault(path, self._started)
        answer = super().request(method, path, headers, body)
        if fault is RequestFault.STOPPED:
            raise StoppedError
        return answer


def uplink(credentials: GatewayCredentials) -> dict[str, Any]:
    """Return the settings of the forwarder that connects to the hub."""
    return {
        "uplink": "mqtt",
        "mqtt": {
            "service": "iot_hub",
            "host": credentials.host,
            "port": credentials.port,
            "keepalive_s": 5,
            "ca_file": str(credentials.ca),
            "cert_file": str(credentials.cert),
            "key_file": str(credentials.key),
        },
    }
