"""Detection on the Numenta Anomaly Benchmark, beside simple baselines, and how the false-alarm setting is kept.

``python benchmarks/detection.py [--data ../shared/data/nab] [--scorer ../shared/tools/nab_score.py] [--json FILE]
[--only PREFIX ...] [--quick]``. The score is NAB's (standard profile): with the best threshold for all files, as its
scoreboard takes it, and with the level fixed beforehand at 1.0. The baselines are those of detection_baselines.py, each
with the same rest after an alarm; river's HalfSpaceTrees and PyOD's IForest run where they are installed.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector import offline, table
from edge_components.anomaly_detector.ensemble import MONTH_MS, Ensemble
from edge_components.anomaly_detector.experts import Windows
from edge_components.anomaly_detector.spans import Settings
from wire.model import Phase

if TYPE_CHECKING or __package__:
    from benchmarks.detection_baselines import ONE_CHANNEL, Baseline, known, windowed_gaussian
else:  # run as a file, beside which the other is
    from detection_baselines import ONE_CHANNEL, Baseline, known, windowed_gaussian

FloatArray = npt.NDArray[np.float64]
Scorer = Callable[[FloatArray, npt.NDArray[np.int64], int], FloatArray]
"""Values, times in milliseconds and the length of the probation to scores of 0 and more, 1.0 being an alarm."""
WEEK_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class File:
    """One labelled file of NAB."""

    name: str
    recorded: table.Table
    windows: list[tuple[int, int]]
    labels: list[int]

    @property
    def probation(self) -> int:
        """Rows that are not scored, by NAB's rule."""
        return int(min(0.15 * len(self.recorded.stamps), 750))


def load(data: Path, only: Sequence[str]) -> list[File]:
    """Read the files of NAB that begin with one of ``only`` (all where it is empty)."""
    windows = json.loads((data / "combined_windows.json").read_text())
    labels = json.loads((data / "combined_labels.json").read_text())
    files = []
    for name in sorted(windows):
        if only and not name.startswith(tuple(only)):
            continue
        recorded = table.read(data / name, "timestamp", ["value"])
        spans = [(_ms(first), _ms(last)) for first, last in windows[name]]
        files.append(File(name, recorded, spans, [_ms(label) for label in labels[name]]))
    return files


def _ms(stamp: str) -> int:
    return round(datetime.fromisoformat(stamp[:19] + "+00:00").timestamp() * 1000)


def ours(values: FloatArray, time_ms: npt.NDArray[np.int64], calibrate: int) -> FloatArray:
    """The gateway's own detector."""
    return offline.score(time_ms, values[:, None], ["value"], calibrate).score


def _baseline(score: Baseline, rest: bool = True) -> Scorer:
    """Return a baseline with the rest after an alarm that ours has, without which it alarms row after row."""

    def scored(values: FloatArray, time_ms: npt.NDArray[np.int64], calibrate: int) -> FloatArray:
        scores = score(known(values), calibrate)
        return offline.rested(scores, calibrate // 5) if rest else scores

    return scored


DETECTORS: dict[str, tuple[Scorer, str]] = {
    "strandline": (ours, ""),
    "windowed Gaussian, NAB": (_baseline(windowed_gaussian, rest=False), ""),
    **{name: (_baseline(score), package) for name, (score, package) in ONE_CHANNEL.items()},
}
"""By name: the detector, and the library that it needs. NAB's own windowed Gaussian has no rest."""


def measure(files: Sequence[File], detector: Scorer, data: Path, scorer: Path) -> dict[str, float]:
    """Return NAB's scores, false alarms a week and the median delay of one detector."""
    alarms_outside, outside_ms, delays, found, count = 0, 0.0, [], 0, 0
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            scores = detector(file.recorded.values[:, 0], file.recorded.time_ms, file.probation)
            _write(Path(folder) / file.name, file.recorded.stamps, scores / (1.0 + scores))
            times = file.recorded.time_ms
            alarms = times[file.probation :][scores[file.probation :] >= 1.0]
            inside = np.zeros(len(alarms), np.bool_)
            outside_ms += float(times[-1] - times[file.probation])
            for first, last in file.windows:
                label = min((at for at in file.labels if first <= at <= last), default=first)
                outside_ms -= max(0.0, float(last - max(first, times[file.probation])))
                within = (alarms >= first) & (alarms <= last)
                inside |= within
                count += int(last >= times[file.probation])
                if within.any():
                    found += 1
                    delays.append(max(0.0, float(alarms[within][0] - label)))
            alarms_outside += int((~inside).sum())
        seconds = time.perf_counter() - started
        names = ["--only", *[file.name for file in files]]
        best = _score(scorer, data, Path(folder), names)
        fixed = _score(scorer, data, Path(folder), [*names, "--threshold", "0.5"])
    return {
        "score_best_threshold": best,
        "score_fixed_level": fixed,
        "windows_found": found,
        "windows": count,
        "false_alarms_a_week": round(alarms_outside / (outside_ms / WEEK_MS), 3),
        "median_delay_minutes": round(float(np.median(delays)) / 60_000, 1) if delays else float("nan"),
        "seconds": round(seconds, 1),
    }


def _write(path: Path, stamps: Sequence[str], scores: FloatArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("timestamp", "anomaly_score"))
        writer.writerows(zip(stamps, scores.tolist(), strict=True))


def _score(scorer: Path, data: Path, results: Path, more: Sequence[str]) -> float:
    command = [sys.executable, str(scorer), str(data), str(results), *more]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 # the scorer given
    return float(json.loads(done.stdout)["standard"]["score"])


def noise(kind: str, rows: int, series: int, seed: int) -> FloatArray:
    """Return [rows, series] of a process in which nothing is wrong."""
    rng = np.random.default_rng(seed)
    values = rng.laplace(size=(rows, series)) if kind == "laplace" else rng.normal(size=(rows, series))
    for row in range(1, rows if kind == "autoregressive" else 1):
        values[row] += 0.8 * values[row - 1]
    if kind == "daily swing":
        values += 3.0 * np.sin(np.arange(rows) * (2 * np.pi / 96))[:, None]
    return np.asarray(values, np.float64)


def false_alarms(kind: str, calibration: int, every: int, rows: int, series: int) -> dict[str, Any]:
    """Return how many false alarms there are against how many the setting allows, in windows of one minute."""
    width_ms = 60_000
    setting = MONTH_MS / width_ms / every
    values = noise(kind, rows, series, seed=1)
    ensemble = Ensemble(Settings(calibration=calibration, false_alarms_per_month=setting))
    ensemble.add_series([None] * series)
    none, one, alarms = np.zeros(series), np.ones(series), 0
    for row, value in enumerate(values, start=1):
        windows = Windows(value, value, value, none, one, one * row)
        step = ensemble.step(slice(None), row * width_ms, width_ms, windows)
        alarms += sum(change.phase is Phase.ONSET for change in step.changes)
    allowed = series * (rows - calibration) / every
    return {
        "process": kind,
        "calibration": calibration,
        "set_a_month": round(setting, 2),
        "measured_a_month": round(alarms / allowed * setting, 2),
        "ratio": round(alarms / allowed, 2),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/nab"))
    parser.add_argument("--scorer", type=Path, default=Path("../shared/tools/nab_score.py"))
    parser.add_argument("--only", nargs="*", default=[], help="files whose path starts with one of these")
    parser.add_argument("--quick", action="store_true", help="only our detector, and fewer false-alarm runs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    files = load(options.data, options.only)
    report: dict[str, Any] = {"files": len(files), "detectors": {}, "skipped": [], "false_alarms": []}
    print(f"{'detector':24}{'best':>8}{'fixed':>8}{'found':>8}{'of':>5}{'false/week':>12}{'delay min':>11}{'s':>8}")
    for name, (detector, package) in DETECTORS.items():
        if options.quick and name != "strandline":
            continue
        try:
            row = measure(files, detector, options.data, options.scorer)
        except ImportError:
            report["skipped"].append(name)
            print(f"{name:24}  not run: {package} is not installed")
            continue
        report["detectors"][name] = row
        print("{:24}{:8.1f}{:8.1f}{:8}{:5}{:12.2f}{:11.1f}{:8.1f}".format(name, *row.values()))
    print(f"\n{'process':18}{'calibration':>12}{'set/month':>12}{'measured':>10}{'ratio':>8}")
    kinds = ["normal"] if options.quick else ["normal", "autoregressive", "laplace", "daily swing"]
    for kind in kinds:
        for calibration, every in ((60, 1_000), (300, 1_000), (300, 5_000)):
            result = false_alarms(kind, calibration, every, rows=5_000, series=60)
            report["false_alarms"].append(result)
            print("{:18}{:12}{:12.2f}{:10.2f}{:8.2f}".format(*result.values()))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
