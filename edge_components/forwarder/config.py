"""The forwarder's configuration."""

from __future__ import annotations

from dataclasses import dataclass

from edge_components.common.config import integer, mapping, number, text
from edge_components.common.errors import ConfigError
from edge_components.forwarder.cloud_link.settings import MqttLinkSettings, read_settings
from wire.limits import MAX_BATCH_BYTES
from wire.topics import RULES


@dataclass(frozen=True, slots=True)
class Config:
    """Every key of ``io.strandline.Forwarder``."""

    uplink: str = text(
        "greengrass",
        "connection to the cloud: `greengrass`, through the nucleus to AWS IoT Core, or `mqtt`, directly to a broker",
        choices=("greengrass", "mqtt"),
    )
    mqtt: MqttLinkSettings = mapping(  # noqa: RUF009 # declares a field
        {}, read_settings, "an object", "the broker of `uplink: mqtt`; its keys are in the section Uplink over MQTT"
    )
    ack: str = text(
        "cloud",
        "acknowledgement that frees a batch: `cloud`, when it is stored, or `nucleus`, when it is queued for sending"
        " (for a cloud that does not acknowledge; batches can be lost)",
        choices=("cloud", "nucleus"),
    )
    cloud_rules: str = text(
        RULES,
        "beginning of the names of the cloud's topic rules, its parameter `RulePrefix`; the recipe's access"
        " control names the topics of the default",
        pattern=r"[a-zA-Z][a-zA-Z0-9_]{0,80}",
        allowed="a letter and up to 80 letters, digits and underscores",
    )
    batch_max_bytes: int = integer(
        MAX_BATCH_BYTES, 500, MAX_BATCH_BYTES, "size of a batch; the default is one metered unit of IoT Core"
    )
    batch_max_age_s: float = number(
        60.0, 0.1, 86_400, "maximum time that rows wait for a batch to fill; anomalies do not wait"
    )
    spool_max_bytes: int = integer(
        268_435_456,
        100_000,
        1_000_000_000_000,
        "size of the spool; when it is full, the oldest rows are merged, then dropped",
    )
    commit_ms: int = integer(
        2000,
        0,
        4000,
        "maximum time in milliseconds that received batches wait to be committed and acknowledged; anomalies, and a"
        " sender that would be blocked, do not wait",
    )
    disk_keep_free_bytes: int = integer(
        67_108_864,
        0,
        1_000_000_000_000,
        "free disk space that the spool leaves to others; below it nothing is stored, and senders wait",
    )
    merge_max_window_s: int = integer(
        3600, 0, 86_400, "widest window into which a full spool merges rows before it drops any; 0 disables merging"
    )
    in_flight: int = integer(32, 1, 1000, "maximum number of batches sent and not yet acknowledged")
    send_per_s: float = number(
        50.0, 0.1, 100, "maximum number of batches sent per second; IoT Core allows 100 per connection"
    )
    backfill_per_s: float = number(
        2.0,
        0.01,
        100,
        "maximum number of backlog batches sent per second, after live ones; a week is about 1,000 batches",
    )
    retry_first_s: float = number(
        5.0,
        0.1,
        3600,
        "time before the first retransmission of a batch; longer if the cloud is measured to take longer",
    )
    retry_longest_s: float = number(300.0, 0.1, 86_400, "maximum time before a retransmission of a batch")
    profile_interval_s: float = number(
        3600.0,
        0.0,
        604_800,
        "minimum time between two profiles of the series, which make small batches smaller; 0 disables profiles",
    )
    notice_interval_s: float = number(
        300.0, 0.0, 86_400, "interval at which the gateway's counters are sent to the cloud; 0 disables it"
    )
    metrics_port: int = integer(
        0,
        0,
        65_535,
        "port on 127.0.0.1 that serves the counters of all components to Prometheus, at `/metrics`; 0 disables it",
    )

    def __post_init__(self) -> None:
        if self.uplink != "mqtt":
            return
        problems = []
        if not self.mqtt.host:
            problems.append("mqtt.host: '' is not allowed, expected a host name or address with uplink mqtt")
        if self.ack != "cloud":
            problems.append(f"ack: {self.ack!r} is not allowed, expected cloud with uplink mqtt")
        if problems:
            raise ConfigError(problems)
