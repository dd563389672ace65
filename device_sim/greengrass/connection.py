"""Server side of the event-stream RPC connection protocol, on one socket.

After CONNECT with a token, each request opens a stream and receives a response on it; a subscription keeps the stream
open for events until either side sends TERMINATE_STREAM. The answer to a protocol violation is PROTOCOL_ERROR and the
end of the connection; the answer to a failed request is an error on its own stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from device_sim.greengrass import eventstream
from device_sim.greengrass.errors import EventStreamError, FrameSizeError, NucleusError, OperationError
from device_sim.greengrass.eventstream import Decoder, Frame, Header
from device_sim.greengrass.identities import Identity
from device_sim.greengrass.messages import (
    CONNECTION_ACCEPTED,
    PROTOCOL_VERSION,
    SERVICE,
    TERMINATE_STREAM,
    UNSUPPORTED,
    ProtocolError,
    Type,
    int_header,
    json_object,
    protocol_headers,
)
from device_sim.greengrass.profile import Profile

CONNECT_SECONDS = 10.0
READ_BYTES = 65_536
MAX_STREAMS = 1_024
MAX_UNSENT_BYTES = 16 * 1024 * 1024
"""Limit of unsent bytes; the connection of a subscriber that does not read is closed above it."""


class _ClosedError(NucleusError):
    """End of the connection without a further message."""


class Stream:
    """Stream of one request: its response, then events until it is closed."""

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection, self._number = connection, number
        self.answered = self.closed = False
        self._waiting: list[tuple[str, Mapping[str, Any]]] = []
        self._endings: list[Callable[[], None]] = []

    def event(self, model: str, payload: Mapping[str, Any]) -> None:
        """Send an event such as ``aws.greengrass#IoTCoreMessage``; events before the response are held back."""
        if self.closed:
            return
        if self.answered:
            self._connection.send(self._number, Type.APPLICATION_MESSAGE, 0, model, payload)
        else:
            self._waiting.append((model, payload))

    def on_close(self, end: Callable[[], None]) -> None:
        """Call ``end`` when the stream closes, or at once when it is closed already."""
        if self.closed:
            end()
        else:
            self._endings.append(end)

    def release(self) -> None:
        """Send the events that were held back until the response."""
        self.answered = True
        waiting, self._waiting = self._waiting, []
        for model, payload in waiting:
            self.event(model, payload)

    def close(self) -> None:
        """Call the functions registered for the end of the stream."""
        self.closed = True
        endings, self._endings = self._endings, []
        for end in endings:
            end()


Answer = tuple[str, Mapping[str, Any], bool]
"""Model name of the response, its payload, and True when the stream stays open for events."""
Dispatch = Callable[[Identity, str, Mapping[str, Any], Stream], Awaitable[Answer]]

ByName = Callable[[object, int | None], tuple[Identity, str] | None]
"""Return the identity and token of a component, given its name and the peer's process id, or None."""


class Connection:
    """Connection of one client, served until either side closes it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        holder: Callable[[object], Identity | None],
        dispatch: Dispatch,
        profile: Profile,
        log: logging.Logger,
        by_name: ByName | None = None,
    ) -> None:
        self._reader, self._writer, self._by_name = reader, writer, by_name
        self._holder, self._dispatch = holder, dispatch
        self._profile, self._log = profile, log
        self._decoder = Decoder(profile.max_packet_bytes)
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_stream = 0
        self.identity: Identity | None = None

    async def serve(self) -> None:
        """Serve until the connection ends; errors of the peer are logged."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS) as deadline:
                while data := await self._reader.read(READ_BYTES):
                    for frame in self._decoder.feed(data):
                        self._frame(frame)
                    if self.identity is not None:
                        deadline.reschedule(None)
        except _ClosedError as reason:
            self._log.warning("connection closed: %s", reason, extra=self._log_fields())
            await self._await_end()
        except FrameSizeError as error:
            self._log.warning("packet refused, connection closed: %s", error, extra=self._log_fields())
            self._refuse(str(error))
        except (EventStreamError, ProtocolError) as error:
            self._log.warning("protocol error, connection closed: %s", error, extra=self._log_fields())
            self._refuse(str(error))
        except TimeoutError:
            self._log.warning("no CONNECT in %g s, connection closed", CONNECT_SECONDS, extra=self._log_fields())
        except (ConnectionError, OSError) as error:
            self._log.info("connection lost: %s", error, extra=self._log_fields())
        finally:
            await self._close()

    async def _await_end(self) -> None:
        """Wait until a rejected client closes, so that it reads the answer before the socket closes."""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(1):
                while await self._reader.read(READ_BYTES):
                    pass

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    def send(self, stream: int, kind: Type, flags: int, model: str | None, payload: Mapping[str, Any] | None) -> None:
        """Send one message."""
        headers = [
            eventstream.int32(":message-type", kind),
            eventstream.int32(":message-flags", flags),
            eventstream.int32(":stream-id", stream),
        ]
        if model is not None:
            headers += [
                eventstream.text(":content-type", "application/json"),
                eventstream.text("service-model-type", model),
            ]
        body = b"" if payload is None else json.dumps(payload).encode()
        self._write(Frame(tuple(headers), body))

    def _write(self, frame: Frame) -> None:
        transport = self._writer.transport
        if transport.is_closing():
            return
        try:
            data = eventstream.encode(frame, self._profile.max_packet_bytes)
        except FrameSizeError as error:
            self._log.warning("cannot send, connection closed: %s", error, extra=self._log_fields())
            transport.abort()
            return
        if transport.get_write_buffer_size() + len(data) > MAX_UNSENT_BYTES:
            self._log.warning("the client does not read, connection closed", extra=self._log_fields())
            transport.abort()
            return
        self._writer.write(data)

    def _frame(self, frame: Frame) -> None:
        headers = {header.name.lower(): header for header in frame.headers}
        kind = int_header(headers, ":message-type")
        flags = int_header(headers, ":message-flags", 0)
        stream = int_header(headers, ":stream-id")
        if self.identity is None:
            self._connect(kind, headers, frame.payload)
        elif kind == Type.PING:
            self._write(Frame(protocol_headers(Type.PING_RESPONSE), frame.payload))
        elif kind == Type.PING_RESPONSE:
            pass
        elif kind == Type.APPLICATION_MESSAGE and stream > 0:
            self._application(stream, flags, headers, frame.payload)
        else:
            raise ProtocolError(f"message type {kind} on stream {stream} is not for a server that is connected")

    def _connect(self, kind: int, headers: Mapping[str, Header], payload: bytes) -> None:
        if kind != Type.CONNECT:
            raise ProtocolError(f"message type {kind} before CONNECT")
        version = headers.get(":version")
        if version is None or version.value != PROTOCOL_VERSION:
            raise ProtocolError(f"protocol version {version and version.value!r}, {PROTOCOL_VERSION} is supported")
        try:
            token = json_object(payload).get("authToken")
        except OperationError as error:
            raise ProtocolError(f"CONNECT: {error}") from error
        self.identity = self._holder(token)
        new_token: tuple[Header, ...] = ()
        if token is None and self._by_name is not None:
            # Nucleus lite accepts a component's process by the component's name and returns a token.
            admitted = self._by_name(json_object(payload).get("componentName"), _peer_process(self._writer))
            if admitted is not None:
                self.identity, given = admitted
                new_token = (eventstream.text("svcuid", given),)
        accepted = CONNECTION_ACCEPTED if self.identity is not None else 0
        if self.identity is not None or not self._profile.silent_close:
            self._write(Frame((*protocol_headers(Type.CONNECT_ACK, accepted), *new_token)))
        if self.identity is None:
            raise _ClosedError("unknown token")

    def _application(self, number: int, flags: int, headers: Mapping[str, Header], payload: bytes) -> None:
        stream = self._streams.get(number)
        if flags & TERMINATE_STREAM:
            # Also for streams that are closed: both sides may end a stream at the same time.
            if stream is not None:
                self._end(number)
            return
        operation = headers.get("operation")
        if stream is not None or operation is None or not isinstance(operation.value, str):
            raise ProtocolError(f"stream {number}: a second message on a stream is not supported")
        if number <= self._last_stream:
            raise ProtocolError(f"stream {number} was used before, the next is above {self._last_stream}")
        self._last_stream = number
        if len(self._streams) >= MAX_STREAMS:
            self._fail(number, OperationError("ServiceError", f"{MAX_STREAMS} streams are open, no more are allowed"))
            return
        stream = self._streams[number] = Stream(self, number)
        task = asyncio.create_task(self._answer(number, stream, operation.value, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, number: int, stream: Stream, operation: str, payload: bytes) -> None:
        """Answer one request; requests start in the order of arrival, which keeps publishes in order."""
        identity = self.identity
        if identity is None:
            return
        try:
            model, response, stays = await self._dispatch(identity, operation, json_object(payload), stream)
        except OperationError as error:
            self._end(number)
            self._fail(number, error)
            return
        except Exception:  # noqa: BLE001 # outermost edge of one request: it must not end the connection
            self._log.exception("%s failed", operation, extra=self._log_fields())
            self._end(number)
            self._fail(
                number, OperationError("ServiceError", f"{operation}: internal error of the nucleus, see its log")
            )
            return
        if stream.closed:
            return
        flags = 0 if stays or not self._profile.ends_unary else TERMINATE_STREAM
        self.send(number, Type.APPLICATION_MESSAGE, flags, model, response)
        if stays:
            stream.release()
        else:
            self._end(number)

    def _fail(self, number: int, error: OperationError) -> None:
        if error.kind == UNSUPPORTED:
            body = {"error": "Unsupported Operation", "message": error.text}
            self.send(number, Type.APPLICATION_ERROR, TERMINATE_STREAM, None, body)
            return
        model = error.kind if "#" in error.kind else f"aws.greengrass#{error.kind}"
        payload = {"_message": error.text, "_errorCode": model.split("#")[1]}
        if not self._profile.terse_errors:
            payload |= {"message": error.text, "_service": SERVICE, **error.fields}
        self.send(number, Type.APPLICATION_ERROR, TERMINATE_STREAM, model, payload)

    def _end(self, number: int) -> None:
        if (stream := self._streams.pop(number, None)) is not None:
            stream.close()

    def _refuse(self, why: str) -> None:
        if self._profile.silent_close:
            return
        body = json.dumps({"message": why}).encode()
        headers = (*protocol_headers(Type.PROTOCOL_ERROR), eventstream.text(":content-type", "application/json"))
        self._write(Frame(headers, body))

    async def _close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        for number in tuple(self._streams):
            self._end(number)
        self._writer.close()
        try:
            async with asyncio.timeout(1):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self.abort()

    def _log_fields(self) -> dict[str, object]:
        return {"fields": {"client": self.identity.name if self.identity else "not connected"}}


def _peer_process(writer: asyncio.StreamWriter) -> int | None:
    """Return the process id of the peer of a UNIX socket, or None where the system does not provide it."""
    peer = writer.get_extra_info("socket")
    if peer is None or not hasattr(socket, "SO_PEERCRED"):
        return None
    pid, _, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(pid)
