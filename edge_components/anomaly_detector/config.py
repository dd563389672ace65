"""The configuration of the anomaly detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_components.anomaly_detector.multivariate.baseline import SHORTEST
from edge_components.anomaly_detector.multivariate.groups import GroupSettings
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.common.config import integer, mapping, number, text, texts
from edge_components.common.series_limit import DEFAULT_SERIES, MAX_SERIES
from wire.errors import ModelError
from wire.model import Series

_PATIENCE = "an object from globs to whole numbers from 0 to 1000000"


def _patience(value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise ValueError(_PATIENCE)
    try:
        found = {str(glob): int(str(windows)) for glob, windows in value.items()}
    except ValueError as error:
        raise ValueError(_PATIENCE) from error
    if any(not 0 <= windows <= 1_000_000 for windows in found.values()):
        raise ValueError(_PATIENCE)
    return found


_GROUPS = 'an object from globs to names of groups, or to "" for none'


def _groups(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value.values()):
        raise ValueError(_GROUPS)
    found = {str(glob): str(name) for glob, name in value.items()}
    try:
        for name in found.values():
            Series(name or "none")
    except ModelError as error:
        raise ValueError(_GROUPS) from error
    return found


@dataclass(frozen=True, slots=True)
class Config:
    """The anomaly detector's configuration."""

    calibration_windows: int = integer(
        60, 12, 2000, "first windows of a series that set its scale; changing it calibrates anew"
    )
    false_alarms_per_month: float = number(
        1.0, 0.001, 1000, "false alarms a series and month that the alarm level 1.0 stands for"
    )
    patience: dict[str, int] = mapping(  # noqa: RUF009 # a field, as all of these
        {"host.*": 600},
        _patience,
        _PATIENCE,
        "windows that a series is watched before its anomalies are reported, by glob over names; scores come at once",
    )
    end_level: float = number(0.7, 0.1, 1.0, "an anomaly ends when the score stays below this")
    end_windows: int = integer(5, 1, 1000, "for so many windows")
    update_windows: int = integer(60, 1, 100_000, "windows between reports of an anomaly that goes on")
    drift_windows: int = integer(
        3600, 10, 1_000_000, "an anomaly that lasts so many windows ends as drift, and the series is calibrated anew"
    )
    gap_windows: int = integer(
        3, 1, 1000, "missing windows in a row that make a gap, for a series that never misses one"
    )
    season_windows: int = integer(
        0, 0, 2000, "windows in a day, for the comparison with former days; 0 is none; calibrate over more than one day"
    )
    group_windows: int = integer(
        1200,
        0,
        2000,
        "first windows that a group is calibrated on, at least as long as what the machine does in turn; fewer than "
        "120 count as 120, and 0 is no groups",
    )
    groups: dict[str, str] = mapping(  # noqa: RUF009 # a field, as all of these
        {"host.*": ""},
        _groups,
        _GROUPS,
        "which series are judged together too, by glob over names; others are by their device",
    )
    max_series: int = integer(
        DEFAULT_SERIES,
        1,
        MAX_SERIES,
        "series scored; beyond it the silent one least recently heard is forgotten, and where none is silent, rows pass"
        " without a score",
    )
    save_seconds: float = number(
        600.0,
        1,
        86_400,
        "least time between two saves of the calibration to the work folder, if windows were scored since; it is saved"
        " at a stop too",
    )
    model: str = text("", doc="path of a forecaster's manifest; empty is the one that comes with the component")
    models: tuple[str, ...] = texts(
        ["../io.strandline.model.*/model"],
        "folders with the models of groups, from the work folder on: of every model component; [] is none",
        pattern=r"\S.{0,511}",
        allowed="a list of folders, in which * may stand for any text",
    )
    model_milliseconds: float = number(
        50.0, 1, 10_000, "processor time that a call of a model from outside may take; slower ones are refused"
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
