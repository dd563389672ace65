"""One line that describes an alert, for lists and notifications."""

from __future__ import annotations

from cloud_functions.core.severity import AlertKind
from wire.anomaly import Anomaly


def summarize(gateway: str, report: Anomaly, kind: AlertKind, rule: str, text: str) -> str:
    """Return the summary: the subject, then the rule's text or the cause, and the values where they are known."""
    subject = f"{gateway}: {report.series}" if report.series else gateway
    if kind is AlertKind.SILENCE:
        return f"{subject}: no data for {duration((report.observed or 0) * 1000)}"
    if kind is AlertKind.HEALTH:
        return f"{subject}: {text or report.cause}"
    description = text or (f"{rule} ({report.cause})" if kind is AlertKind.RULE else report.cause)
    values = [f"{value(report.observed, report.unit)}"] if report.observed is not None else []
    if kind is AlertKind.ANOMALY and report.expected is not None:
        values.append(f"expected {value(report.expected, report.unit)}")
    limit = report.upper if report.upper is not None else report.lower
    if kind is AlertKind.RULE and limit is not None:
        values.append(f"limit {value(limit, report.unit)}")
    return f"{subject}: {description}" + (f": {', '.join(values)}" if values else "")


def value(number: float | None, unit: str) -> str:
    """Return a value with its unit."""
    return "unknown" if number is None else f"{number:.6g} {unit}".strip()


def duration(ms: float) -> str:
    """Return a duration in its two largest units, such as 2 h 5 min."""
    seconds = max(0, round(ms / 1000))
    parts = []
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, seconds = divmod(seconds, length)
        if number:
            parts.append(f"{number} {name}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"
