"""Metrics as log lines in CloudWatch's embedded metric format (EMF).

CloudWatch makes metrics of the lines of a log group that have this form, so that a function publishes them without a
request. The format is written here, because the core counts in a plain object: the library's class for it keeps its
metrics in the class, and writes a line as soon as a metric has 100 values.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

from cloud_functions.clock import now_ms
from cloud_functions.core.metrics import Metrics

NAMESPACE = "Strandline"
DIMENSIONS = ("stack", "function")
MAX_METRICS = 100
"""Most metrics of a line; and most values of a metric in it."""

Handler = Callable[[dict[str, Any], Any], Any]


def write_line(text: str) -> None:
    """Write a line of the function's log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def publishing(
    metrics: Metrics, stack: str, function: str, write: Callable[[str], None] = write_line
) -> Callable[[Handler], Handler]:
    """Return a decorator that publishes the metrics of each invocation of a handler, also of one that fails."""

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def run(event: dict[str, Any], context: Any) -> Any:
            metrics.clear()
            try:
                return handler(event, context)
            finally:
                about = {"stack": stack, "function": function, "request_id": str(context.aws_request_id)}
                for line in lines(metrics, about, now_ms()):
                    write(line)

        return run

    return decorate


def lines(metrics: Metrics, about: Mapping[str, str], time_ms: int) -> Iterator[str]:
    """Yield the lines of EMF with all metrics; ``about`` has the dimensions, and more that only the log shows."""
    waiting: list[tuple[str, int | list[int]]] = [(name, amount) for name, amount in metrics.counts.items() if amount]
    for name, values in metrics.values.items():
        waiting += [(name, values[at : at + MAX_METRICS]) for at in range(0, len(values), MAX_METRICS)]
    while waiting:
        chosen: dict[str, int | list[int]] = {}
        left = []
        for name, value in waiting:
            if name in chosen or len(chosen) == MAX_METRICS:
                left.append((name, value))
            else:
                chosen[name] = value
        declared = [{"Name": name, "Unit": unit(name)} for name in chosen]
        directive = {"Namespace": NAMESPACE, "Dimensions": [list(DIMENSIONS)], "Metrics": declared}
        head = {"_aws": {"Timestamp": time_ms, "CloudWatchMetrics": [directive]}}
        yield json.dumps({**head, **about, **chosen}, separators=(",", ":"))
        waiting = left


def unit(name: str) -> str:
    """Return CloudWatch's unit of a metric."""
    return "Milliseconds" if name.endswith("_ms") else "Count"
