"""The sensor reader's configuration: the keys, what is allowed, and the settings of each source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_components.common.config import flag, integer, mapping, text, texts
from edge_components.common.errors import ConfigError
from edge_components.common.series_limit import DEFAULT_SERIES, MAX_SERIES
from edge_components.sensor_reader.series_registry import Traits
from edge_components.sensor_reader.sources.host import HostSettings
from edge_components.sensor_reader.sources.mqtt import MqttSettings
from edge_components.sensor_reader.topic_patterns import PATTERN, TopicPattern
from wire.errors import ModelError
from wire.model import Series

Settings = MqttSettings | HostSettings
_TRAITS = 'an object from globs to {"unit": text of at most 32 bytes, "resolution": a number above 0}, both optional'


def _path(doc: str) -> Any:
    return text("", doc, pattern=r"(/[^\x00-\x1f]{0,1023})?", allowed="an absolute path, or empty")


def _short(default: str, doc: str, least: int = 0) -> Any:
    return text(default, doc, pattern=rf"[^\x00-\x1f]{{{least},128}}", allowed=f"text of {least} to 128 characters")


def _traits(value: Any) -> Traits:
    if not isinstance(value, Mapping):
        raise ValueError(_TRAITS)
    return {str(glob): _trait(str(glob), given) for glob, given in value.items()}


def _trait(glob: str, given: Any) -> tuple[str | None, float | None]:
    if not isinstance(given, Mapping) or not set(given) <= {"unit", "resolution"}:
        raise ValueError(f"{_TRAITS} (see {glob[:80]!r})")
    try:
        unit = None if given.get("unit") is None else str(given["unit"])
        raw = given.get("resolution")
        resolution = math.nan if isinstance(raw, bool) else None if raw is None else float(raw)
        Series("x", unit or "", resolution)
    except (TypeError, ValueError, OverflowError, ModelError) as error:
        raise ValueError(f"{_TRAITS} (see {glob[:80]!r})") from error
    return unit, resolution


@dataclass(frozen=True, slots=True)
class Config:
    """See README.md for the table of keys."""

    mqtt: bool = flag(True, "read sensors that publish to an MQTT broker")
    mqtt_host: str = text(
        "127.0.0.1",
        "the broker's name or address",
        pattern=r"[A-Za-z0-9._:\-]{1,253}",
        allowed="a host name or address",
    )
    mqtt_port: int = integer(1883, 1, 65_535, "the broker's port; 8883 is usual with TLS")
    mqtt_client_id: str = text(
        "",
        "name of the session on the broker; empty is `strandline-<gateway>`",
        pattern=r"[A-Za-z0-9_:.\-]{0,64}",
        allowed="at most 64 of A-Z a-z 0-9 _ : . -",
    )
    mqtt_topics: tuple[str, ...] = texts(
        ["sensors/{device}/{channel}"],
        "topic patterns; the levels in braces, joined by dots, name the series, `+` is any level, a last `#` any more",
        pattern=PATTERN,
        allowed="a list of topics in which a level may be {placeholder} or +, and the last #; one placeholder or more",
    )
    mqtt_qos: int = integer(1, 0, 1, "quality of service of the subscriptions; with 1 the broker sends again")
    mqtt_version: str = text(
        "auto", "protocol version; `auto` is 5, and 3.1.1 with a broker that refuses it", choices=("auto", "5", "3.1.1")
    )
    mqtt_inflight: int = integer(
        1_000,
        1,
        65_535,
        "publications that may be unacknowledged; an MQTT 5 broker is asked for it, another has its own limit",
    )
    mqtt_clean_session: bool = flag(False, "have the broker forget the session, and what it queued, on disconnection")
    mqtt_keepalive_s: int = integer(30, 5, 3_600, "seconds after which a silent connection is probed")
    mqtt_username: str = _short("", "user at the broker; empty for none")
    mqtt_password_file: str = _path("file whose content is the password, so that it stands in no deployment")
    mqtt_tls: bool = flag(False, "connect with TLS and check the broker's certificate and name")
    mqtt_ca_file: str = _path("certificates trusted to sign the broker's; empty for the system's")
    mqtt_cert_file: str = _path("the client's certificate, where the broker wants one")
    mqtt_key_file: str = _path("the key of the client's certificate")
    mqtt_value_key: str = _short(
        "value", "key of the value in a payload that is an object; a dot descends (`data.value`)", least=1
    )
    mqtt_time_key: str = _short("time", "key of the event time; empty takes the time of arrival always")
    mqtt_quality_key: str = _short("quality", "key of the quality (0 to 2, or good, uncertain, bad); empty for none")
    mqtt_max_payload_bytes: int = integer(16_384, 16, 1_048_576, "a longer payload is rejected unread")
    max_future_ms: int = integer(
        86_400_000, 1_000, 31_536_000_000, "an event time further ahead of the gateway's clock is rejected"
    )
    host: bool = flag(True, "read the gateway itself: processor, memory, disk, temperatures, network")
    host_prefix: str = text(
        "host",
        "first part of the names of the host's series",
        pattern=r"[A-Za-z0-9][A-Za-z0-9_\-]{0,31}",
        allowed="1 to 32 of A-Z a-z 0-9 _ -, the first alphanumeric",
    )
    host_interval_ms: int = integer(1_000, 100, 3_600_000, "milliseconds between two readings of the host")
    host_disk: str = text(
        "/", "a path on the disk whose use is read", pattern=r"/[^\x00-\x1f]{0,1023}", allowed="an absolute path"
    )
    series: Traits = mapping(  # noqa: RUF009 # a field, as all of these
        {},
        _traits,
        _TRAITS,
        "units and resolutions by glob over series' names; of several that match the longest counts",
    )
    max_series: int = integer(
        DEFAULT_SERIES, 1, MAX_SERIES, "series at most; beyond it the one least recently heard is forgotten"
    )
    max_age_ms: int = integer(1_000, 10, 60_000, "milliseconds that a reading waits at most for its batch to fill")
    outbox_bytes: int = integer(
        4_000_000, 100_000, 100_000_000, "batches kept in memory until acknowledged; beyond it the oldest are dropped"
    )
    retry_s: int = integer(
        30, 1, 600, "seconds until an unacknowledged batch is first sent again; above the aggregator's `commit_ms`"
    )

    def __post_init__(self) -> None:
        problems = []
        for pattern in self.mqtt_topics:
            try:
                TopicPattern(pattern)
            except ValueError as error:
                problems.append(f"mqtt_topics: {error}")
        if self.mqtt and not self.mqtt_topics:
            problems.append("mqtt_topics: [] is not allowed while mqtt is true")
        if bool(self.mqtt_cert_file) != bool(self.mqtt_key_file):
            problems.append("mqtt_cert_file, mqtt_key_file: both or neither")
        if self.mqtt_cert_file and not self.mqtt_tls:
            problems.append("mqtt_cert_file: only with mqtt_tls true")
        if self.mqtt_password_file and not self.mqtt_username:
            problems.append("mqtt_password_file: only with mqtt_username")
        if problems:
            raise ConfigError(problems)

    def sources(self, gateway: str) -> dict[str, Settings]:
        """Return the settings of each source that is wanted, by its name."""
        wanted: dict[str, Settings] = {}
        if self.mqtt:
            wanted["mqtt"] = MqttSettings(
                host=self.mqtt_host,
                port=self.mqtt_port,
                client_id=self.mqtt_client_id or f"strandline-{gateway}",
                topics=self.mqtt_topics,
                qos=self.mqtt_qos,
                inflight=self.mqtt_inflight,
                version=self.mqtt_version,
                clean_session=self.mqtt_clean_session,
                keepalive_s=self.mqtt_keepalive_s,
                username=self.mqtt_username,
                password_file=self.mqtt_password_file,
                tls=self.mqtt_tls,
                ca_file=self.mqtt_ca_file,
                cert_file=self.mqtt_cert_file,
                key_file=self.mqtt_key_file,
                value_key=self.mqtt_value_key,
                time_key=self.mqtt_time_key,
                quality_key=self.mqtt_quality_key,
                max_payload_bytes=self.mqtt_max_payload_bytes,
                max_future_ms=self.max_future_ms,
                hold_ms=self.max_age_ms,
            )
        if self.host:
            wanted["host"] = HostSettings(self.host_prefix, self.host_interval_ms, self.host_disk)
        return wanted
