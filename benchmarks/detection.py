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

from strandline.recorded import offline, table

if TYPE_CHECKING or __package__:
    from benchmarks import false_alarms
    from benchmarks.detection_baselines import ONE_CHANNEL, Baseline, known, windowed_gaussian
else:  # run as a file, beside which the others are
    import false_alarms
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


def keeping(files: Sequence[File], quick: bool) -> list[dict[str, Any]]:
    """Return the ratio of false alarms to the setting on data without faults."""
    found = []
    for kind in false_alarms.KINDS[:1] if quick else false_alarms.KINDS:
        for calibration, every in false_alarms.CASES:
            if not quick or every <= 5_000:
                rows = calibration + max(5_000, every // 2)
                found.append(false_alarms.simulated(kind, calibration, every, rows, series=60))
        for calibration, every in false_alarms.GROUPED:
            found.append(false_alarms.grouped(kind, calibration, every, rows=6_000 + calibration, groups=6))
    for group in sorted({file.name.partition("/")[0] for file in files}):
        some = [file for file in files if file.name.startswith(f"{group}/")][: 2 if quick else None]
        one = [(f.recorded.time_ms, f.recorded.values[:, 0], f.probation, f.windows) for f in some]
        found.append(false_alarms.recorded(group, one, 1_000, rows=4_000))
    return found


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
        except ImportError as error:
            report["skipped"].append(name)
            print(f"{name:24}  not run: {package} cannot be imported ({error})")
            continue
        report["detectors"][name] = row
        print("{:24}{:8.1f}{:8.1f}{:8}{:5}{:12.2f}{:11.1f}{:8.1f}".format(name, *row.values()))
    print(f"\n{'process':24}{'calibration':>12}{'set/month':>12}{'measured':>10}{'alarms':>8}{'ratio':>8}")
    for result in keeping(files, options.quick):
        report["false_alarms"].append(result)
        print("{:24}{:12}{:12.2f}{:10.2f}{:8}{:8.2f}".format(*result.values()))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
