"""TCP proxies that cut, refuse, slow down or block connections in one or both directions.

The proxy between nucleus and cloud terminates TLS, parses MQTT and also disturbs the acknowledgements on the downlink
(see downlink). A blocked direction buffers its data, like a network without a route: no error is reported, and a
connection that survives loses no data.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from device_sim.chaos.downlink import AcknowledgementFault, Downlink
from device_sim.chaos.errors import ChaosError, PacketError
from device_sim.chaos.packets import Framer

HOST = "127.0.0.1"
CHUNK = 4096
POLL_SECONDS = 0.02
ANSWER_SECONDS = 10.0
_MAX_PACKET = 1_000_000


@dataclass(slots=True)
class LineConditions:
    """Current faults of a line; changed from any thread, read by the proxy before each chunk."""

    latency_s: float = 0.0
    bytes_per_s: float = 0.0
    up_dead: bool = False
    down_dead: bool = False
    acknowledgements: AcknowledgementFault = AcknowledgementFault.NONE
    delay_s: float = 0.0


class Network:
    """Thread with the event loop of the proxies; a context manager that stops them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._proxies: list[Proxy] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for proxy in self._proxies:
            self.run(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop and wait for it; raises ChaosError after a timeout."""
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            future.result(ANSWER_SECONDS)
        except TimeoutError as error:
            future.cancel()
            raise ChaosError(f"a proxy does not answer within {ANSWER_SECONDS:g} s") from error

    def proxy(
        self, host: str, port: int, *, serve: ssl.SSLContext | None = None, connect: ssl.SSLContext | None = None
    ) -> Line:
        """Return a proxy to ``host``:``port``; with both contexts it terminates TLS and parses MQTT."""
        proxy = Proxy(host, port, serve, connect)
        self.run(proxy.listen())
        self._proxies.append(proxy)
        return Line(self, proxy)


class Line:
    """Thread-safe interface of a proxy."""

    def __init__(self, network: Network, proxy: Proxy) -> None:
        self._network, self._proxy = network, proxy
        self.host, self.port = HOST, proxy.port
        self.conditions = proxy.conditions
        self.applied = proxy.applied

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._proxy.connections)

    def cut(self) -> None:
        """End every connection at once, as a reset does."""
        self._network.run(self._proxy.cut())

    def refuse(self) -> None:
        """End every connection and refuse new ones until :meth:`accept`."""
        self._network.run(self._proxy.refuse())

    def accept(self) -> None:
        """Accept connections again; raises ChaosError when the port is in use."""
        self._network.run(self._proxy.listen())


class Proxy:
    """One listener and its connections; all methods run on the loop."""

    def __init__(self, host: str, port: int, serve: ssl.SSLContext | None, connect: ssl.SSLContext | None) -> None:
        self._host, self._target, self._serve, self._connect = host, port, serve, connect
        self.port = 0
        self.conditions = LineConditions()
        self.applied: Counter[AcknowledgementFault] = Counter()
        self.connections: set[asyncio.Task[None]] = set()
        self._writers: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Listen on the previous port, or on a free one at first."""
        if self._server is not None:
            return
        try:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, ssl=self._serve)
        except OSError as error:
            raise ChaosError(f"proxy to {self._host}:{self._target}: port {self.port}: {error.strerror}") from error
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def refuse(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """End every connection."""
        tasks = list(self.connections)
        for task in tasks:
            for writer in self._writers.get(task, ()):
                writer.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    close = refuse

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:  # streams always call this in a task
            return
        self.connections.add(task)
        self._writers[task] = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._target, ssl=self._connect)
            self._writers[task].append(far_writer)
            pumps = [
                asyncio.create_task(self._up(reader, far_writer)),
                asyncio.create_task(self._down(far_reader, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the target is unreachable or the connection was cut: closing the client side reports either
        finally:
            for each in self._writers.pop(task):
                each.transport.abort()
            self.connections.discard(task)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._delay(len(data))
                while self.conditions.up_dead:
                    await asyncio.sleep(POLL_SECONDS)
                writer.write(data)
                await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = (
            _DownlinkSender(Framer(_MAX_PACKET), Downlink(), self.conditions, self.applied) if self._connect else None
        )
        reading: asyncio.Task[bytes] = asyncio.create_task(reader.read(CHUNK))
        try:
            with contextlib.suppress(OSError, PacketError):
                while True:
                    await asyncio.wait({reading}, timeout=POLL_SECONDS if sender and sender.waits else None)
                    data = b""
                    if reading.done():
                        data = reading.result()
                        if not data:
                            return
                        reading = asyncio.create_task(reader.read(CHUNK))
                    for piece in sender.pass_on(data) if sender else (data,):
                        await self._delay(len(piece))
                        while self.conditions.down_dead:
                            await asyncio.sleep(POLL_SECONDS)
                        writer.write(piece)
                        await writer.drain()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _delay(self, size: int) -> None:
        conditions = self.conditions
        pause = conditions.latency_s + (size / conditions.bytes_per_s if conditions.bytes_per_s else 0.0)
        if pause:
            await asyncio.sleep(pause)


class _DownlinkSender:
    """Splitter of the downlink into packets that applies the current faults to acknowledgements."""

    def __init__(
        self, framer: Framer, downlink: Downlink, conditions: LineConditions, applied: Counter[AcknowledgementFault]
    ) -> None:
        self._framer, self._downlink, self._conditions, self._applied = framer, downlink, conditions, applied

    @property
    def waits(self) -> bool:
        return self._downlink.next_due() is not None

    def pass_on(self, data: bytes) -> Iterator[bytes]:
        now = time.monotonic()
        before = self._downlink.applied.copy()
        for packet in self._framer.feed(data):
            self._downlink.put(packet, self._conditions.acknowledgements, self._conditions.delay_s, now)
        self._applied.update(self._downlink.applied - before)
        ready = self._downlink.take(now)
        if ready:
            yield ready
