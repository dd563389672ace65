"""Inhibition: a silent gateway hides the alerts of its series, which have the same cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cloud_functions.core.alert import OPEN, Alert
from cloud_functions.core.severity import AlertKind


def inhibitors(alerts: Iterable[Alert]) -> dict[str, str]:
    """Return the ids of the open alerts that hide others, by gateway."""
    return {
        alert.gateway: alert.id
        for alert in alerts
        if alert.origin.kind is AlertKind.SILENCE and not alert.report.series and alert.state in OPEN
    }


def inhibitor_of(alert: Alert, by_gateway: Mapping[str, str]) -> str:
    """Return the id of the alert that hides an alert, empty without one. An alert never hides itself."""
    found = by_gateway.get(alert.gateway, "")
    return found if alert.report.series and found != alert.id else ""
