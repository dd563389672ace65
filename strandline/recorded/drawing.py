"""Plots of a scored table: each channel with its expected range and alarms, and the score. Needs matplotlib.

The colours are those of Okabe and Ito, which people with colour vision deficiency can distinguish; no information
depends on colour alone.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray
from strandline.errors import TableError, reason

if TYPE_CHECKING:
    from strandline.recorded.detection import Detection
    from strandline.recorded.table import Table

WIDTH, DPI = 10.0, 90
"""Inches, and pixels in one."""
SCORE_PANEL, MARGINS = 1.5, 0.9
OBSERVED, EXPECTED, ALARM, QUIET = "#0072B2", "#009E73", "#D55E00", "#777777"
COLOURS = 56
"""Size of the PNG's palette; it reduces the file to a third."""
MAX_COLUMNS = 1000
LABEL_ROWS = 2
OUTLIER_RATIO = 3.0
"""Ratio of the range of all values to that of 99% of them above which outliers are cut off."""
_BEHIND = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows [first, last] of one anomaly, with the cause and the channel of its highest score."""

    first: int
    last: int
    cause: str
    channel: str


def draw(path: Path, recorded: Table, found: Detection, calibrate: int) -> None:
    """Write a PNG; raises TableError if it cannot be written, ModuleNotFoundError without the extra ``plot``."""
    from matplotlib.dates import ConciseDateFormatter
    from matplotlib.figure import Figure

    n = len(recorded.channels)
    each = 2.2 if n == 1 else 1.3 if n <= 3 else 0.75
    figure = Figure(figsize=(WIDTH, round(each * n + SCORE_PANEL + MARGINS, 2)), dpi=DPI, layout="constrained")
    axes = figure.subplots(n + 1, 1, sharex=True, squeeze=False, height_ratios=[each] * n + [SCORE_PANEL])[:, 0]
    time = (recorded.time_ms.astype("datetime64[ms]"), "time, UTC")
    x, unit = time if (np.diff(recorded.time_ms) > 0).all() else (np.arange(len(recorded.stamps)), "row")
    found_stretches = stretches(found)
    for at, (axis, channel) in enumerate(zip(axes, recorded.channels, strict=False)):
        _channel(axis, x, recorded.values[:, at], found, at)
        axis.text(0.004, 0.96, channel, transform=axis.transAxes, va="top", fontsize="small", bbox=_BEHIND, zorder=5)
        for stretch in found_stretches:
            _span(axis, x, stretch, own=stretch.channel == channel)
    _score(axes[-1], x, found)
    _labels(axes[0], x, found_stretches)
    for axis in axes:
        axis.axvspan(x[0], x[calibrate], color=QUIET, alpha=0.13, linewidth=0)
        axis.tick_params(labelsize="small")
        axis.margins(x=0.005)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    if unit != "row":
        axis = axes[-1].xaxis
        axis.set_major_formatter(ConciseDateFormatter(axis.get_major_locator()))  # type: ignore[no-untyped-call]
    axes[-1].set_xlabel(unit)
    _legend(figure, axes[0], path.stem)
    _write(path, figure)


def stretches(found: Detection) -> list[Stretch]:
    """Return the stretches that are marked as anomalies."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], found.anomaly.astype(np.int8), [0]))))
    found_stretches = []
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        peak = first + int(found.level[first:end].argmax())
        found_stretches.append(Stretch(first, end - 1, found.cause[peak], found.channel[peak]))
    return found_stretches


def _channel(axis: Any, x: Any, values: FloatArray, found: Detection, at: int) -> None:
    low, high = _range(values)
    lower, upper = _smoothed(found.lower[:, at]), _smoothed(found.upper[:, at])
    axis.fill_between(x, lower, upper, color=EXPECTED, alpha=0.25, linewidth=0, label="expected, with its interval")
    axis.plot(x, _smoothed(found.expected[:, at]), linewidth=0.9, color=EXPECTED)
    thinned = thin(values)
    axis.plot(x[thinned], values[thinned], linewidth=0.8, color=OBSERVED, label="observed")
    axis.set_ylim(low, high)
    axis.locator_params(axis="y", nbins=4)


def _range(values: FloatArray) -> tuple[float, float]:
    """Return the limits of an axis: all values, without outliers that would flatten the rest."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, most, high = (float(value) for value in (known.min(), np.ptp(known), known.max()))
    inner = [float(value) for value in np.quantile(known, (0.005, 0.995))]
    usual = inner[1] - inner[0]
    if 0 < usual * OUTLIER_RATIO < most:
        low, high = max(low, inner[0] - usual / 2), min(high, inner[1] + usual / 2)
    margin = 0.12 * (high - low) or max(abs(high), 1.0) * 0.1
    return low - margin, high + margin


def _smoothed(values: FloatArray) -> FloatArray:
    """Return the median of the rows around each: whose bounds these are, the loudest cause's, changes row by row."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return values
    # Where a cause has no bounds, those of the row before are shown.
    last = np.searchsorted(known, np.arange(len(values)), side="right") - 1
    filled = values[known[np.maximum(last, 0)]]
    reach = max(2, len(values) // 300)
    padded = np.concatenate((np.full(reach, filled[0]), filled, np.full(reach, filled[-1])))
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return np.asarray(np.where(last >= 0, np.median(around, axis=1), np.nan))


def thin(values: FloatArray) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the rows to draw: all, or the minimum and maximum of each pixel column if there are many."""
    if len(values) <= 2 * MAX_COLUMNS:
        return np.arange(len(values))
    kept: list[int] = []
    for part in np.array_split(np.arange(len(values)), MAX_COLUMNS):
        known = part[np.isfinite(values[part])]
        ends = (
            {int(known[values[known].argmin()]), int(known[values[known].argmax()])} if len(known) else {int(part[0])}
        )
        kept += sorted(ends)
    return np.array(kept, np.intp)


def _span(axis: Any, x: Any, stretch: Stretch, own: bool) -> None:
    last = min(stretch.last + 1, len(x) - 1)
    alpha = 0.4 if own else 0.2
    # An anomaly of one row is seen too.
    axis.axvspan(x[stretch.first], x[last], facecolor=ALARM, edgecolor=ALARM, alpha=alpha, linewidth=1.2 if own else 0)


def _score(axis: Any, x: Any, found: Detection) -> None:
    level = np.minimum(found.level, max(3.0, float(np.quantile(found.level, 0.999))))
    thinned = thin(level)
    axis.set_yscale("function", functions=(np.sqrt, np.square))
    axis.plot(x[thinned], level[thinned], linewidth=0.8, color="black")
    axis.axhline(1.0, linewidth=1.0, linestyle="--", color=ALARM)
    axis.annotate("alarm", (1.0, 1.0), xycoords=("axes fraction", "data"), fontsize="small", color=ALARM, va="center")
    alarms = np.flatnonzero(found.score >= 1.0)
    axis.plot(x[alarms], level[alarms], "v", markersize=5, color=ALARM)
    top = max(2.0, float(level.max()) * 1.25)
    axis.set_ylim(0.0, top)
    axis.set_yticks([tick for tick in (0, 1, 2, 4, 8, 16, 32, 64) if tick < top])
    axis.set_ylabel("score")


def _labels(axis: Any, x: Any, labelled: Sequence[Stretch]) -> None:
    """Write each stretch's cause above the first panel, as far as there is room."""
    ends = [-1.0] * LABEL_ROWS
    for stretch in labelled:
        at = stretch.first / max(1, len(x))
        width = (len(stretch.cause) + 2) * 0.0085
        row = next((row for row, end in enumerate(ends) if end <= at), None)
        if row is None:
            continue
        ends[row] = at + width
        axis.annotate(
            stretch.cause,
            (x[stretch.first], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3 + 10 * row),
            textcoords="offset points",
            fontsize="small",
            color=ALARM,
            ha="left" if at < 0.9 else "right",
            annotation_clip=False,
        )


def _legend(figure: Any, axis: Any, title: str) -> None:
    from matplotlib.patches import Patch

    handles, _ = axis.get_legend_handles_labels()
    handles += [Patch(color=ALARM, alpha=0.4, label="anomaly"), Patch(color=QUIET, alpha=0.13, label="calibration")]
    figure.legend(handles=handles, loc="outside upper right", ncols=4, fontsize="small", frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium")


def _write(path: Path, figure: Any) -> None:
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    drawn.seek(0)
    with Image.open(drawn) as picture:
        small = picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    try:
        small.save(path, optimize=True)
    except OSError as error:
        raise TableError(f"{path}: {reason(error)}") from error
