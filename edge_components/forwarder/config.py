"""The forwarder's configuration."""

from __future__ import annotations

from dataclasses import dataclass

from edge_components.common.config import integer, number, text
from wire.limits import MAX_BATCH_BYTES


@dataclass(frozen=True, slots=True)
class Config:
    """Every key of ``io.strandline.Forwarder``."""

    ack: str = text(
        "cloud",
        "who frees the spool: the cloud's acknowledgement that it stored the batch, or (for a cloud that sends none)"
        " the nucleus' word that it queued it, a weaker promise",
        choices=("cloud", "nucleus"),
    )
    batch_max_bytes: int = integer(
        MAX_BATCH_BYTES, 500, MAX_BATCH_BYTES, "size of a batch; the default is one metered unit of IoT Core"
    )
    batch_max_age_s: float = number(
        60.0, 0.1, 86_400, "longest time that rows wait for a batch to fill; anomalies never wait"
    )
    spool_max_bytes: int = integer(
        268_435_456,
        100_000,
        1_000_000_000_000,
        "size of the spool; when it is full the oldest rows are merged, then dropped",
    )
    commit_ms: int = integer(
        2000,
        0,
        4000,
        "milliseconds that received batches wait at most to be committed and acknowledged; anomalies, and a sender that"
        " would be blocked, do not wait",
    )
    disk_keep_free_bytes: int = integer(
        67_108_864,
        0,
        1_000_000_000_000,
        "free disk that the spool leaves to others; below it nothing is taken in, and senders wait",
    )
    merge_max_window_s: int = integer(
        3600, 0, 86_400, "coarsest window that a full spool merges rows into before it drops any; 0 never merges"
    )
    in_flight: int = integer(32, 1, 1000, "batches sent and not yet acknowledged, at most")
    send_per_s: float = number(50.0, 0.1, 100, "batches sent a second, at most; IoT Core allows 100 a connection")
    backfill_per_s: float = number(
        2.0, 0.01, 100, "batches of the backlog sent a second, at most, after live ones; a week's is some 1,000 batches"
    )
    retry_first_s: float = number(
        5.0, 0.1, 3600, "wait before a batch is first sent again; longer where the cloud was measured to take longer"
    )
    retry_longest_s: float = number(300.0, 0.1, 86_400, "longest wait before a batch is sent again")
    profile_interval_s: float = number(
        3600.0,
        0.0,
        604_800,
        "least time from one profile of the series to the next, which spares small batches what it says; 0 sends none",
    )
    notice_interval_s: float = number(
        300.0, 0.0, 86_400, "how often the gateway's counters are sent to the cloud; 0 is never"
    )
