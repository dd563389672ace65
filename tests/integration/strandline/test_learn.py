"""``strandline source learn`` connects as an MQTT entry does: with a user, TLS, a client certificate, WebSockets."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from device_sim.chaos.certificates import Authority
from device_sim.simulation.sensor_broker import find_mosquitto
from strandline.errors import CommandError
from strandline.sources.broker import PASSWORD_VARIABLE
from tests.command_line import invoke
from tests.integration.test_mqtt_source import mosquitto, password_line, tls, websockets

pytestmark = pytest.mark.skipif(
    find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"
)


@contextmanager
def publishing(
    port: int, *, user: str = "", password: str = "", context: ssl.SSLContext | None = None, transport: Any = "tcp"
) -> Iterator[None]:
    """Keep a retained payload on the broker."""
    client = paho.Client(CallbackAPIVersion.VERSION2, transport=transport)
    if user:
        client.username_pw_set(user, password)
    if context is not None:
        client.tls_set_context(context)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("localhost", port)
    client.loop_start()
    assert connected.wait(10)
    client.publish("hall/pump/flow", b"1.5", 1, retain=True).wait_for_publish(10)
    yield
    client.disconnect()
    client.loop_stop()


def learn(port: int, *options: str) -> dict[str, Any]:
    """Return the proposed entry."""
    arguments = ["source", "learn", f"localhost:{port}", "--seconds", "0.7", "--topics", "hall/#", *options]
    run = invoke(arguments, catch_exceptions=False)
    assert run.exit_code == 0, run.output
    document, _end = json.JSONDecoder().raw_decode(run.output)
    (entry,) = document["sources"]
    assert entry["topics"] == [{"topic": "hall/pump/{level3}"}]
    return dict(entry)


def test_a_user_with_a_password_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users").write_text(password_line("gw", "right"))
    with mosquitto(tmp_path / "broker", f"password_file {tmp_path / 'users'}") as port:
        monkeypatch.setenv(PASSWORD_VARIABLE, "right")
        with publishing(port, user="gw", password="right"):  # noqa: S106
            assert learn(port, "--user", "gw")["username"] == "gw"
        monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
        with pytest.raises(CommandError, match="refuses the connection"):
            learn(port, "--user", "gw")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the socket open
def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    gateway = authority.gateway("gw-learn")
    with mosquitto(
        tmp_path / "broker", *tls(authority)[1:], "require_certificate true", "use_identity_as_username true"
    ) as port:
        context = ssl.create_default_context(cafile=str(authority.ca))
        context.load_cert_chain(gateway.cert, gateway.key)
        files = ["--ca", str(authority.ca), "--cert", str(gateway.cert), "--key", str(gateway.key)]
        with publishing(port, context=context):
            entry = learn(port, *files)
        assert (entry["tls"], entry["ca_file"]) == (True, str(authority.ca))
        with pytest.raises(CommandError, match="certificate"):
            learn(port, "--tls")


def test_websockets(tmp_path: Path) -> None:
    with websockets(tmp_path / "broker") as port, publishing(port, transport="websockets"):
        assert learn(port, "--websocket")["transport"] == "websockets"
