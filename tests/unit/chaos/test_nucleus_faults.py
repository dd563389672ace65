"""Tests of the faults of the nucleus, with an in-memory gateway and line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from device_sim.chaos import nucleus_faults as module
from device_sim.chaos.errors import ChaosError
from device_sim.chaos.gateway import FORWARDER, applied_setting
from device_sim.chaos.nucleus_faults import SETTING, nucleus_faults


@dataclass
class FakeGateway:
    """The methods of a gateway that the faults use."""

    profile: str = "lite"
    away: bool = False
    stores: bool = True
    events: list[str] = field(default_factory=list)
    stored: dict[str, Any] = field(default_factory=dict)
    expected: dict[tuple[str, str], Any] = field(default_factory=dict)

    def restart_nucleus(self, kill: bool) -> int | None:
        self.events.append("killed" if kill else "ended")
        return None if self.away else 7

    def restart_daemon(self, name: str) -> bool:
        self.events.append(name)
        return not self.away

    def configure(self, component: str, values: dict[str, Any]) -> bool:
        if self.stores:
            self.stored |= values
        return not self.away

    def configured(self, component: str, key: str) -> Any:
        return self.stored.get(key)

    def expect(self, component: str, key: str, value: Any) -> None:
        self.expected[component, key] = value


class FakeLine:
    """A line that notes whether it is open."""

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def refuse(self) -> None:
        self._events.append("refused")

    def accept(self) -> None:
        self._events.append("accepted")


def faults(gateway: FakeGateway) -> dict[str, Any]:
    return nucleus_faults(gateway, FakeLine(gateway.events))  # type: ignore[arg-type]


@pytest.mark.parametrize(("choice", "how"), [(0.2, "killed"), (0.8, "ended")])
def test_a_boot_offline_restarts_the_nucleus_while_the_cloud_is_closed(choice: float, how: str) -> None:
    gateway = FakeGateway()
    action = faults(gateway)["boot offline"](choice)
    assert action.apply() == f"process 7 {how}, and another started without the cloud"
    assert gateway.events == ["refused", how]
    action.undo()
    assert gateway.events[-1] == "accepted"


def test_a_boot_offline_opens_the_line_again_without_a_nucleus() -> None:
    gateway = FakeGateway(away=True)
    assert faults(gateway)["boot offline"](0.2).apply() is None
    assert gateway.events == ["refused", "killed", "accepted"]


@pytest.mark.parametrize(
    ("kind", "daemon"),
    [
        ("IoT Core subscription lost", "iotcored"),
        ("local subscriptions lost", "ggpubsubd"),
        ("nucleus daemon restarted", "ggipcd"),
    ],
)
def test_on_lite_a_lost_subscription_is_a_restarted_daemon(kind: str, daemon: str) -> None:
    gateway = FakeGateway()
    assert faults(gateway)[kind](0.5).apply() == f"{daemon} restarted"
    assert gateway.events == [daemon]
    assert faults(FakeGateway(away=True))[kind](0.5).apply() is None


def test_java_nucleus_is_restarted_gracefully() -> None:
    gateway = FakeGateway(profile="java")
    assert faults(gateway)["nucleus daemon restarted"](0.5).apply() == "process 7 ended, and another started"
    assert gateway.events == ["ended"]


def test_an_update_after_lost_configuration_subscriptions_must_be_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = FakeGateway()
    assert faults(gateway)["configuration subscription lost"](0.5).apply() == (
        "ggconfigd restarted, then notice_interval_s set to 5"
    )
    assert gateway.events == ["ggconfigd"]
    assert gateway.expected == {(FORWARDER, SETTING): 5.0}
    monkeypatch.setattr(module, "STORE_SECONDS", 0.0)
    silent = FakeGateway(stores=False)
    with pytest.raises(ChaosError, match="has not stored notice_interval_s"):
        faults(silent)["configuration subscription lost"](0.5).apply()
    assert silent.expected == {}


def test_the_setting_last_logged_counts() -> None:
    lines = [
        json.dumps({"message": "started", "config": f"Config(ack='cloud', {SETTING}=5.0)"}),
        "no JSON, and yet it names notice_interval_s",
        json.dumps({"message": "configuration updated", "config": f"Config({SETTING}=4.5, in_flight=32)"}),
        json.dumps({"message": "counters", SETTING: 9}),
    ]
    assert applied_setting(lines, SETTING) == 4.5
    assert applied_setting(lines[:1], SETTING) == 5.0
    assert applied_setting(lines, "absent") is None
