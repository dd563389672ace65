"""Severity and kind of alerts."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """Urgency of an alert, most urgent first."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class AlertKind(StrEnum):
    """Origin of an alert."""

    ANOMALY = "anomaly"
    """Reported by a gateway's detector."""
    RULE = "rule"
    """A cloud rule's condition holds."""
    SILENCE = "silence"
    """A gateway, or one of its series, sends nothing for longer than expected."""
    HEALTH = "health"
    """A gateway's spool grows, its clock is wrong, or a component does not work."""
