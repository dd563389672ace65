"""TCP proxies in the way of a connection: cut, refused, slow, dead in one or both directions.

One that ends TLS and knows MQTT stands between the nucleus and the cloud, and troubles the acknowledgements on their
way down as well (see downlink). A dead direction holds what it was given, as a network that has lost its route does:
nobody is told, and nothing is lost of a connection that survives it.
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

from device_sim.chaos.downlink import Downlink, Treatment
from device_sim.chaos.errors import ChaosError, PacketError
from device_sim.chaos.packets import Framer

HOST = "127.0.0.1"
CHUNK = 4096
POLL_SECONDS = 0.02
ANSWER_SECONDS = 10.0
_MAX_PACKET = 1_000_000


@dataclass(slots=True)
class Weather:
    """What the line does now; changed from any thread, read by the proxy before each chunk."""

    latency_s: float = 0.0
    bytes_per_s: float = 0.0
    up_dead: bool = False
    down_dead: bool = False
    acknowledgements: Treatment = Treatment.NONE
    delay_s: float = 0.0


class Network:
    """The thread on whose event loop the proxies run; a context manager that ends them all."""

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
        """Run something on the loop and wait for it; raises ChaosError when it does not end in time."""
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            future.result(ANSWER_SECONDS)
        except TimeoutError as error:
            future.cancel()
            raise ChaosError(f"a proxy does not answer within {ANSWER_SECONDS:g} s") from error

    def proxy(
        self, host: str, port: int, *, serve: ssl.SSLContext | None = None, connect: ssl.SSLContext | None = None
    ) -> Line:
        """Return a proxy to ``host``:``port``; with both contexts it ends TLS, goes on with TLS, and knows MQTT."""
        proxy = Proxy(host, port, serve, connect)
        self.run(proxy.listen())
        self._proxies.append(proxy)
        return Line(self, proxy)


class Line:
    """A proxy as other threads see it."""

    def __init__(self, network: Network, proxy: Proxy) -> None:
        self._network, self._proxy = network, proxy
        self.host, self.port = HOST, proxy.port
        self.weather = proxy.weather
        self.treated = proxy.treated

    @property
    def connections(self) -> int:
        """How many connections go through it now."""
        return len(self._proxy.connections)

    def cut(self) -> None:
        """End every connection at once, as a reset does."""
        self._network.run(self._proxy.cut())

    def refuse(self) -> None:
        """End every connection and refuse new ones until :meth:`accept`."""
        self._network.run(self._proxy.refuse())

    def accept(self) -> None:
        """Accept connections again; raises ChaosError when the port is taken meanwhile."""
        self._network.run(self._proxy.listen())


class Proxy:
    """One listener and its connections; all methods run on the loop."""

    def __init__(self, host: str, port: int, serve: ssl.SSLContext | None, connect: ssl.SSLContext | None) -> None:
        self._host, self._target, self._serve, self._connect = host, port, serve, connect
        self.port = 0
        self.weather = Weather()
        self.treated: Counter[Treatment] = Counter()
        self.connections: set[asyncio.Task[None]] = set()
        self._writers: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Listen, on the port that it had before if it had one."""
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
            pass  # the far end is not there, or we were told to cut: either way the near end learns by its own end
        finally:
            for each in self._writers.pop(task):
                each.transport.abort()
            self.connections.discard(task)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._weigh(len(data))
                while self.weather.up_dead:
                    await asyncio.sleep(POLL_SECONDS)
                writer.write(data)
                await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = _Down(Framer(_MAX_PACKET), Downlink(), self.weather, self.treated) if self._connect else None
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
                        await self._weigh(len(piece))
                        while self.weather.down_dead:
                            await asyncio.sleep(POLL_SECONDS)
                        writer.write(piece)
                        await writer.drain()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _weigh(self, size: int) -> None:
        weather = self.weather
        pause = weather.latency_s + (size / weather.bytes_per_s if weather.bytes_per_s else 0.0)
        if pause:
            await asyncio.sleep(pause)


class _Down:
    """Cuts the way down into packets and lets the weather at the acknowledgements."""

    def __init__(self, framer: Framer, downlink: Downlink, weather: Weather, treated: Counter[Treatment]) -> None:
        self._framer, self._downlink, self._weather, self._treated = framer, downlink, weather, treated

    @property
    def waits(self) -> bool:
        return self._downlink.next_due() is not None

    def pass_on(self, data: bytes) -> Iterator[bytes]:
        now = time.monotonic()
        before = self._downlink.treated.copy()
        for packet in self._framer.feed(data):
            self._downlink.put(packet, self._weather.acknowledgements, self._weather.delay_s, now)
        self._treated.update(self._downlink.treated - before)
        ready = self._downlink.take(now)
        if ready:
            yield ready
