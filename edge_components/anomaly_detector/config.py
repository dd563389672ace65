"""The configuration of the anomaly detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_components.anomaly_detector.multivariate.baseline import SHORTEST
from edge_components.anomaly_detector.multivariate.groups import GroupSettings
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.common.config import flag, integer, mapping, number, text, texts
from edge_components.common.series_limit import DEFAULT_SERIES, MAX_SERIES
from wire.errors import ModelError
from wire.model import Series

_WARM_UP = "an object from globs to whole numbers from 0 to 1000000"


def _warm_up(value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise ValueError(_WARM_UP)
    try:
        found = {str(glob): int(str(windows)) for glob, windows in value.items()}
    except ValueError as error:
        raise ValueError(_WARM_UP) from error
    if any(not 0 <= windows <= 1_000_000 for windows in found.values()):
        raise ValueError(_WARM_UP)
    return found


_REPORTED = "an object from globs to true or false"


def _reported(value: Any) -> dict[str, bool]:
    if not isinstance(value, Mapping):
        raise ValueError(_REPORTED)
    # Nucleus lite gives the scalars of a recipe as strings.
    flags = {str(glob): str(reported).lower() for glob, reported in value.items()}
    if not set(flags.values()) <= {"true", "false"}:
        raise ValueError(_REPORTED)
    return {glob: reported == "true" for glob, reported in flags.items()}


_GROUPS = 'an object from globs to names of groups, or to "" for no group'


def _groups(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value.values()):
        raise ValueError(_GROUPS)
    found = {str(glob): str(name) for glob, name in value.items()}
    try:
        for name in found.values():
            Series(name or "no-group")
    except ModelError as error:
        raise ValueError(_GROUPS) from error
    return found


@dataclass(frozen=True, slots=True)
class Config:
    """The anomaly detector's configuration."""

    calibration_windows: int = integer(
        60, 12, 2000, "number of windows on which a series is calibrated; a change restarts all calibrations"
    )
    false_alarms_per_month: float = number(
        1.0, 0.001, 1000, "rate of false alarms for each series at the alarm level 1.0"
    )
    warm_up_windows: dict[str, int] = mapping(  # noqa: RUF009 # a field, as all of these
        {"host.*": 600},
        _warm_up,
        _WARM_UP,
        "number of windows after which anomalies of a series are reported, by glob over names; scores are available "
        "from the calibration on",
    )
    reported: dict[str, bool] = mapping(  # noqa: RUF009 # a field, as all of these
        {"host.*": False},
        _reported,
        _REPORTED,
        "decision for each glob over names whether anomalies of these series are reported; the longest matching glob "
        "applies, other series are reported; scores are available for all",
    )
    end_level: float = number(0.7, 0.1, 1.0, "an anomaly ends when the score stays below this")
    end_windows: int = integer(5, 1, 1000, "consecutive windows below `end_level` that end an anomaly")
    update_windows: int = integer(60, 1, 100_000, "windows between reports of a continuing anomaly")
    drift_windows: int = integer(
        3600, 10, 1_000_000, "windows after which an anomaly ends as drift and the series is calibrated again"
    )
    gap_windows: int = integer(
        3, 1, 1000, "consecutive missing windows that are reported as a gap, for a series that never missed one"
    )
    season_windows: int = integer(
        0,
        0,
        2000,
        "windows in a day, for the comparison with previous days; 0 disables it; the calibration must be longer than a "
        "day",
    )
    group_windows: int = integer(
        1200,
        0,
        2000,
        "number of windows on which a group is calibrated, at least one operating cycle of the machine; values below "
        "120 count as 120; 0 disables groups",
    )
    groups: dict[str, str] = mapping(  # noqa: RUF009 # a field, as all of these
        {"host.*": ""},
        _groups,
        _GROUPS,
        "assignment of series to groups, by glob over names; by default the series of a device are a group",
    )
    max_series: int = integer(
        DEFAULT_SERIES,
        1,
        MAX_SERIES,
        "maximum number of scored series; a further one replaces the silent series with the oldest window, or is not "
        "scored if no series is silent",
    )
    score_statistics: bool = flag(
        False,
        "score the series that have the last value or a percentile of another series' windows, as series of their own; "
        "they correlate with that series",
    )
    save_seconds: float = number(
        600.0,
        1,
        86_400,
        "minimum time between two saves of the calibration, if windows were scored since; it is also saved when the "
        "component stops",
    )
    model: str = text("", doc="path of a forecaster's manifest; empty for the shipped forecaster")
    models: tuple[str, ...] = texts(
        ["../io.strandline.model.*/model"],
        "folders with models of groups, relative to the work folder; the default finds all model components; [] "
        "disables models",
        pattern=r"\S.{0,511}",
        allowed="a list of folders, in which * matches any text",
    )
    model_milliseconds: float = number(
        50.0, 1, 10_000, "allowed processor time of a call of a deployed model; slower models are rejected"
    )

    @property
    def settings(self) -> Settings:
        """The settings of the ensemble."""
        return Settings(
            calibration=self.calibration_windows,
            false_alarms_per_month=self.false_alarms_per_month,
            end_level=self.end_level,
            end_windows=self.end_windows,
            update_windows=self.update_windows,
            drift_windows=self.drift_windows,
            gap_windows=self.gap_windows,
            season=self.season_windows,
        )

    @property
    def group_settings(self) -> GroupSettings:
        """The settings of the groups."""
        return GroupSettings(
            windows=max(self.group_windows, SHORTEST) if self.group_windows else 0,
            names=self.groups,
            drift_windows=self.drift_windows,
            update_windows=self.update_windows,
            false_alarms_per_month=self.false_alarms_per_month,
        )
