"""``strandline doctor`` on this machine, and its check of a real broker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from device_sim.simulation.sensor_broker import find_mosquitto
from strandline.sources.broker import PASSWORD_VARIABLE
from tests.command_line import invoke
from tests.integration.source_peers import free_port
from tests.integration.test_mqtt_source import mosquitto, password_line

BROKER = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)")


def doctor(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Return exit code and findings by the name of the check."""
    done = invoke(["doctor", "--json", *arguments])
    return done.exit_code, {one["check"]: one for one in json.loads(done.output)}


def test_the_command_prints_findings_as_json(tmp_path: Path) -> None:
    code, found = doctor("--dir", str(tmp_path))
    assert code in (0, 1)
    assert {"python", "wheels", "clock", "disk space", "permissions", "nucleus"} <= found.keys()
    assert found["permissions"]["level"] == "ok"


@BROKER
def test_the_in_flight_window_of_a_broker_is_read(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "small", "allow_anonymous true", "max_inflight_messages 20") as port:
        _code, found = doctor("--broker", f"127.0.0.1:{port}")
    assert "MQTT 5" in found["broker"]["text"]
    assert found["broker in-flight"]["level"] == "warning"
    assert "window of 20 messages" in found["broker in-flight"]["text"]


@BROKER
def test_a_broker_that_requires_a_user_is_an_error_until_the_password_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users").write_text(password_line("gw", "right"))
    with mosquitto(tmp_path / "broker", f"password_file {tmp_path / 'users'}") as port:
        code, found = doctor("--broker", f"127.0.0.1:{port}")
        assert (code, found["broker"]["level"]) == (1, "error")
        assert PASSWORD_VARIABLE in found["broker"]["mend"]
        monkeypatch.setenv(PASSWORD_VARIABLE, "right")
        _code, found = doctor("--broker", f"127.0.0.1:{port}", "--user", "gw")
        assert found["broker"]["level"] == "ok"


def test_no_broker_at_an_address_is_an_error() -> None:
    code, found = doctor("--broker", f"127.0.0.1:{free_port()}")
    assert (code, found["broker"]["level"]) == (1, "error")
    assert "refused" in found["broker"]["text"]
