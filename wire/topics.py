"""Topics between components and between gateway and cloud.

Local topics are IPC pub/sub on the gateway. Batches go to the cloud over AWS IoT Core Basic Ingest, where the
``$aws/rules/<rule>/`` prefix is not billed and not part of the rule's ``topic()``.
"""

from __future__ import annotations

from enum import StrEnum

from wire.errors import ModelError
from wire.names import check_gateway

READINGS = "strandline/local/readings"
READINGS_ACK = "strandline/local/readings/ack"
AGGREGATES = "strandline/local/aggregates"
SCORED = "strandline/local/scored"
SCORED_ACK = "strandline/local/scored/ack"
HEALTH = "strandline/local/health"

RULES = "strandline"
"""Beginning of the names of the cloud's topic rules, unless a stack has another one."""


class Lane(StrEnum):
    """Lanes of spool and cloud, by descending priority."""

    URGENT = "urgent"
    BULK = "bulk"
    BACKFILL = "backfill"


# Backfill uses bulk's rule: it is a lane of the gateway's spool, not a queue of the cloud.
_RULE = {Lane.URGENT: "urgent", Lane.BULK: "bulk", Lane.BACKFILL: "bulk"}


def cloud_lane(lane: Lane) -> str:
    """Return the lane of the cloud that receives the batches of a lane of the spool."""
    return _RULE[lane]


def ingest(gateway: str, lane: Lane, rules: str = RULES) -> str:
    """Return the Basic Ingest topic on which ``gateway`` publishes batches of ``lane``.

    ``rules`` is the beginning of the names of the cloud's topic rules.
    """
    rule = cloud_lane(lane)
    return f"$aws/rules/{rules}_{rule}/{published(gateway, rule)}"


def published(gateway: str, lane: str) -> str:
    """Return the topic of a batch as rules see it, without the prefix of Basic Ingest."""
    return f"strandline/v1/{check_gateway(gateway)}/{lane}"


def ack(gateway: str) -> str:
    """Return the topic on which the cloud acknowledges the batches of ``gateway``, and requests unknown profiles."""
    return f"strandline/v1/{check_gateway(gateway)}/ack"


def alerts(gateway: str) -> str:
    """Return the topic on which the cloud publishes the alerts of ``gateway``."""
    return f"strandline/v1/{check_gateway(gateway)}/alerts"


def gateway_of(topic: str) -> str:
    """Return the gateway named in a cloud topic (without the Basic Ingest prefix); raises ModelError."""
    levels = topic.split("/")
    if len(levels) != 4 or levels[:2] != ["strandline", "v1"]:
        raise ModelError(f"topic {topic[:200]!r}: not strandline/v1/<gateway>/<lane>")
    return check_gateway(levels[2])
