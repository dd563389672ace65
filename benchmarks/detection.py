"""One table of detection quality: this detector and its baselines on recordings of many kinds.

``python benchmarks/detection.py [--data ../shared/data] [--part N] [--short] [--only GROUP ...] [--detectors NAME ...]
[--models] [--json] [--jobs 2] [--no-rates]``. ``--part N`` takes one in N recordings of each group, ``--short`` at most
1,680 rows of each around its first event, 420 of them the calibration. ``--json`` prints the same figures as one JSON
object. ``--models`` adds the contribution of models: the detector with the shipped TFLite forecaster in place of
NumPy's sums (for NAB only), the detector without the experts that use its forecasts, and auto-encoders in place of the
joint statistics.

For each group of recordings: its usual measure, the events found, the false alarms, the share of fault-free time that
is marked as anomaly, and the median delay in rows. ``in`` marks the groups on which constants of the detector were
chosen, ``out`` the others. After that, the false alarms on processes without faults against the setting.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_components.anomaly_detector.model_runtime.forecaster_manager import RequestedModel
from edge_components.anomaly_detector.model_runtime.forecaster_manager import load as load_forecaster
from edge_components.anomaly_detector.univariate.experts import EXPERTS
from edge_components.anomaly_detector.univariate.experts.base import AnyExpert
from edge_components.anomaly_detector.univariate.experts.forecast import ForecastError
from edge_components.anomaly_detector.univariate.experts.outlier import Outlier
from edge_components.anomaly_detector.univariate.experts.trend import Trend
from edge_components.anomaly_detector.univariate.forecaster import Forecast, plain_forecast
from strandline.recorded import offline
from strandline.recorded.detection import Detection

if TYPE_CHECKING or __package__:
    from benchmarks import detection_models, false_alarms
    from benchmarks.detection_baselines import GROUPS, ONE_CHANNEL, Baseline, known
    from benchmarks.detection_data import Group, load, shortened
    from benchmarks.detection_measures import Scored, measure
    from benchmarks.one_thread import ensure_one_thread
else:  # run as a file, beside which the others are
    import detection_models
    import false_alarms
    from detection_baselines import GROUPS, ONE_CHANNEL, Baseline, known
    from detection_data import Group, load, shortened
    from detection_measures import Scored, measure
    from one_thread import ensure_one_thread

OURS = "strandline"
TFLITE, NO_FORECAST = "strandline, TFLite", "strandline, no forecast"
OWN_ENCODER, OTHERS_ENCODER = "auto-encoder, itself", "auto-encoder, others"
COLUMNS = (
    ("nab_fixed", "NAB 1.0", "{:.1f}"),
    ("nab_best", "NAB best", "{:.1f}"),
    ("highest_at_event", "highest", "{}"),
    ("f1", "F1", "{:.3f}"),
    ("false_rows", "false", "{:.1%}"),
    ("missed_rows", "missed", "{:.1%}"),
    ("found", "found", "{}"),
    ("onsets", "onsets", "{}"),
    ("events", "of", "{}"),
    ("false_alarms", "alarms", "{}"),
    ("false_onsets", "f.onsets", "{}"),
    ("false_alarms_per_1000_rows", "/1000", "{:.2f}"),
    ("fault_free_marked", "marked", "{:.1%}"),
    ("median_delay_rows", "delay", "{:.0f}"),
)
"""By measure: its column's title and format. ``onsets`` are events within which an anomaly begins, ``alarms`` false
alarms, of which ``f.onsets`` are beginnings of an anomaly and the others its repetitions; ``delay`` is in rows."""


def ours(
    group: Group, forecast: Forecast = plain_forecast, experts: Sequence[type[AnyExpert]] = EXPERTS
) -> list[Scored]:
    """Score a group as ``strandline detect`` does; recordings of one channel with equal calibrations in one pass."""
    found: dict[int, Detection] = {}
    passes: dict[int, list[int]] = {}
    for at, recording in enumerate(group.recordings):
        channels = [f"c{one}" for one in range(recording.values.shape[1])]
        if len(channels) > 1:
            found[at] = offline.score(recording.time_ms, recording.values, channels, recording.calibrate)
        else:
            passes.setdefault(recording.calibrate, []).append(at)
    for calibrate, chosen in passes.items():
        tables = [(group.recordings[at].time_ms, group.recordings[at].values[:, 0]) for at in chosen]
        found |= dict(zip(chosen, offline.score_each(tables, calibrate, forecast, experts), strict=True))
    return [Scored(found[at].score, found[at].anomaly) for at in range(len(group.recordings))]


def with_tflite(group: Group) -> list[Scored]:
    """Score a group with the forecasts of the shipped TFLite model."""
    shipped = RequestedModel.read("")
    return ours(group, load_forecaster(shipped.manifest, shipped.content))


def without_forecast(group: Group) -> list[Scored]:
    """Score a group without the experts that use the model's forecasts."""
    return ours(group, experts=[one for one in EXPERTS if one not in (ForecastError, Trend, Outlier)])


ONE_CHANNEL_MODELS = {TFLITE: with_tflite, NO_FORECAST: without_forecast}
GROUP_MODELS = {OWN_ENCODER: detection_models.own_calibration, OTHERS_ENCODER: detection_models.other_runs}


def baseline(score: Baseline, group: Group) -> list[Scored]:
    """Score a group by a baseline, with the rest after an alarm that this detector has."""
    scored = []
    for recording in group.recordings:
        values = known(recording.values)
        level = score(values if values.shape[1] > 1 else values[:, 0], recording.calibrate)
        scored.append(Scored(offline.rested(level, recording.calibrate // 5), level >= 1.0))
    return scored


def evaluate(task: tuple[str, Group, Path]) -> dict[str, Any] | None:
    """Return the measures of a detector on a group, those of its name only if its library is not installed, and None if
    it is not for the group."""
    name, group, nab = task
    started = time.perf_counter()
    try:
        scored = _scored(name, group)
    except ImportError:
        return {"not_installed": name}
    if scored is None:
        return None
    row: dict[str, Any] = {"detector": name, "group": group.name, "in_sample": group.in_sample}
    row |= measure(group, scored, nab if nab.is_file() else None)
    return row | {"seconds": round(time.perf_counter() - started, 1)}


def _scored(name: str, group: Group) -> list[Scored] | None:
    several = group.recordings[0].values.shape[1] > 1
    if name == OURS:
        return ours(group)
    models = GROUP_MODELS if several else ONE_CHANNEL_MODELS
    if name in models:
        return models[name](group)
    return baseline((GROUPS if several else ONE_CHANNEL)[name][0], group)


def tasks(
    groups: Sequence[Group], names: Sequence[str], nab: Path, models: bool = False
) -> Iterator[tuple[str, Group, Path]]:
    """Return the detectors to run on each group."""
    for group in groups:
        several = group.recordings[0].values.shape[1] > 1
        own = (GROUP_MODELS if several else ONE_CHANNEL_MODELS) if models else {}
        for name in (OURS, *own, *(GROUPS if several else ONE_CHANNEL)):
            if name == TFLITE and group.measure != "nab":
                continue  # the scores are those of NumPy, so one kind of recordings is enough
            if not names or name in names:
                yield name, group, nab


def rate_cases(part: int) -> list[tuple[bool, str, int, int, int]]:
    """Return the processes without faults to score: whether groups of series, the kind, the rows of the calibration,
    the windows between false alarms, and all rows."""
    cases = []
    for kind in false_alarms.KINDS:
        for calibration, every in false_alarms.CASES[: None if part == 1 else 2]:
            cases.append((False, kind, calibration, every, calibration + max(2_000, every // 2)))
        for calibration, every in false_alarms.GROUPED[: None if part == 1 else 1]:
            cases.append((True, kind, calibration, every, 6_000 // part + calibration))
    return cases


def rate(case: tuple[bool, str, int, int, int]) -> dict[str, Any]:
    """Return the false alarms of a case against the setting."""
    grouped, kind, calibration, every, rows = case
    if grouped:
        return false_alarms.grouped(kind, calibration, every, rows, groups=6)
    return false_alarms.simulated(kind, calibration, every, rows, series=60)


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    cells = (form.format(row[key]) if key in row and np.isfinite(row[key]) else "" for key, _, form in COLUMNS)
    sample = "in" if row["in_sample"] else "out"
    return f"{row['group']:28}{row['detector']:24}{sample:>4}" + "".join(f"{cell:>9}" for cell in cells)


def main() -> None:
    """Run and print."""
    ensure_one_thread()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--scorer", type=Path, default=Path("../shared/tools/nab_score.py"))
    parser.add_argument("--part", type=int, default=1, help="one in this number of recordings")
    parser.add_argument("--short", action="store_true", help="at most 1,680 rows of each recording of one channel")
    parser.add_argument("--only", nargs="*", default=[], help="groups whose name contains one of these")
    parser.add_argument("--detectors", nargs="*", default=[], help="names of the detectors to run")
    parser.add_argument("--models", action="store_true", help="also what the models contribute")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    parser.add_argument("--no-rates", action="store_true", help="without false alarms against the setting")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    loaded = load(options.data, options.part)
    groups = [group for group in loaded if not options.only or any(name in group.name for name in options.only)]
    groups = shortened(groups) if options.short else groups
    report: dict[str, Any] = {"part": options.part, "rows": [], "not_installed": [], "rates": []}
    if not options.json:
        print(f"{'group':28}{'detector':24}{'':4}" + "".join(f"{title:>9}" for _, title, _ in COLUMNS))
    chosen = list(tasks(groups, options.detectors, options.scorer, options.models))
    with ProcessPoolExecutor(options.jobs) as pool:
        rows = pool.map(evaluate, chosen)
        rates = pool.map(rate, [] if options.no_rates else rate_cases(options.part))
        for row in filter(None, rows):
            if "not_installed" in row:
                report["not_installed"] = sorted({*report["not_installed"], row["not_installed"]})
            else:
                report["rows"].append(row)
                if not options.json:
                    print(line(row), flush=True)
        report["rates"] = list(rates)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    for name in report["not_installed"]:
        print(f"{name}: not run, its library is not installed")
    for result in report["rates"]:
        print("{:24}{:12}{:12.2f}{:10.2f}{:8}{:8.2f}".format(*result.values()))


if __name__ == "__main__":
    main()
