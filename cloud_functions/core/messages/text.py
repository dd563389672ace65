"""Plain text of an event: subject, lines, and values in words. Every other form is made of it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cloud_functions.core.cloudevents import NOTIFICATION
from cloud_functions.core.summaries import duration, value

MAX_SUBJECT = 100
"""Longest subject of an SNS message; it must be ASCII there."""


def alerts_of(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the alerts of an event: of a notification those that it lists, else the one that changed."""
    data = event["data"]
    return list(data["alerts"]) if event["type"] == NOTIFICATION else [data]


def subject(event: Mapping[str, Any]) -> str:
    """Return one line: state, severity and the alert, or the numbers of alerts of a group."""
    found = alerts_of(event)
    data = event["data"]
    if event["type"] == NOTIFICATION and data["count"] > 1:
        counts = ", ".join(f"{number} {state}" for state, number in data["counts"].items())
        text = f"[{data['severity'].upper()}] {data['group']}: {counts}"
    else:
        one = found[0]
        text = f"[{one['severity'].upper()}] {one['state']}: {one.get('summary') or one['gateway']}"
    return one_line(text, MAX_SUBJECT)


def body(event: Mapping[str, Any], link: str = "") -> str:
    """Return the readable text: for each alert cause, value, expectation, duration and link."""
    parts = ["\n".join(f"{name}: {text}" for name, text in facts(one, link)) for one in alerts_of(event)]
    more = event["data"]["count"] - len(parts) if event["type"] == NOTIFICATION else 0
    return "\n\n".join([*parts, *([f"and {more} more alerts"] if more > 0 else [])]) + "\n"


def html_body(event: Mapping[str, Any], link: str = "") -> str:
    """Return the same as HTML; all text is escaped."""
    rows = []
    for one in alerts_of(event):
        cells = "".join(
            f"<tr><th align=left>{html.escape(name)}</th><td>{_cell(name, text)}</td></tr>"
            for name, text in facts(one, link)
        )
        rows.append(f"<table>{cells}</table>")
    more = event["data"]["count"] - len(rows) if event["type"] == NOTIFICATION else 0
    tail = f"<p>and {more} more alerts</p>" if more > 0 else ""
    return f"<html><body><h2>{html.escape(subject(event))}</h2>{'<hr>'.join(rows)}{tail}</body></html>"


def facts(alert: Mapping[str, Any], link: str = "") -> list[tuple[str, str]]:
    """Return what is known of an alert as names and texts of one line each."""
    unit = str(alert.get("unit", ""))
    onset, ended = alert["onset_ms"], alert.get("ended_ms")
    found = [
        ("Alert", str(alert.get("summary") or alert["gateway"])),
        ("State", f"{alert['state']} ({alert['severity']})" + (", flapping" if alert.get("flapping") else "")),
        ("Gateway", str(alert["gateway"])),
        ("Series", str(alert.get("series", ""))),
        ("Cause", str(alert.get("rule") or "") or str(alert.get("cause", ""))),
        ("Value", value(alert["observed"], unit) if alert.get("observed") is not None else ""),
        ("Expected", _expected(alert, unit)),
        ("Since", _time(onset)),
        ("Duration", duration(ended - onset) if ended is not None else ""),
        ("Acknowledged by", str(alert.get("acknowledged_by", ""))),
        ("Comment", str(alert.get("comment", ""))),
        ("Link", f"{link}#/alerts/{alert['id']}" if link else ""),
    ]
    return [(name, one_line(text, 500)) for name, text in found if text]


def one_line(text: str, longest: int) -> str:
    """Return text without control characters or line breaks, cut to a length."""
    clean = "".join(one if one.isprintable() else " " for one in text)
    return clean if len(clean) <= longest else clean[: longest - 3] + "..."


def ascii_subject(text: str) -> str:
    """Return a subject that SNS accepts: printable ASCII that begins with a letter, a number or a bracket."""
    return one_line(text.encode("ascii", "replace").decode(), MAX_SUBJECT).strip() or "Alert"


def _expected(alert: Mapping[str, Any], unit: str) -> str:
    expected, lower, upper = (alert.get(name) for name in ("expected", "lower", "upper"))
    parts = [value(expected, unit)] if expected is not None else []
    if lower is not None and upper is not None:
        parts.append(f"between {value(lower, unit)} and {value(upper, unit)}")
    elif upper is not None:
        parts.append(f"at most {value(upper, unit)}")
    elif lower is not None:
        parts.append(f"at least {value(lower, unit)}")
    return ", ".join(parts)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(min(max(ms, 0), 253_402_300_799_000) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _cell(name: str, text: str) -> str:
    escaped = html.escape(text)
    return f'<a href="{escaped}">{escaped}</a>' if name == "Link" else escaped
