"""Tests of the connection protocol, frame by frame."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

import pytest

from device_sim.greengrass import connection as module
from device_sim.greengrass import eventstream
from device_sim.greengrass.connection import Answer, Connection, Stream
from device_sim.greengrass.errors import OperationError
from device_sim.greengrass.eventstream import Decoder, Frame
from device_sim.greengrass.identities import Identity
from device_sim.greengrass.messages import Type
from device_sim.greengrass.profile import JAVA, LITE, Profile

SECONDS = 5.0
TOKEN = secrets.token_hex(4)


class Client:
    """Client end of the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        self.streams: list[Stream] = []

    def send(self, kind: int, stream: int, payload: bytes = b"", flags: int = 0, **texts: str) -> None:
        headers = [
            eventstream.int32(":message-type", kind),
            eventstream.int32(":message-flags", flags),
            eventstream.int32(":stream-id", stream),
            *(eventstream.text(name.replace("version", ":version"), value) for name, value in texts.items()),
        ]
        self.writer.write(eventstream.encode(Frame(tuple(headers), payload)))

    def connect(self, secret: str = TOKEN, version: str = "0.1.0") -> None:
        self.send(Type.CONNECT, 0, json.dumps({"authToken": secret}).encode(), version=version)

    def ask(self, stream: int, operation: str, payload: object = None) -> None:
        self.send(Type.APPLICATION_MESSAGE, stream, json.dumps(payload or {}).encode(), operation=operation)

    async def receive(self) -> tuple[Mapping[str, Any], Any]:
        """Return the next frame's headers and its payload."""
        async with asyncio.timeout(SECONDS):
            while not self._frames:
                data = await self.reader.read(65_536)
                if not data:
                    raise EOFError
                self._frames += self._decoder.feed(data)
        frame = self._frames.pop(0)
        return {header.name: header.value for header in frame.headers}, json.loads(frame.payload or b"null")

    async def ended(self) -> bool:
        """Return whether the server has closed without a further message."""
        with contextlib.suppress(EOFError, ConnectionError):
            await self.receive()
            return False
        return True


async def answer(identity: Identity, operation: str, request: Mapping[str, Any], stream: Stream) -> Answer:
    if operation == "fails":
        raise OperationError("ResourceNotFoundError", "it is not there", resourceName="x")
    if operation == "breaks":
        raise RuntimeError("a mistake of ours")
    if operation == "streams":
        stream.event("Early", {"n": 1})
        await asyncio.sleep(0)
        return "Opened", {}, True
    return f"{operation}Response", {"who": identity.name, **request}, False


@contextlib.asynccontextmanager
async def connected(profile: Profile = JAVA, kept: list[Stream] | None = None) -> AsyncIterator[Client]:
    """Yield a client of a server's connection."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)

    async def dispatch(identity: Identity, operation: str, request: Mapping[str, Any], stream: Stream) -> Answer:
        if kept is not None:
            kept.append(stream)
        return await answer(identity, operation, request, stream)

    holders = {TOKEN: Identity("io.x.One")}
    connection = Connection(
        reader, writer, lambda token: holders.get(str(token)), dispatch, profile, logging.getLogger("strandline.test")
    )
    serving = asyncio.create_task(connection.serve())
    client = Client(*await asyncio.open_connection(sock=theirs))
    try:
        yield client
    finally:
        client.writer.close()
        async with asyncio.timeout(SECONDS):
            await serving


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


async def handshake(client: Client) -> None:
    client.connect()
    headers, _ = await client.receive()
    assert (headers[":message-type"], headers[":message-flags"], headers[":stream-id"]) == (Type.CONNECT_ACK, 1, 0)


@pytest.mark.parametrize(("profile", "flags"), [(JAVA, 2), (LITE, 0)])
def test_a_request_is_answered_on_its_stream(profile: Profile, flags: int) -> None:
    async def test() -> None:
        async with connected(profile) as client:
            await handshake(client)
            client.ask(1, "op", {"a": 1})
            headers, payload = await client.receive()
            assert headers == {
                ":message-type": Type.APPLICATION_MESSAGE,
                ":message-flags": flags,
                ":stream-id": 1,
                ":content-type": "application/json",
                "service-model-type": "opResponse",
            }
            assert payload == {"who": "io.x.One", "a": 1}

    run(test)


def test_a_wrong_token_is_answered_and_the_connection_closed() -> None:
    async def test() -> None:
        async with connected() as client:
            client.connect("wrong")
            headers, _ = await client.receive()
            assert (headers[":message-type"], headers[":message-flags"]) == (Type.CONNECT_ACK, 0)
            assert await client.ended()

    run(test)


@pytest.mark.parametrize(
    "say",
    [
        lambda client: client.ask(1, "op"),
        lambda client: client.connect(version="9.9.9"),
        lambda client: client.send(Type.CONNECT, 0, b"no json", version="0.1.0"),
        lambda client: client.writer.write(b"GET / HTTP/1.1\r\n\r\n"),
        lambda client: client.writer.write(eventstream.encode(Frame((eventstream.text(":message-type", "4"),)))),
    ],
)
def test_protocol_violations_before_connect_are_answered_and_the_connection_closed(
    say: Callable[[Client], None],
) -> None:
    async def test() -> None:
        async with connected() as client:
            say(client)
            headers, payload = await client.receive()
            assert headers[":message-type"] == Type.PROTOCOL_ERROR
            assert payload["message"]
            assert await client.ended()

    run(test)


@pytest.mark.parametrize(
    "say",
    [
        lambda client: client.connect(),
        lambda client: client.send(Type.APPLICATION_MESSAGE, 5),
        lambda client: client.ask(0, "op"),
        lambda client: client.ask(-1, "op"),
        lambda client: client.send(Type.CONNECT_ACK, 0),
        lambda client: (client.ask(7, "op"), client.ask(6, "op")),
        lambda client: (client.ask(7, "streams"), client.ask(7, "op")),
    ],
)
def test_later_protocol_violations_are_answered_and_the_connection_closed(say: Callable[[Client], None]) -> None:
    async def test() -> None:
        async with connected() as client:
            await handshake(client)
            say(client)
            headers, _ = await client.receive()
            while headers[":message-type"] == Type.APPLICATION_MESSAGE:
                headers, _ = await client.receive()
            assert headers[":message-type"] == Type.PROTOCOL_ERROR
            assert await client.ended()

    run(test)


def test_a_ping_is_answered_with_its_payload() -> None:
    async def test() -> None:
        async with connected() as client:
            await handshake(client)
            client.send(Type.PING, 0, b'"hello"')
            headers, payload = await client.receive()
            assert (headers[":message-type"], payload) == (Type.PING_RESPONSE, "hello")

    run(test)


def test_a_failing_request_is_answered_and_disturbs_no_other() -> None:
    async def test() -> None:
        async with connected() as client:
            await handshake(client)
            client.ask(1, "fails")
            client.ask(2, "breaks")
            client.send(Type.APPLICATION_MESSAGE, 3, b"{", operation="op")
            client.send(Type.APPLICATION_MESSAGE, 4, b"[]", operation="op")
            client.ask(5, "op")
            answers = {
                headers[":stream-id"]: (headers, body) for headers, body in [await client.receive() for _ in "12345"]
            }
            headers, body = answers[1]
            assert (headers[":message-type"], headers[":message-flags"]) == (Type.APPLICATION_ERROR, 2)
            assert headers["service-model-type"] == "aws.greengrass#ResourceNotFoundError"
            assert body == {
                "_message": "it is not there",
                "_errorCode": "ResourceNotFoundError",
                "message": "it is not there",
                "_service": "aws.greengrass#GreengrassCoreIPC",
                "resourceName": "x",
            }
            assert [answers[number][1].get("_errorCode") for number in (2, 3, 4, 5)] == [
                "ServiceError",
                "InvalidArgumentsError",
                "InvalidArgumentsError",
                None,
            ]

    run(test)


def test_lites_errors_carry_their_text_where_the_sdk_does_not_read_it() -> None:
    async def test() -> None:
        async with connected(LITE) as client:
            await handshake(client)
            client.ask(1, "fails")
            headers, body = await client.receive()
            assert (headers[":message-type"], headers[":message-flags"]) == (Type.APPLICATION_ERROR, 2)
            assert headers["service-model-type"] == "aws.greengrass#ResourceNotFoundError"
            assert body == {"_message": "it is not there", "_errorCode": "ResourceNotFoundError"}

    run(test)


def test_events_wait_for_the_response_and_end_with_the_stream() -> None:
    async def test() -> None:
        kept: list[Stream] = []
        async with connected(kept=kept) as client:
            await handshake(client)
            client.ask(1, "streams")
            assert [(await client.receive())[0]["service-model-type"] for _ in "12"] == ["Opened", "Early"]
            ended: list[str] = []
            kept[0].on_close(lambda: ended.append("closed"))
            client.send(Type.APPLICATION_MESSAGE, 1, flags=2)
            client.send(
                Type.APPLICATION_MESSAGE, 1, flags=2
            )  # a second end is allowed: both sides can end at the same time
            client.ask(2, "op")
            assert (await client.receive())[0][":stream-id"] == 2
            assert ended == ["closed"]
            kept[0].event("Late", {})
            client.ask(3, "op")
            assert (await client.receive())[0][":stream-id"] == 3

    run(test)


def test_streams_end_with_the_connection() -> None:
    async def test() -> None:
        kept: list[Stream] = []
        ended: list[str] = []
        async with connected(kept=kept) as client:
            await handshake(client)
            client.ask(1, "streams")
            await client.receive()
            kept[0].on_close(lambda: ended.append("closed"))
        assert ended == ["closed"]

    run(test)


@pytest.mark.parametrize("secret", ["wrong", ""])
def test_lite_answers_a_wrong_token_with_the_end_of_the_connection(secret: str) -> None:
    async def test() -> None:
        async with connected(LITE) as client:
            client.connect(secret)
            assert await client.ended()

    run(test)


def test_only_java_answers_a_packet_over_its_limit_before_it_closes() -> None:
    async def test() -> None:
        for profile in (LITE, JAVA):
            async with connected(profile) as client:
                await handshake(client)
                client.writer.write(b"".join(oversized(profile.max_packet_bytes + 1)))
                if not profile.silent_close:
                    headers, _ = await client.receive()
                    assert headers[":message-type"] == Type.PROTOCOL_ERROR
                assert await client.ended()

    run(test)


def oversized(size: int) -> tuple[bytes, bytes]:
    """Return the prelude of a frame of ``size`` bytes."""
    data = eventstream.encode(Frame((), bytes(size - eventstream.OVERHEAD)), size)
    return data[:12], b""


def test_a_client_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNSENT_BYTES", 1_000_000)

    async def test() -> None:
        kept: list[Stream] = []
        async with connected(kept=kept) as client:
            await handshake(client)
            client.ask(1, "streams")
            await client.receive()
            ended: list[str] = []
            kept[0].on_close(lambda: ended.append("closed"))
            for _ in range(100):
                kept[0].event("Big", {"x": "x" * 100_000})
            async with asyncio.timeout(SECONDS):
                while not ended:
                    await asyncio.sleep(0)

    run(test)


def test_a_client_that_never_connects_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.05)

    async def test() -> None:
        async with connected() as client:
            assert await client.ended()

    run(test)


def test_streams_above_the_limit_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STREAMS", 2)

    async def test() -> None:
        async with connected() as client:
            await handshake(client)
            for number in (1, 2, 3):
                client.ask(number, "streams")
            seen = [await client.receive() for _ in range(5)]
            refused = [headers[":stream-id"] for headers, body in seen if body.get("_errorCode") == "ServiceError"]
            assert refused == [3]

    run(test)
