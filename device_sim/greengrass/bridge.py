"""Bridge to AWS IoT Core: one MQTT client with the gateway's certificate.

The profile's :class:`UplinkRules` define its queue, limits, waits and losses; :mod:`outbox` holds the publishes.
Paho's thread only posts to the event loop; everything else runs on the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from device_sim.greengrass.endpoint import Endpoint
from device_sim.greengrass.errors import BridgeError
from device_sim.greengrass.outbox import Outbox, Publish
from device_sim.greengrass.pace import Pace
from device_sim.greengrass.profile import UplinkRules
from device_sim.greengrass.topics import matches

MESSAGES_A_SECOND, BYTES_A_SECOND = 100.0, 512_000.0
CONNECT_SECONDS = 10.0
SUBSCRIBE_SECONDS = 10.0
FLUSH_SECONDS = 1.0
KEEPALIVE_SECONDS = 30
PACKET_OVERHEAD = 8
"""Bytes of an MQTT publish beside topic and payload."""

Deliver = Callable[[str, bytes], None]
Changed = Callable[[bool, str], None]
"""Called with True and the address after a connection, with False and the reason after its end."""


@dataclass(eq=False, slots=True)
class _Subscription:
    pattern: str
    qos: int
    deliver: Deliver


class Bridge:
    """Connection to IoT Core that reconnects by itself; without an endpoint the nucleus stays offline."""

    def __init__(
        self, thing: str, endpoint: Endpoint | None, rules: UplinkRules, changed: Changed, log: logging.Logger
    ) -> None:
        self._thing, self._endpoint, self._rules = thing, endpoint, rules
        self._changed, self._log = changed, log
        self._context = endpoint.context() if endpoint is not None else None
        self._client: mqtt.Client | None = None
        self._connected = False
        self._connected_once = asyncio.Event()
        self._outbox = Outbox(rules)
        self._pace = Pace(MESSAGES_A_SECOND, BYTES_A_SECOND)
        self._timer: asyncio.TimerHandle | None = None
        self._subscriptions: list[_Subscription] = []
        self._unanswered: dict[int, asyncio.Future[str]] = {}
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._up = asyncio.Event()

    async def start(self) -> None:
        """Connect, and reconnect whenever the connection is lost."""
        if self._endpoint is not None:
            self._task = asyncio.create_task(self._stay_connected(), name="bridge")

    async def stop(self) -> None:
        """Send waiting publishes for up to FLUSH_SECONDS, then disconnect."""
        if self._connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    while self._connected and not self._outbox.empty:
                        await asyncio.sleep(0.02)
        await self._end_task()

    async def crash(self) -> None:
        """Disconnect at once and drop subscriptions and unacknowledged publishes, as a killed iotcored does."""
        self._subscriptions.clear()
        await self._end_task()
        self._outbox = Outbox(self._rules)

    async def _end_task(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        """Queue a message for IoT Core; raises BridgeError when the nucleus would reject it."""
        self._outbox.add(Publish(topic, payload, qos, retain and self._rules.retains), self._connected)
        self._pump()

    async def subscribe(self, pattern: str, qos: int, deliver: Deliver) -> Callable[[], None]:
        """Subscribe and return the function that unsubscribes; raises BridgeError when the subscription is rejected.

        While offline this fails (nucleus lite, and Java after a lost connection) or waits (Java before its first one).
        """
        subscription = _Subscription(pattern, qos, deliver)
        if self._rules.awaits_suback and any(one.pattern == pattern for one in self._subscriptions):
            self._subscriptions.append(subscription)
            return lambda: self._unsubscribe(subscription)
        if self._rules.waits_for_connection:
            await self._connected_once.wait()
        client = self._client
        if not self._connected or client is None:
            raise BridgeError(f"subscribe to {pattern}: not connected to IoT Core")
        code, mid = client.subscribe(pattern, qos)
        if code != mqtt.MQTT_ERR_SUCCESS or mid is None:
            raise BridgeError(f"subscribe to {pattern}: {mqtt.error_string(code)}")
        if self._rules.awaits_suback and (refusal := await self._suback(mid)):
            raise BridgeError(f"subscribe to {pattern}: {refusal}")
        self._subscriptions.append(subscription)
        return lambda: self._unsubscribe(subscription)

    def _unsubscribe(self, subscription: _Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            shared = any(one.pattern == subscription.pattern for one in self._subscriptions)
            if not shared and self._client is not None:
                self._client.unsubscribe(subscription.pattern)

    async def _suback(self, mid: int) -> str:
        """Wait for a SUBACK; return the reason of a rejection, or an empty text."""
        answer = self._unanswered[mid] = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.wait_for(answer, SUBSCRIBE_SECONDS)
        except TimeoutError:
            return f"no SUBACK in {SUBSCRIBE_SECONDS:g} s"
        finally:
            self._unanswered.pop(mid, None)

    async def _stay_connected(self) -> None:
        pause = self._rules.first_pause
        while True:
            try:
                await self._connect()
                pause = self._rules.first_pause
                await self._lost.wait()
                why = "the connection was lost"
            except (OSError, TimeoutError, ValueError) as error:
                why = str(error) or type(error).__name__
            finally:
                await self._disconnect()
            self._changed(False, why)
            await asyncio.sleep(random.uniform(0.0, pause))  # noqa: S311 # jitter, no secret
            pause = min(self._rules.longest_pause, pause * 2)

    async def _connect(self) -> None:
        """Connect a new client: a reused paho client resends a publish that breaks the connection forever."""
        endpoint = self._endpoint
        if endpoint is None:
            return
        self._lost.clear()
        self._up.clear()
        client = self._client = self._new_client()
        await asyncio.to_thread(client.connect, endpoint.host, endpoint.port, KEEPALIVE_SECONDS)
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
        self._connected_once.set()
        self._changed(True, f"{endpoint.host}:{endpoint.port}")
        wanted: dict[str, int] = {}
        for one in self._subscriptions:
            wanted[one.pattern] = max(one.qos, wanted.get(one.pattern, 0))
        for pattern, qos in wanted.items():
            code, _ = client.subscribe(pattern, qos)
            if code != mqtt.MQTT_ERR_SUCCESS and not self._rules.awaits_suback:
                # Nucleus lite drops a filter that it cannot subscribe to again, without an error.
                self._subscriptions = [one for one in self._subscriptions if one.pattern != pattern]
        self._pump()

    def _new_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._thing,
            clean_session=not self._rules.persistent_session,
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        client.tls_set_context(self._context)
        client.connect_timeout = CONNECT_SECONDS / 2
        client.max_inflight_messages_set(self._rules.in_flight)
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
        for answer in self._unanswered.values():
            if not answer.done():
                answer.set_result("the connection was lost")
        for dropped in self._outbox.disconnected():
            self._log.error("dropped after %d broken connections: %s", dropped.attempts, dropped.topic)
        if client is not None:
            client.on_disconnect = None
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    def _pump(self) -> None:
        """Send the publishes that the limits allow now."""
        while self._connected and self._client is not None and self._timer is None:
            publish = self._outbox.next()
            if publish is None:
                return
            loop = asyncio.get_running_loop()
            delay = self._pace.take(loop.time(), publish.size) if self._rules.paced else 0.0
            if delay > 0:
                self._timer = loop.call_later(delay, self._pump_again)
                return
            info = self._client.publish(publish.topic, publish.payload, publish.qos, publish.retain)
            if info.rc != mqtt.MQTT_ERR_SUCCESS:
                return
            self._outbox.sent(info.mid)

    def _pump_again(self) -> None:
        self._timer = None
        self._pump()

    def _acknowledged(self, client: mqtt.Client, mid: int) -> None:
        if client is self._client and self._outbox.acknowledged(mid):
            self._pump()

    def _granted(self, mid: int, codes: list[ReasonCode]) -> None:
        refusals = [str(code) for code in codes if code.is_failure]
        answer = self._unanswered.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(f"IoT Core rejects it: {refusals[0]}" if refusals else "")
        elif refusals:
            self._log.error("IoT Core rejects a subscription: %s", refusals[0])

    def _arrived(self, topic: str, payload: bytes) -> None:
        largest, size = self._rules.max_inbound_bytes, len(topic.encode()) + len(payload) + PACKET_OVERHEAD
        if largest is not None and size > largest:
            self._log.error("a message of %d bytes on %s breaks the connection, %d fit", size, topic, largest)
            self._lost.set()
            return
        for subscription in tuple(self._subscriptions):
            if matches(subscription.pattern, topic):
                subscription.deliver(topic, payload)
