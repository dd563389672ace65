"""Choose a constant of the detector by leave-one-group-out.

``python benchmarks/detection_choice.py [--data ../shared/data] [--groups] [--short] [--part N] [--json] [--jobs 2]``.
Each constant takes each of its other values alone, on all groups of recordings: those of one channel, or with
``--groups`` those of several channels, which are then scored by the joint score alone, without ``stuck`` and ``gap``.
For each group, the setting with the best mean quality over the *other* groups is chosen, and its quality on the group
is printed: the figure to expect on recordings of another kind. One change is chosen at a time, since changes that are
good alone need not be together: adopt it, and run again.

Quality is between 0 and 1: NAB's score at the fixed level over 100; F1 of rows; for events F1 of events and false
alarms, with the recordings whose highest score is at the event as the other half where that is the usual measure.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.multivariate.group_detector import GroupDetector

if TYPE_CHECKING or __package__:
    from benchmarks.detection import ours
    from benchmarks.detection_data import Group, load, shortened
    from benchmarks.detection_measures import Scored, measure
    from benchmarks.one_thread import ensure_one_thread
else:  # run as a file, beside which the others are
    from detection import ours
    from detection_data import Group, load, shortened
    from detection_measures import Scored, measure
    from one_thread import ensure_one_thread


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant of a module of the detector, and the other ``values`` that it could have."""

    module: str
    name: str
    values: tuple[float, ...]

    @property
    def title(self) -> str:
        """Return module and name."""
        return f"{self.module.rpartition('.')[2]}.{self.name}"


_SERIES = "edge_components.anomaly_detector.univariate"
SERIES = (
    Constant(f"{_SERIES}.calibration", "POWER", (2.5, 5.0)),
    Constant(f"{_SERIES}.calibration", "BLOCKS", (8, 32)),
    Constant(f"{_SERIES}.settings", "UNSET_MARGIN", (0.3, 1.0)),
    Constant(f"{_SERIES}.calibration", "GROWTH", (2.0, 5.0)),
    Constant(f"{_SERIES}.calibration", "UNSET_OBSERVED", (0.0, 0.3)),
    Constant(f"{_SERIES}.tracking", "REST_ONSET", (1.5, 3.0)),
    Constant(f"{_SERIES}.experts.outlier", "RECENT", (7, 15)),
    Constant(f"{_SERIES}.experts.outlier", "OVER_USUAL", (1.5, 3.0)),
    Constant(f"{_SERIES}.experts.outlier", "HEAVY", (0.75, 1.5)),
    Constant(f"{_SERIES}.experts.discord", "OVER_USUAL", (1.3, 1.75, 2.0)),
    Constant("strandline.recorded.offline", "DRIFT_SHARE", (0.25, 1.0)),
)
"""Constants of single series."""
_JOINT = "edge_components.anomaly_detector.multivariate"
JOINT = (
    Constant(f"{_JOINT}.baseline", "SLEW", (1.0, 2.0)),
    Constant(f"{_JOINT}.baseline", "STATIONARY", (0.2, 0.5)),
    Constant(f"{_JOINT}.baseline", "STEADY", (0.05, 0.2)),
    Constant(f"{_JOINT}.baseline", "SHRINK", (0.1, 0.4)),
    Constant(f"{_JOINT}.baseline", "TOGETHER", (1.15, 1.5)),
    Constant(f"{_JOINT}.baseline", "ALONE", (1.25, 1.75)),
    Constant(f"{_JOINT}.baseline", "ROUGHER", (1.5, 2.5)),
    Constant(f"{_JOINT}.stationary", "LIMIT", (1.0, 1.3)),
    Constant(f"{_JOINT}.group_detector", "STATIONARY_END_LEVEL", (0.6, 1.0)),
    Constant(f"{_JOINT}.group_detector", "WANDERING_DRIFT", (1, 4)),
    Constant(f"{_JOINT}.recovery", "END_FRACTION", (0.4, 0.6)),
    Constant(f"{_JOINT}.recovery", "END_ROWS", (4, 12)),
)
"""Constants of groups of series."""

Setting = Mapping[Constant, float]
"""Values of some constants; the others are as they are."""


@contextmanager
def applied(setting: Setting) -> Iterator[None]:
    """Apply a setting within a block."""
    modules = {one: importlib.import_module(one.module) for one in setting}
    before = {one: getattr(module, one.name) for one, module in modules.items()}
    for one, value in setting.items():
        setattr(modules[one], one.name, value)
    try:
        yield
    finally:
        for one, value in before.items():
            setattr(modules[one], one.name, value)


def quality(row: Mapping[str, Any], recordings: int) -> float:
    """Return the quality of a group's measures, 0 to 1."""
    if "nab_fixed" in row:
        return float(row["nab_fixed"]) / 100.0
    if "f1" in row:
        return float(row["f1"])
    found, events, false = row["found"], row["events"], row["false_alarms"]
    of_events = 2 * found / max(1, found + events + false)
    if "highest_at_event" in row:
        return float(0.5 * (of_events + row["highest_at_event"] / recordings))
    return float(of_events)


def jointly(group: Group) -> list[Scored]:
    """Score recordings of several channels by the joint score alone."""
    found = []
    for recording in group.recordings:
        calibrate = recording.calibrate
        joint = GroupDetector(recording.values.shape[1], calibrate, 2 * calibrate, calibrate)
        steps = [joint.step(row) for row in recording.values]
        found.append(Scored(np.array([one.score for one in steps]), np.array([one.anomaly for one in steps])))
    return found


def evaluate(task: tuple[Setting, Group, Path]) -> float:
    """Return the quality of a setting on a group."""
    setting, group, scorer = task
    several = group.recordings[0].values.shape[1] > 1
    with applied(setting):
        scored = jointly(group) if several else ours(group)
        return quality(measure(group, scored, scorer if scorer.is_file() else None), len(group.recordings))


def settings_of(constants: Sequence[Constant]) -> list[Setting]:
    """Return the setting without a change, and those with one change."""
    return [{}, *({one: value} for one in constants for value in one.values)]


def chosen(found: npt.NDArray[np.float64], apart: int | None = None) -> int:
    """Return the index of the setting with the best mean quality of ``found`` [settings, groups], without the group
    ``apart``; the setting without a change if none is better."""
    counted = found if apart is None else np.delete(found, apart, axis=1)
    return int(counted.mean(axis=1).argmax())


def named(setting: Setting) -> dict[str, float]:
    """Return a setting by the titles of its constants."""
    return {one.title: value for one, value in setting.items()}


def main() -> None:
    """Run and print."""
    ensure_one_thread()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--scorer", type=Path, default=Path("../shared/tools/nab_score.py"))
    parser.add_argument("--part", type=int, default=1, help="one in this number of recordings")
    parser.add_argument(
        "--short", action="store_true", help="short recordings, but for NAB, whose score needs whole ones"
    )
    parser.add_argument("--groups", action="store_true", help="constants of groups of series, on such recordings")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    loaded = [one for one in load(options.data, options.part) if any(record.events for record in one.recordings)]
    groups = [one for one in loaded if (one.recordings[0].values.shape[1] > 1) == options.groups]
    if options.short:
        groups = [one if one.measure == "nab" else shortened([one])[0] for one in groups]
    settings = settings_of(JOINT if options.groups else SERIES)
    with ProcessPoolExecutor(options.jobs) as pool:
        every = [(setting, group, options.scorer) for setting in settings for group in groups]
        found = np.array(list(pool.map(evaluate, every))).reshape(len(settings), len(groups))
    choices = [chosen(found, apart) for apart in range(len(groups))]
    left_out = found[choices, np.arange(len(groups))]
    report: dict[str, Any] = {
        "settings": len(settings),
        "groups": [
            {"group": group.name, "present": now, "left_out": apart, "choice": named(settings[choice])}
            for group, now, apart, choice in zip(groups, found[0].tolist(), left_out.tolist(), choices, strict=True)
        ],
        "mean": {"present": float(found[0].mean()), "left_out": float(left_out.mean())},
        "choice": named(settings[chosen(found)]),
        "alone": [
            {"setting": named(setting), "mean": float(row.mean()), "by_group": row.tolist()}
            for setting, row in zip(settings, found, strict=True)
        ],
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{'group':28}{'present':>9}{'left out':>9}")
    for row in report["groups"]:
        print(f"{row['group']:28}{row['present']:9.3f}{row['left_out']:9.3f}  {row['choice']}")
    print("{:28}{:9.3f}{:9.3f}".format("mean", *report["mean"].values()), report["choice"])
    print(f"{report['settings']} settings")


if __name__ == "__main__":
    main()
