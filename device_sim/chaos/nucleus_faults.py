"""Faults of the nucleus: restarts with and without the cloud, and restarts of daemons of nucleus lite.

A restart of a daemon drops subscriptions without a message: the components' streams stay open without events.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from device_sim.chaos.action import Action
from device_sim.chaos.errors import ChaosError
from device_sim.chaos.gateway import FORWARDER, Gateway
from device_sim.chaos.proxy import Line
from device_sim.greengrass.profile import JAVA

Make = Callable[[float], Action]
SETTING, NOTICE_SECONDS = "notice_interval_s", (4.0, 6.0)
"""Forwarder setting that a configuration update changes, and its bounds."""
STORE_SECONDS = 30.0


def nucleus_faults(gateway: Gateway, cloud: Line) -> dict[str, Make]:
    """Return the functions that create the action of each fault of the nucleus from a random choice."""
    return {
        "nucleus killed": lambda _: Action(lambda: _restarted(gateway, kill=True)),
        "boot offline": lambda choice: _boot_offline(gateway, cloud, kill=choice < 0.5),
        "nucleus daemon restarted": lambda _: Action(lambda: _restart_nucleus_or_ipc(gateway)),
        "IoT Core subscription lost": lambda _: Action(lambda: _restart_daemon(gateway, "iotcored")),
        "local subscriptions lost": lambda _: Action(lambda: _restart_daemon(gateway, "ggpubsubd")),
        "configuration subscription lost": lambda choice: Action(lambda: _lose_updates(gateway, choice)),
    }


def _restarted(gateway: Gateway, kill: bool) -> str | None:
    pid = gateway.restart_nucleus(kill)
    return None if pid is None else f"process {pid} {'killed' if kill else 'ended'}, and another started"


def _boot_offline(gateway: Gateway, cloud: Line, kill: bool) -> Action:
    """Restart the nucleus while the cloud's port is closed; the port is opened again at the end."""

    def apply() -> str | None:
        cloud.refuse()
        what = _restarted(gateway, kill)
        if what is None:
            cloud.accept()
            return None
        return f"{what} without the cloud"

    return Action(apply, cloud.accept)


def _restart_nucleus_or_ipc(gateway: Gateway) -> str | None:
    """Restart the process that serves the components' connections: the Java nucleus, or the IPC daemon of lite."""
    if gateway.profile == JAVA.name:
        return _restarted(gateway, kill=False)
    return _restart_daemon(gateway, "ggipcd")


def _restart_daemon(gateway: Gateway, daemon: str) -> str | None:
    return f"{daemon} restarted" if gateway.restart_daemon(daemon) else None


def _lose_updates(gateway: Gateway, choice: float) -> str | None:
    """End the configuration subscriptions, then update a configuration, which the forwarder must still apply."""
    if not gateway.restart_daemon("ggconfigd"):
        return None
    shortest, longest = NOTICE_SECONDS
    seconds = round(shortest + choice * (longest - shortest), 6)
    if not gateway.configure(FORWARDER, {SETTING: seconds}):
        return None
    deadline = time.monotonic() + STORE_SECONDS
    while gateway.configured(FORWARDER, SETTING) != seconds:  # the deployment waits for the one before it
        if time.monotonic() > deadline:
            raise ChaosError(f"the nucleus has not stored {SETTING} in {STORE_SECONDS:g} s")
        time.sleep(0.1)
    gateway.expect(FORWARDER, SETTING, seconds)
    return f"ggconfigd restarted, then {SETTING} set to {seconds:g}"
