"""The settings of one broker; see config.py for the meaning of each."""

from __future__ import annotations

from dataclasses import dataclass

from edge_components.sensor_reader.mqtt.credentials import CredentialFiles


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """One broker, its topics, and the form of its payloads. ``version`` is "auto", "5" or "3.1.1".

    ``hold_ms`` is how long an arrival may wait for others before the loop is woken.
    """

    host: str
    port: int
    client_id: str
    topics: tuple[str, ...]
    qos: int
    inflight: int
    version: str
    clean_session: bool
    keepalive_s: int
    username: str
    password_file: str
    tls: bool
    ca_file: str
    cert_file: str
    key_file: str
    value_key: str
    time_key: str
    quality_key: str
    max_payload_bytes: int
    max_future_ms: int
    hold_ms: int

    @property
    def address(self) -> str:
        """The broker's address, for logs."""
        return f"{self.host}:{self.port}"

    @property
    def session(self) -> str:
        """The name of the session on this broker."""
        return f"{self.client_id}@{self.address}"

    @property
    def credential_files(self) -> CredentialFiles:
        """The files of the client's and the broker's identity."""
        return CredentialFiles(self.tls, self.ca_file, self.cert_file, self.key_file, self.password_file)
