"""The settings of one broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from edge_components.common.config import absolute_path, flag, integer, load, mapping, text
from edge_components.common.errors import ConfigError, CredentialsError
from edge_components.common.mqtt.credentials import CredentialFiles, Credentials, credential_problems
from edge_components.sensor_reader.errors import SourceError
from edge_components.sensor_reader.mapping.bindings import TOPICS, Binding, preset_names, read_bindings
from edge_components.sensor_reader.mapping.settings import KEYS


def _short(default: str, doc: str, least: int = 0) -> Any:
    return text(default, doc, pattern=rf"[^\x00-\x1f]{{{least},128}}", allowed=f"text of {least} to 128 characters")


def _list(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError(TOPICS)
    return list(value)


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """One broker. The keys of edge_components.sensor_reader.mapping.settings apply to all its topics."""

    host: str = text(
        "127.0.0.1",
        "the broker's name or address",
        pattern=r"[A-Za-z0-9._:\-]{1,253}",
        allowed="a host name or address",
    )
    port: int = integer(1883, 1, 65_535, "the broker's port; 8883 is usual with TLS")
    transport: str = text("tcp", "connection to the broker: TCP, or WebSockets", choices=("tcp", "websockets"))
    path: str = text(
        "/mqtt", "websockets: the path on the broker", pattern=r"/[^\s]{0,255}", allowed="a path that begins with /"
    )
    client_id: str = text(
        "",
        "name of the session on the broker; empty is `strandline-<gateway>-<name of the entry>`",
        pattern=r"[A-Za-z0-9_:.\-]{0,64}",
        allowed="at most 64 of A-Z a-z 0-9 _ : . -",
    )
    topics: Any = mapping(  # noqa: RUF009
        ["sensors/{device}/{channel}"],
        _list,
        TOPICS,
        "topic patterns; the levels in braces name the series, `+` is any level, a last `#` any more; an object gives "
        "one topic its own format and mapping",
    )
    preset: str = text("", "preset of a device family: topics and mapping", choices=("", *preset_names()))
    qos: int = integer(1, 0, 1, "quality of service of the subscriptions; with 1 the broker retransmits")
    version: str = text(
        "auto", "protocol version; `auto` is 5, and 3.1.1 with a broker that refuses it", choices=("auto", "5", "3.1.1")
    )
    inflight: int = integer(
        10_000,
        1,
        65_535,
        "publications that may be unacknowledged; an MQTT 5 broker is asked for it, another has its own limit",
    )
    clean_session: bool = flag(False, "have the broker forget the session, and what it queued, on disconnection")
    keepalive_s: int = integer(30, 5, 3_600, "seconds after which a silent connection is probed")
    username: str = _short("", "user at the broker; empty for none")
    password_file: str = absolute_path("file whose content is the password, so that deployments do not contain it")
    tls: bool = flag(False, "connect with TLS and check the broker's certificate and name")
    ca_file: str = absolute_path("certificates trusted to sign the broker's; empty for the system's")
    cert_file: str = absolute_path("the client's certificate, where the broker requires one")
    key_file: str = absolute_path("the key of the client's certificate")
    max_payload_bytes: int = integer(16_384, 16, 1_048_576, "a longer payload is rejected unread")

    def __post_init__(self) -> None:
        problems = credential_problems(
            tls=self.tls,
            cert_file=self.cert_file,
            key_file=self.key_file,
            username=self.username,
            password_file=self.password_file,
        )
        if problems:
            raise ConfigError(problems)

    @property
    def address(self) -> str:
        """The broker's address, for logs."""
        return f"{self.host}:{self.port}"

    @property
    def session(self) -> str:
        """The name of the session on this broker."""
        return f"{self.client_id}@{self.address}"

    def named(self, gateway: str, entry: str) -> MqttSettings:
        """Return the settings with a name of the session."""
        return self if self.client_id else replace(self, client_id=f"strandline-{gateway}-{entry}")

    @property
    def connection(self) -> dict[str, Any]:
        """The keys that are needed to connect again, as JSON values."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {key: value for key, value in values.items() if key not in ("topics", "preset")}

    @property
    def credential_files(self) -> CredentialFiles:
        """The files of the client's and the broker's identity."""
        return CredentialFiles(self.tls, self.ca_file, self.cert_file, self.key_file, self.password_file)

    def credentials(self) -> Credentials:
        """Read the files; raises SourceError that names them when they cannot be used."""
        try:
            return self.credential_files.load()
        except CredentialsError as error:
            raise SourceError(str(error)) from error


@dataclass(frozen=True, slots=True)
class MqttEntry:
    """A broker, and its topics with their mappings."""

    settings: MqttSettings
    bindings: tuple[Binding, ...]


def read_entry(values: Mapping[str, Any]) -> MqttEntry:
    """Return the settings of an entry; raises ConfigError with a sentence for each bad key."""
    problems: list[str] = []
    settings, bindings = MqttSettings(), tuple[Binding, ...]()
    try:
        settings = load(MqttSettings, {key: value for key, value in values.items() if key not in KEYS})
    except ConfigError as error:
        problems += error.problems
    if not any(problem.startswith(("topics", "preset")) for problem in problems):
        try:
            bindings = read_bindings(values, MqttSettings().topics)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return MqttEntry(settings, bindings)
