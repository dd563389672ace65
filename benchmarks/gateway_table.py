"""Tables of README.md and docs/comparison.md from the recorded runs in benchmarks/edge_figures.json.

``python benchmarks/gateway_table.py`` prints them; a test compares them with the documents. The file has the JSON
output of benchmarks/edge.py for each run, with its date and command.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("edge_figures.json")
COMPONENTS = ("reader", "aggregator", "detector", "forwarder")
ROWS = (
    ("memory (PSS), 60 series, 300 readings/s", "pss_mb", "MB"),
    ("processor, 24 series at 1 reading/s", "idle_cpu_percent", "% of a core"),
    ("processor seconds a million readings, 2,000 readings/s", "cpu_s_per_million_1_at_2000", "s"),
    ("written to disk a day, 24 series at 1 reading/s, in-flight window of 200", "disk_mb_per_day_inflight200", "MB"),
    ("the same, in-flight window of 20", "disk_mb_per_day_inflight20", "MB"),
    ("written to disk a reading, 2,000 readings/s", "disk_bytes_per_reading_2000", "B"),
)
PEERS = (
    ("telegraf", "Telegraf, buffer in memory"),
    ("telegraf_disk", "Telegraf, buffer on disk"),
    ("thingsboard_gateway", "ThingsBoard Gateway, sqlite"),
    ("ekuiper", "eKuiper, checkpoints and sink cache"),
)

Runs = Sequence[Mapping[str, Any]]


def read() -> Runs:
    """Return the recorded runs."""
    runs: Runs = json.loads(FILE.read_text())["runs"]
    return runs


def run_of(runs: Runs, key: str) -> Mapping[str, Any]:
    """Return the last recorded run that has a figure; raises KeyError without one."""
    for run in reversed(runs):
        if key in run:
            return run
    raise KeyError(key)


def components(runs: Runs) -> str:
    """Return memory, processor time and disk by component, with the experiment that measures each."""
    rows = []
    for title, key, unit in ROWS:
        run = run_of(runs, key)
        parts = [_number(run[f"{key}_by_component"][name]) for name in COMPONENTS]
        rows.append(f"| {title} | {' | '.join(parts)} | {_number(run[key])} {unit} | `{_experiment(run, key)}` |")
    head = "| | reader | aggregator | detector | forwarder | together | `--only` |"
    return "\n".join([head, "| --- | ---: | ---: | ---: | ---: | ---: | --- |", *rows]) + "\n"


def programs(runs: Runs) -> str:
    """Return the rates and costs of the components and of other programs in the last run with both."""
    run = next(one for one in reversed(runs) if "peers" in one and "readings_s_sustained" in one)
    memory = _number(run_of(runs, "pss_mb")["pss_mb"])
    disk = _number(run_of(runs, "disk_bytes_per_reading_2000")["disk_bytes_per_reading_2000"])
    kept, slow = (f"{run[f'{name}_not_stored']:,} of {run[f'{name}_sent']:,}" for name in ("sustained", "inflight20"))
    rows = [
        f"| Strandline, four components | {_number(run['readings_s_sustained'])} "
        f"| {_number(run['cpu_s_per_million_1'])} | {disk} | {memory} MB | {kept} |",
        f"| Strandline, broker with an in-flight window of 20 | {_number(run['readings_s_inflight20'])} | | | "
        f"| {slow} |",
    ]
    for name, title in PEERS:
        one = run["peers"][name]
        rows.append(
            f"| {title} | {_number(one['readings_s'])} | {_number(one['cpu_s_per_million'])} "
            f"| {_number(one['disk_bytes_per_reading'])} | {_number(one['pss_mb'])} MB "
            f"| {one['missing']:,} of {one['sent']:,} |"
        )
    head = (
        "| program | readings/s | CPU s a million readings | B to disk a reading | memory (PSS) | missing at the end |"
    )
    return "\n".join([head, "| --- | ---: | ---: | ---: | ---: | ---: |", *rows]) + "\n"


def _experiment(run: Mapping[str, Any], key: str) -> str:
    """Return the experiment of a figure, with the scale of its run where that is not 1."""
    names = {"pss": "memory", "idle": "idle", "cpu": "steady", "disk_mb": "disk", "disk_bytes": "steady"}
    name = next(experiment for begin, experiment in names.items() if key.startswith(begin))
    scale = run["machine"]["scale"]
    return name if scale == 1 else f"{name} --scale {scale:g}"


def _number(value: float) -> str:
    """Return three significant digits, with separators for thousands."""
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.005 else "0"


if __name__ == "__main__":
    sys.stdout.write(f"{components(read())}\n{programs(read())}")
