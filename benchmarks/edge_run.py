"""Command line of the edge benchmark: chooses experiments, runs them, prints a table or one JSON object."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.edge_broker import version
from benchmarks.edge_figures import EXPERIMENTS
from benchmarks.edge_peer_programs import PROGRAMS
from benchmarks.edge_peers import peers
from benchmarks.edge_report import table
from benchmarks.edge_site import Bench
from device_sim.aws.local import LocalCloud
from device_sim.greengrass.component_build import Nucleus
from strandline.packaging.components import build_here


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chosen experiments and print their figures."""
    given = _parser().parse_args(argv)
    chosen = given.only.split(",") if given.only else [*EXPERIMENTS, "peers"]
    if unknown := set(chosen) - {*EXPERIMENTS, "peers"}:
        print(f"--only {', '.join(sorted(unknown))}: {', '.join([*EXPERIMENTS, 'peers'])} are allowed", file=sys.stderr)
        return 2
    # Ending it must end what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    figures = _run(given, chosen)
    print(json.dumps(figures) if given.json else table(figures))
    return 0


def _run(given: argparse.Namespace, chosen: Sequence[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {"machine": _machine(given)}
    with contextlib.ExitStack() as stack:
        root = given.root or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="strandline-edge-")))
        wanted = [name for name in EXPERIMENTS if name in chosen]
        if wanted:
            cloud = stack.enter_context(LocalCloud.start(root / "cloud"))
            settings = json.loads(given.config.read_bytes()) if given.config else {}
            bench = Bench(
                root, build_here(root / "build", Nucleus.JAVA), cloud, given.profile, settings, given.drain, _log
            )
            for name in wanted:
                found = _rounded(EXPERIMENTS[name](bench, given.scale))
                _log(f"{name}: {json.dumps(found)}")
                figures |= found
        if "peers" in chosen:
            figures["peers"] = _rounded(
                peers(root / "peers", {name: getattr(given, name) for name in PROGRAMS}, given.scale, _log)
            )
    figures["machine"]["reference_cpu_s_after"] = _reference()
    figures["machine"] = _rounded(figures["machine"])
    return figures


def _machine(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "mosquitto": version(),
        "reference_cpu_s": _reference(),
        "load_average": round(os.getloadavg()[0], 2),
        "profile": given.profile,
        "scale": given.scale,
    }


def _reference() -> float:
    """Return the CPU seconds of a fixed piece of Python work: more on a busy machine, which inflates every figure."""
    began = time.process_time()
    seen: dict[str, float] = {}
    for number in range(1_000_000):
        seen[f"series.{number % 1_000}"] = number * 0.5
    return time.process_time() - began


def _rounded(value: Any) -> Any:
    """Return figures with four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return value


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/edge.py", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", metavar="NAMES", help=f"comma-separated, of {', '.join([*EXPERIMENTS, 'peers'])}")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all durations; 1 takes about an hour")
    parser.add_argument("--drain", type=float, default=300.0, help="seconds that the cloud may take to store the rest")
    parser.add_argument("--profile", choices=("java", "lite"), default="java", help="of the local nucleus")
    parser.add_argument("--config", type=Path, metavar="FILE", help="JSON: configuration to merge, by component")
    parser.add_argument("--root", type=Path, help="folder for logs and spools; default is one that is removed")
    for name, described in PROGRAMS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, type=Path, metavar="PATH", help=described)
    return parser
