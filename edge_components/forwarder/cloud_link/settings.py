"""Settings of the link over MQTT: the forwarder's configuration key ``mqtt``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_components.common.config import absolute_path, flag, integer, load, text
from edge_components.common.errors import ConfigError
from edge_components.common.mqtt.credentials import CredentialFiles, credential_problems
from edge_components.forwarder.cloud_link import iot_hub
from wire import topics
from wire.topics import Lane

GATEWAY, LANE = "{gateway}", "{lane}"
IOT_HUB = "iot_hub"


def _topic(default: str, doc: str, placeholders: str) -> Any:
    return text(
        default,
        doc,
        pattern=r"[^+#{}\x00-\x1f]*(\{(gateway|lane)\}[^+#{}\x00-\x1f]*)*",
        allowed=f"a topic without + and #; {placeholders}",
    )


@dataclass(frozen=True, slots=True)
class MqttLinkSettings:
    """Every key of ``mqtt``."""

    service: str = text(
        "broker",
        "`broker`, any MQTT broker, or `iot_hub`, Azure IoT Hub, which has topics, user names and tokens of its own",
        choices=("broker", IOT_HUB),
    )
    host: str = text(
        "",
        "name or address of the broker or of the hub (`NAME.azure-devices.net`); required with `uplink: mqtt`",
        pattern=r"[A-Za-z0-9._:\-]{0,253}",
        allowed="a host name or address",
    )
    port: int = integer(8883, 1, 65_535, "port; 8883 is usual with TLS, 1883 without")
    version: str = text(
        "auto",
        "protocol version; `auto` is 5, and 3.1.1 with a broker that rejects it and with `iot_hub`",
        choices=("auto", "5", "3.1.1"),
    )
    client_id: str = text(
        "",
        "client id; empty is the gateway's name, which `iot_hub` requires",
        pattern=r"[A-Za-z0-9_:.\-]{0,128}",
        allowed="at most 128 of A-Z a-z 0-9 _ : . -",
    )
    keepalive_s: int = integer(30, 5, 1_000, "seconds after which a silent connection is probed")
    tls: bool = flag(True, "connect with TLS and check the broker's certificate and name")
    ca_file: str = absolute_path("certificates trusted to sign the broker's; empty for the system's")
    cert_file: str = absolute_path("the gateway's certificate")
    key_file: str = absolute_path("the key of the gateway's certificate")
    username: str = text(
        "", "user at the broker; empty for none", pattern=r"[^\x00-\x1f]{0,128}", allowed="text of 0 to 128 characters"
    )
    password_file: str = absolute_path("file whose content is the password, so that deployments do not contain it")
    sas_key_file: str = absolute_path(
        "`iot_hub`: file with the device's key in base64, which signs the tokens; not beside a certificate"
    )
    sas_lifetime_s: int = integer(
        3600, 300, 86_400, "`iot_hub`: seconds for which a token is valid; it is renewed after four fifths of them"
    )
    batch_topic: str = _topic(
        "strandline/v1/{gateway}/{lane}",
        "`broker`: topic of the batches; `{lane}` is `urgent` or `bulk`",
        "{gateway} and {lane} are replaced",
    )
    ack_topic: str = _topic(
        "strandline/v1/{gateway}/ack", "`broker`: topic of the cloud's acknowledgements", "{gateway} is replaced"
    )

    def __post_init__(self) -> None:
        problems = credential_problems(
            tls=self.tls,
            cert_file=self.cert_file,
            key_file=self.key_file,
            username=self.username,
            password_file=self.password_file,
        )
        if LANE in self.ack_topic:
            problems.append(f"ack_topic: {self.ack_topic!r} is not allowed, expected a topic without {LANE}")
        if not self.batch_topic or not self.ack_topic:
            problems.append("batch_topic, ack_topic: '' is not allowed, expected a topic")
        problems += self._problems_of_iot_hub() if self.service == IOT_HUB else self._problems_of_broker()
        if problems:
            raise ConfigError(problems)

    def _problems_of_broker(self) -> list[str]:
        return ["sas_key_file: only with service iot_hub"] if self.sas_key_file else []

    def _problems_of_iot_hub(self) -> list[str]:
        problems = []
        if not self.tls:
            problems.append("tls: False is not allowed, expected true with service iot_hub")
        if self.version == "5":
            problems.append("version: '5' is not allowed, expected auto or 3.1.1 with service iot_hub")
        if bool(self.sas_key_file) == bool(self.cert_file):
            problems.append("sas_key_file, cert_file: one of them is required with service iot_hub, not both")
        names = ("client_id", "username", "password_file")
        problems += [f"{name}: only with service broker" for name in names if getattr(self, name)]
        defaults = {name: MqttLinkSettings.__dataclass_fields__[name].default for name in ("batch_topic", "ack_topic")}
        problems += [f"{name}: only with service broker" for name in defaults if getattr(self, name) != defaults[name]]
        return problems

    @property
    def address(self) -> str:
        """Host and port, for logs."""
        return f"{self.host}:{self.port}"

    @property
    def credential_files(self) -> CredentialFiles:
        """Files of the gateway's and the broker's identity."""
        secret = self.sas_key_file or self.password_file
        return CredentialFiles(self.tls, self.ca_file, self.cert_file, self.key_file, secret)

    def batches(self, gateway: str, lane: Lane) -> str:
        """Return the topic of the batches of a lane."""
        if self.service == IOT_HUB:
            return iot_hub.batch_topic(gateway, topics.cloud_lane(lane))
        return self.batch_topic.replace(GATEWAY, gateway).replace(LANE, topics.cloud_lane(lane))

    def acknowledgements(self, gateway: str) -> tuple[str, ...]:
        """Return the topic filters of the acknowledgements."""
        if self.service == IOT_HUB:
            return iot_hub.acknowledgement_filter(gateway), iot_hub.METHODS_FILTER
        return (self.ack_topic.replace(GATEWAY, gateway),)


def read_settings(value: Any) -> MqttLinkSettings:
    """Return the settings; raises ConfigError with a sentence for each invalid key, or ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError("an object with the keys of the section Uplink over MQTT")
    try:
        return load(MqttLinkSettings, value)
    except ConfigError as error:
        raise ConfigError([f"mqtt.{problem}" for problem in error.problems]) from error
