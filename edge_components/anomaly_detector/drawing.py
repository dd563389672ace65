"""Draws a scored table: each channel with what was expected, the score, and the alarms. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_components.anomaly_detector.errors import TableError

if TYPE_CHECKING:
    from edge_components.anomaly_detector.detection import Detection
    from edge_components.anomaly_detector.table import Table


def draw(path: Path, recorded: Table, found: Detection, calibrate: int) -> None:
    """Write a PNG; raises TableError where matplotlib is not installed or the file can't be written."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TableError("a PNG needs matplotlib: pip install matplotlib") from error
    n = len(recorded.channels)
    figure = Figure(figsize=(12, 1.8 * (n + 1)), layout="constrained")
    axes = figure.subplots(n + 1, 1, sharex=True, squeeze=False)[:, 0]
    rows = np.arange(len(recorded.stamps))
    for at, (axis, channel) in enumerate(zip(axes, recorded.channels, strict=False)):
        axis.plot(rows, recorded.values[:, at], linewidth=0.8, color="tab:blue", label="observed")
        axis.plot(rows, found.expected[:, at], linewidth=0.6, color="tab:orange", alpha=0.7, label="expected")
        axis.set_ylabel(channel)
    axes[0].legend(loc="upper left", ncols=2, fontsize="small")
    axes[-1].plot(rows, found.level, linewidth=0.8, color="tab:gray")
    axes[-1].axhline(1.0, linewidth=0.8, linestyle="--", color="tab:red")
    alarms = np.flatnonzero(found.score >= 1.0)
    axes[-1].plot(alarms, found.score[alarms], "v", markersize=5, color="tab:red")
    axes[-1].set_ylabel("score")
    axes[-1].set_xlabel("row")
    edges = np.flatnonzero(np.diff(np.concatenate(([0], found.anomaly.astype(np.int8), [0]))))
    for axis in axes:
        axis.axvspan(0, calibrate, color="tab:gray", alpha=0.12, linewidth=0)
        for onset, end in zip(edges[::2], edges[1::2], strict=True):
            axis.axvspan(onset, end, color="tab:red", alpha=0.15, linewidth=0)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise TableError(f"{path}: {error}") from error
