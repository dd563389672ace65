"""Daemons of nucleus lite that restart separately, and the effect on the operations that need them.

systemd restarts a daemon after a second and holds its socket meanwhile, so calls wait and are answered afterwards.
The daemon's state in memory, such as subscriptions, is lost without a message to the components.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from device_sim.greengrass.errors import DaemonError

AWAY_SECONDS = 1.0
Action = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    """Do nothing."""


class Daemon:
    """One process; ``on_end`` drops its state when it ends, ``on_start`` starts its work again."""

    def __init__(self, on_end: Action = _nothing, on_start: Action = _nothing) -> None:
        self._on_end, self._on_start = on_end, on_start
        self._up = asyncio.Event()
        self._up.set()

    async def answering(self) -> None:
        """Wait until the process accepts calls."""
        await self._up.wait()

    async def restart(self, away: float = AWAY_SECONDS) -> None:
        """End the process and start it again after ``away`` seconds."""
        self._up.clear()
        try:
            await self._on_end()
            await asyncio.sleep(away)
            await self._on_start()
        finally:
            self._up.set()

    async def end(self) -> None:
        """End the process for good; calls to it get no answer any more."""
        self._up.clear()
        await self._on_end()


class Daemons:
    """Daemons of a nucleus by name; empty for the Java nucleus, which is one process."""

    def __init__(self, all_of_them: Mapping[str, Daemon], away: float = AWAY_SECONDS) -> None:
        self._daemons, self._away = dict(all_of_them), away

    async def answering(self, name: str) -> None:
        """Wait until the daemon accepts calls; returns at once for a name that this nucleus does not have."""
        if (daemon := self._daemons.get(name)) is not None:
            await daemon.answering()

    async def restart(self, name: str) -> None:
        """Restart a daemon; raises DaemonError for a name that this nucleus does not have."""
        daemon = self._daemons.get(name)
        if daemon is None:
            known = ", ".join(self._daemons) or "none: the Java nucleus is one process"
            raise DaemonError(f"daemon {name!r}: not on this nucleus, allowed: {known}")
        await daemon.restart(self._away)

    async def end(self, names: Iterable[str]) -> None:
        """End daemons of this nucleus for good, in this order."""
        for name in names:
            await self._daemons[name].end()
