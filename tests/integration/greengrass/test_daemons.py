"""Tests of the daemons of nucleus lite and of the control socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from device_sim.greengrass import control
from device_sim.greengrass.control import ControlServer
from device_sim.greengrass.daemons import Daemon, Daemons
from device_sim.greengrass.errors import DaemonError

SECONDS = 5.0


def test_calls_wait_while_a_daemon_is_away_and_keep_their_order() -> None:
    async def test() -> None:
        events: list[str] = []
        away = asyncio.Event()

        async def lose() -> None:
            events.append("lost")

        async def begin() -> None:
            await away.wait()
            events.append("back")

        daemons = Daemons({"iotcored": Daemon(lose, begin)}, away=0.0)

        async def call(number: int) -> None:
            await daemons.answering("iotcored")
            events.append(f"call {number}")

        await call(0)
        restarting = asyncio.create_task(daemons.restart("iotcored"))
        await asyncio.sleep(0)
        calls = [asyncio.create_task(call(number)) for number in (1, 2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert events == ["call 0", "lost"]
        away.set()
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(restarting, *calls)
        assert events == ["call 0", "lost", "back", "call 1", "call 2"]

    asyncio.run(test())


def test_a_daemon_that_the_nucleus_lacks_answers_always_and_cannot_be_restarted() -> None:
    async def test() -> None:
        daemons = Daemons({})
        async with asyncio.timeout(SECONDS):
            await daemons.answering("iotcored")
        with pytest.raises(DaemonError, match="the Java nucleus is one process"):
            await daemons.restart("iotcored")
        with pytest.raises(DaemonError, match="daemon 'iotcoreX': not on this nucleus, allowed: iotcored"):
            await Daemons({"iotcored": Daemon()}).restart("iotcoreX")

    asyncio.run(test())


def test_the_control_socket_restarts_daemons_and_rejects_other_requests(tmp_path: Path) -> None:
    lost: list[str] = []

    async def lose() -> None:
        lost.append("iotcored")

    async def test() -> None:
        server = ControlServer(Daemons({"iotcored": Daemon(lose)}, away=0.0))
        await server.start(tmp_path)
        assert server.path.stat().st_mode & 0o077 == 0
        (tmp_path / control.CLI_INFO).write_text(json.dumps({"control": str(server.path)}))
        try:
            await asyncio.to_thread(control.restart, tmp_path, "iotcored", SECONDS)
            with pytest.raises(DaemonError, match="allowed: iotcored"):
                await asyncio.to_thread(control.restart, tmp_path, "no such daemon", SECONDS)
            for line in (b"nonsense\n", b'["restart"]\n', b'{"restart": 1}\n', b'{"stop": "iotcored"}\n'):
                reader, writer = await asyncio.open_unix_connection(server.path)
                writer.write(line)
                async with asyncio.timeout(SECONDS):
                    assert "error" in json.loads(await reader.readline())
                writer.close()
        finally:
            await server.stop()

    asyncio.run(test())
    assert lost == ["iotcored"]
    with pytest.raises(DaemonError, match="no nucleus answers"):
        control.restart(tmp_path, "iotcored", SECONDS)
    assert control.main(["too", "many", "arguments"]) == 2
    assert control.main([str(tmp_path), "iotcored"]) == 1
