"""Faults of machines with eight channels, on simulated rigs, beside PCA and an isolation forest of the whole group.

``python benchmarks/detection_groups.py [--runs 10] [--held-out] [--json FILE]``. Each run has one fault, and 400 rows
before it to calibrate on. Rows are judged as fault or none: F1, missed and false rows over all runs together; a fault
is found when a row of it is marked, and a stretch that touches none is a false alarm. The faults of ``rigs.TUNING``
were at hand when detector and baselines were set up; with ``--held-out`` it is the others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from device_sim.simulation import rigs
from strandline.recorded import offline

if TYPE_CHECKING or __package__:
    from benchmarks.detection_baselines import GROUPS, Baseline, known
else:  # run as a file, beside which the other is
    from detection_baselines import GROUPS, Baseline, known

BoolArray = npt.NDArray[np.bool_]
Detector = Callable[[rigs.Run], BoolArray]
"""A run to the rows that are marked as anomalous."""


def ours(run: rigs.Run) -> BoolArray:
    """The gateway's own detector."""
    return offline.score(run.time_ms, run.values, rigs.CHANNELS, rigs.CALIBRATION).anomaly


def _baseline(score: Baseline) -> Detector:
    return lambda run: score(known(run.values), rigs.CALIBRATION) >= 1.0


DETECTORS: dict[str, tuple[Detector, str]] = {
    "strandline": (ours, ""),
    **{name: (_baseline(score), package) for name, (score, package) in GROUPS.items()},
}


def measure(runs: Sequence[rigs.Run], detector: Detector) -> dict[str, float]:
    """Return how a detector's rows and stretches agree with the labels of all runs."""
    hits = misses = false = normal = found = false_alarms = 0
    delays: list[int] = []
    started = time.perf_counter()
    for run in runs:
        marked, faulty = detector(run)[rigs.CALIBRATION :], run.faulty[rigs.CALIBRATION :]
        hits += int((marked & faulty).sum())
        misses += int((~marked & faulty).sum())
        false += int((marked & ~faulty).sum())
        normal += int((~faulty).sum())
        found += bool((marked & faulty).any())
        if (marked & faulty).any():
            delays.append(int((marked & faulty).argmax() - faulty.argmax()))
        edges = np.flatnonzero(np.diff(np.concatenate(([0], marked.astype(np.int8), [0]))))
        stretches = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        false_alarms += sum(not faulty[first:end].any() for first, end in stretches)
    return {
        "f1": round(2 * hits / max(1, 2 * hits + misses + false), 3),
        "false_rows": round(false / max(1, normal), 4),
        "missed_rows": round(misses / max(1, hits + misses), 4),
        "faults_found": found,
        "faults": len(runs),
        "false_alarms_an_hour": round(false_alarms / (normal / 3600), 2),
        "median_delay_s": float(np.median(delays)) if delays else float("nan"),
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="of each kind of fault")
    parser.add_argument("--held-out", action="store_true", help="the faults that were not used for development")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    kinds = rigs.HELD_OUT if options.held_out else rigs.TUNING
    runs = [rigs.run(kind, seed) for kind in kinds for seed in range(options.runs)]
    report: dict[str, Any] = {"kinds": list(kinds), "runs": len(runs), "detectors": {}, "absent": []}
    titles = ("f1", "false", "missed", "found", "of", "alarms/h", "delay s", "s")
    print(f"{'detector':16}" + "".join(f"{title:>10}" for title in titles))
    for name, (detector, package) in DETECTORS.items():
        try:
            row = measure(runs, detector)
        except ImportError:
            report["absent"].append(name)
            print(f"{name:16}  not run: {package} is not installed")
            continue
        report["detectors"][name] = row
        print(f"{name:16}" + "".join(f"{value:10.3g}" for value in row.values()))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
