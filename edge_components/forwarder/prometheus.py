"""Counters of all components in Prometheus' text format (0.0.4). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_UNSAFE = re.compile(r"[^a-zA-Z0-9_]")


def exposition(gateway: str, counters: Mapping[str, Mapping[str, int]], status: Mapping[str, int]) -> bytes:
    """Return the metrics: a counter of events by component and event, and a gauge for each value of ``status``."""
    lines = [
        "# HELP strandline_events_total Events that a component counted since its start.",
        "# TYPE strandline_events_total counter",
    ]
    for component, counts in sorted(counters.items()):
        for event, count in sorted(counts.items()):
            labels = _labels((("gateway", gateway), ("component", component.rsplit(".", 1)[-1]), ("event", event)))
            lines.append(f"strandline_events_total{labels} {count}")
    for name, value in sorted(status.items()):
        metric = f"strandline_{_UNSAFE.sub('_', name)}"
        lines += [f"# HELP {metric} State of the gateway: {_UNSAFE.sub('_', name)}.", f"# TYPE {metric} gauge"]
        lines.append(f"{metric}{_labels((('gateway', gateway),))} {value}")
    return ("\n".join(lines) + "\n").encode()


def _labels(pairs: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in pairs) + "}"
