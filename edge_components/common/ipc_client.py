"""Connection to the Greengrass nucleus with the SDK's event-stream client, and translation of the SDK's errors."""

from __future__ import annotations

import concurrent.futures
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from awscrt.exceptions import AwsCrtError
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup, SocketDomain, SocketOptions
from awsiot import eventstreamrpc as rpc
from awsiot.greengrasscoreipc import client as gg
from awsiot.greengrasscoreipc import model

from edge_components.common.errors import (
    BusError,
    ConnectionLostError,
    ConnectionRefusedByNucleusError,
    NoNucleusError,
    UnauthorizedError,
    UnsupportedError,
)

TIMEOUT_SECONDS = 10.0
SOCKET = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
TOKEN = "SVCUID"  # noqa: S105 # the name of the variable
_UNREACHABLE = ("CONNECTION_REFUSED", "INVALID_ADDRESS", "SOCKET_TIMEOUT", "FILE_INVALID_PATH")


class Lifecycle(rpc.LifecycleHandler):  # type: ignore[misc]  # awsiot ships no type information
    """Handler that reports the end of a connection once, unless the component closed it."""

    def __init__(self, lost: Callable[[str], None]) -> None:
        self._lost = lost
        self.ended = False
        """True after the connection has ended or the component has closed it."""

    def on_disconnect(self, reason: Exception | None) -> None:
        """Report the end of the connection; the SDK calls this on its network thread."""
        if not self.ended:
            self.ended = True
            self._lost(described(reason) if reason is not None else "closed by the nucleus")

    def on_error(self, error: Exception) -> bool:
        """Return True, by which the SDK closes the connection."""
        return True


class _Shapes(rpc.ShapeIndex):  # type: ignore[misc]
    """The SDK's shapes, with errors that also read nucleus lite's message field (``_message``)."""

    def __init__(self) -> None:
        super().__init__([])
        self._errors: dict[str, type] = {}

    def find_shape_type(self, model_name: str) -> type | None:
        """Return the class of a shape."""
        found: type | None = model.SHAPE_INDEX.find_shape_type(model_name)
        if found is None or not issubclass(found, rpc.ErrorShape):
            return found
        if model_name not in self._errors:
            self._errors[model_name] = _with_message(found)
        return self._errors[model_name]


def _with_message(kind: Any) -> type:
    def from_payload(_cls: type, payload: Mapping[str, Any]) -> Any:
        error = kind._from_payload(payload)
        if not getattr(error, "message", None):
            error.message = payload.get("_message")
        return error

    return type(kind.__name__, (kind,), {"_from_payload": classmethod(from_payload)})


class _Client(gg.GreengrassCoreIPCClient):  # type: ignore[misc]
    """The SDK's client with the shapes above."""

    def __init__(self, connection: rpc.Connection) -> None:
        rpc.Client.__init__(self, connection, _Shapes())


def connect(lifecycle: Lifecycle, identity: Mapping[str, str], timeout_s: float = TIMEOUT_SECONDS) -> Any:
    """Connect to the socket in the environment as ``identity`` and return the SDK's client.

    Raises NoNucleusError if the environment does not name a socket, ConnectionRefusedByNucleusError if the nucleus
    rejects ``identity``, BusError if it cannot be reached.
    """
    path = os.environ.get(SOCKET)
    if not path:
        raise NoNucleusError(f"{SOCKET} is not set: components are started by the Greengrass nucleus")
    if not Path(path).exists():
        raise BusError(f"cannot connect: {path} does not exist")
    options = SocketOptions()
    options.domain = SocketDomain.Local
    group = EventLoopGroup(num_threads=1)
    connection = rpc.Connection(
        host_name=path,
        port=0,
        bootstrap=ClientBootstrap(group, DefaultHostResolver(group)),
        socket_options=options,
        connect_message_amender=lambda: rpc.MessageAmendment(payload=json.dumps(identity).encode()),
    )
    try:
        connection.connect(lifecycle).result(timeout_s)
    except BaseException as error:
        lifecycle.ended = True
        connection.close()  # a connection in progress would stay open
        if isinstance(error, concurrent.futures.TimeoutError):
            raise BusError(f"cannot connect: no response within {timeout_s:g} s") from error
        if isinstance(error, AwsCrtError) and any(part in error.name for part in _UNREACHABLE):
            raise BusError(f"cannot connect: {error.name}") from error
        if isinstance(error, Exception):  # awscrt raises many unrelated types when the nucleus closes it
            raise ConnectionRefusedByNucleusError(f"the nucleus refuses the connection: {described(error)}") from error
        raise
    return _Client(connection)


def described(error: Exception) -> str:
    """Return the type of an error and its text, if any."""
    text = getattr(error, "message", None) or (error.args[0] if error.args else None)
    name = getattr(error, "name", None) or type(error).__name__
    return f"{name}: {text}" if text else str(name)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise the SDK's errors as BusError or a subclass; ``what`` names the operation."""
    try:
        yield
    except Exception as error:
        translation = translate(error, what)
        if translation is None:
            raise
        raise translation from error


_CLOSED = ("AWS_ERROR_EVENT_STREAM_RPC_CONNECTION_CLOSED", "AWS_ERROR_EVENT_STREAM_RPC_STREAM_CLOSED")
"""Names of CRT errors that its native code raises as plain RuntimeErrors when the connection closes during a call."""


def translate(error: BaseException, what: str) -> BusError | None:
    """Return the BusError for an error of the SDK, None for another error."""
    if isinstance(error, concurrent.futures.TimeoutError):
        return BusError(f"{what}: no response within {TIMEOUT_SECONDS:g} s")
    if not isinstance(error, RuntimeError | AwsCrtError):  # base classes of the SDK's errors
        return None
    text = f"{what}: {described(error)}"
    if isinstance(error, model.UnauthorizedError):
        return UnauthorizedError(text)
    if isinstance(error, model.ServiceError):
        return UnsupportedError(text)
    if isinstance(error, rpc.ConnectionClosedError | rpc.StreamClosedError | rpc.EventStreamError | AwsCrtError):
        return ConnectionLostError(text)
    if any(name in text for name in _CLOSED):
        return ConnectionLostError(text)
    return BusError(text)
