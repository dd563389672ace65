"""The bridge to AWS IoT Core: one MQTT client with the gateway's certificate.

Limits as in "AWS IoT Core endpoints and quotas" and the nucleus' own: 100 messages and 512 KB a second, ten
unacknowledged publishes, 2.5 MB queued in memory. A message that is in flight each time the connection breaks is given
up after MAX_ATTEMPTS: IoT Core answers a topic that the policy does not allow by closing the connection, and one such
message must not block the rest. Paho's thread only posts to the event loop; everything else happens there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from device_sim.nucleus.errors import BridgeError, StartError
from device_sim.nucleus.pace import Pace
from device_sim.nucleus.topics import matches

MAX_QUEUED_BYTES = 2_621_440
MAX_IN_FLIGHT = 10
MESSAGES_A_SECOND, BYTES_A_SECOND = 100.0, 512_000.0
MAX_ATTEMPTS = 10
CAREFUL_ATTEMPTS = 2
"""From here on a message is sent alone, so that the one that breaks the connection is found out."""
CONNECT_SECONDS = 10.0
SUBSCRIBE_SECONDS = 10.0
FLUSH_SECONDS = 1.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 10.0

Deliver = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where IoT Core is and who we are there."""

    host: str
    port: int
    certificate: Path
    key: Path
    authority: Path

    def context(self) -> ssl.SSLContext:
        """Return the TLS context for mutual authentication; raises StartError naming the file that is no good."""
        try:
            context = ssl.create_default_context(cafile=self.authority)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"--ca {self.authority}: {error}") from error
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"--cert {self.certificate} with --key {self.key}: {error}") from error
        return context


@dataclass(slots=True)
class _Queued:
    topic: str
    payload: bytes
    qos: int
    attempts: int = 0

    @property
    def size(self) -> int:
        return len(self.topic) + len(self.payload)


@dataclass(eq=False, slots=True)
class _Subscription:
    pattern: str
    qos: int
    deliver: Deliver


class Bridge:
    """Publishes, subscribes and stays connected; without an endpoint it is a nucleus that is offline for ever."""

    def __init__(
        self,
        thing: str,
        endpoint: Endpoint | None,
        queues_offline: bool,
        told: Callable[[bool, str], None],
        log: logging.Logger,
    ) -> None:
        self._thing, self._endpoint, self._queues_offline = thing, endpoint, queues_offline
        self._told, self._log = told, log
        self._context = endpoint.context() if endpoint is not None else None
        self._client: mqtt.Client | None = None
        self._connected = False
        self._queue: deque[_Queued] = deque()
        self._queued_bytes = 0
        self._in_flight: dict[int, _Queued] = {}
        self._pace = Pace(MESSAGES_A_SECOND, BYTES_A_SECOND)
        self._timer: asyncio.TimerHandle | None = None
        self._subscriptions: list[_Subscription] = []
        self._asked: dict[int, asyncio.Future[bool]] = {}
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._up = asyncio.Event()

    def start(self) -> None:
        """Begin to connect, and to connect again whenever the connection is lost."""
        if self._endpoint is not None:
            self._task = asyncio.create_task(self._stay_connected(), name="bridge")

    async def stop(self) -> None:
        """Send what is queued for a moment, then disconnect."""
        if self._connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    while self._connected and (self._queue or self._in_flight):
                        await asyncio.sleep(0.02)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Queue a message; raises BridgeError when it cannot be."""
        if not self._connected and (qos == 0 or not self._queues_offline):
            raise BridgeError(
                "not connected to IoT Core" + (", and QoS 0 is not queued" if self._queues_offline else "")
            )
        queued = _Queued(topic, payload, qos)
        if self._queued_bytes + queued.size > MAX_QUEUED_BYTES:
            raise BridgeError(f"the queue to IoT Core is full ({self._queued_bytes} of {MAX_QUEUED_BYTES} bytes)")
        self._queue.append(queued)
        self._queued_bytes += queued.size
        self._pump()

    async def subscribe(self, pattern: str, qos: int, deliver: Deliver) -> Callable[[], None]:
        """Subscribe, now or as soon as there is a connection; return what ends it. Raises BridgeError when refused."""
        subscription = _Subscription(pattern, qos, deliver)
        known = any(one.pattern == pattern and one.qos >= qos for one in self._subscriptions)
        self._subscriptions.append(subscription)

        def end() -> None:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
                if not any(one.pattern == pattern for one in self._subscriptions) and self._client is not None:
                    self._client.unsubscribe(pattern)

        if self._connected and not known and not await self._ask_for(pattern, qos):
            end()
            raise BridgeError(f"IoT Core refuses the subscription to {pattern!r}")
        return end

    async def _ask_for(self, pattern: str, qos: int) -> bool:
        """Subscribe on the present connection; when that is lost meanwhile, the next one will."""
        if self._client is None:
            return True
        code, mid = self._client.subscribe(pattern, qos)
        if code != mqtt.MQTT_ERR_SUCCESS or mid is None:
            return True
        answer = self._asked[mid] = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.wait_for(answer, SUBSCRIBE_SECONDS)
        except TimeoutError:
            self._log.warning("no SUBACK for %s in %g s", pattern, SUBSCRIBE_SECONDS)
            return True
        finally:
            self._asked.pop(mid, None)

    async def _stay_connected(self) -> None:
        pause = SHORTEST_PAUSE
        while True:
            try:
                await self._connect()
                pause = SHORTEST_PAUSE
                await self._lost.wait()
                why = "the connection was lost"
            except (OSError, TimeoutError, ValueError) as error:
                why = str(error) or type(error).__name__
            finally:
                await self._disconnect()
            self._told(False, why)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 # jitter, no secret
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _connect(self) -> None:
        """Make a new client and connect it: a client of paho's would send again for ever what breaks its connection."""
        endpoint, context = self._endpoint, self._context
        if endpoint is None or context is None:
            return
        self._lost.clear()
        self._up.clear()
        client = self._client = self._new_client(context)
        await asyncio.to_thread(client.connect, endpoint.host, endpoint.port, 30)
        client.loop_start()
        up, lost = asyncio.create_task(self._up.wait()), asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait({up, lost}, timeout=CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not self._up.is_set():
                raise OSError("IoT Core closed the connection" if self._lost.is_set() else "no CONNACK")
        finally:
            up.cancel()
            lost.cancel()
        self._connected = True
        self._told(True, f"{endpoint.host}:{endpoint.port}")
        wanted: dict[str, int] = {}
        for one in self._subscriptions:
            wanted[one.pattern] = max(one.qos, wanted.get(one.pattern, 0))
        for pattern, qos in wanted.items():
            client.subscribe(pattern, qos)
        self._pump()

    def _new_client(self, context: ssl.SSLContext) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._thing,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        client.tls_set_context(context)
        client.connect_timeout = CONNECT_SECONDS / 2
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        post = asyncio.get_running_loop().call_soon_threadsafe

        def on_connect(_client: object, _data: object, _flags: object, reason: ReasonCode, _more: object) -> None:
            if not reason.is_failure:
                post(self._up.set)

        def on_message(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
            post(self._arrived, message.topic, bytes(message.payload))

        def on_disconnect(
            _client: object, _data: object, _flags: object, _reason: ReasonCode, _more: Properties | None
        ) -> None:
            post(self._lost.set)

        def on_publish(_client: object, _data: object, mid: int, _reason: ReasonCode, _more: Properties) -> None:
            post(self._acknowledged, client, mid)

        def on_subscribe(_client: object, _data: object, mid: int, codes: list[ReasonCode], _more: Properties) -> None:
            post(self._granted, mid, codes)

        client.on_connect = on_connect
        client.on_message = on_message
        client.on_disconnect = on_disconnect
        client.on_publish = on_publish
        client.on_subscribe = on_subscribe
        return client

    async def _disconnect(self) -> None:
        self._connected = False
        client, self._client = self._client, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for answer in self._asked.values():
            if not answer.done():
                answer.set_result(True)
        self._requeue()
        if client is not None:
            client.on_disconnect = None
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    def _requeue(self) -> None:
        back = []
        for queued in self._in_flight.values():
            queued.attempts += 1
            if queued.attempts < MAX_ATTEMPTS:
                back.append(queued)
            else:
                self._queued_bytes -= queued.size
                self._log.error("given up after %d broken connections: %s", queued.attempts, queued.topic)
        self._in_flight.clear()
        self._queue.extendleft(reversed(back))

    def _pump(self) -> None:
        """Send what may be sent now."""
        while self._queue and self._connected and self._client is not None and self._timer is None:
            queued = self._queue[0]
            if len(self._in_flight) >= (1 if queued.attempts >= CAREFUL_ATTEMPTS else MAX_IN_FLIGHT):
                return
            loop = asyncio.get_running_loop()
            delay = self._pace.take(loop.time(), queued.size)
            if delay > 0:
                self._timer = loop.call_later(delay, self._again)
                return
            info = self._client.publish(queued.topic, queued.payload, queued.qos)
            if info.rc != mqtt.MQTT_ERR_SUCCESS:
                return
            self._queue.popleft()
            if queued.qos:
                self._in_flight[info.mid] = queued
            else:
                self._queued_bytes -= queued.size

    def _again(self) -> None:
        self._timer = None
        self._pump()

    def _acknowledged(self, client: mqtt.Client, mid: int) -> None:
        if client is self._client and (queued := self._in_flight.pop(mid, None)) is not None:
            self._queued_bytes -= queued.size
            self._pump()

    def _granted(self, mid: int, codes: list[ReasonCode]) -> None:
        refused = any(code.is_failure for code in codes)
        answer = self._asked.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(not refused)
        elif refused:
            self._log.error("IoT Core refuses a subscription that it granted before")

    def _arrived(self, topic: str, payload: bytes) -> None:
        for subscription in tuple(self._subscriptions):
            if matches(subscription.pattern, topic):
                subscription.deliver(topic, payload)
