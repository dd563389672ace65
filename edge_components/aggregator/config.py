"""The aggregator's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from edge_components.aggregator.cleaning import Rules
from edge_components.aggregator.config_values import (
    DEADBANDS,
    POSITIVE_NUMBERS,
    RANGES,
    STATISTICS,
    UNITS,
    WINDOWS,
    read_deadbands,
    read_positive_numbers,
    read_ranges,
    read_shapes,
    read_statistics,
    read_units,
)
from edge_components.aggregator.deadband import Deadbands
from edge_components.aggregator.series_table import Checks, Ranges
from edge_components.aggregator.units import UnitRules
from edge_components.aggregator.window_types import Shapes, StatisticRules, WindowSettings
from edge_components.common.config import flag, integer, mapping
from edge_components.common.series_limit import DEFAULT_SERIES, MAX_SERIES


@dataclass(frozen=True, slots=True)
class Config:
    """See README.md for the table of keys."""

    RETIRED: ClassVar[frozenset[str]] = frozenset({"checkpoint_ms"})

    window_ms: int = integer(10_000, 100, 86_400_000, "milliseconds of a window; windows are aligned to the epoch")
    series_windows: Shapes = mapping(  # noqa: RUF009 # a field, as all of these
        {},
        read_shapes,
        WINDOWS,
        "windows of another length, and sliding windows, by glob over series' names; the longest that matches counts",
    )
    allowed_lateness_ms: int = integer(
        1_000,
        0,
        86_400_000,
        "milliseconds that a window waits after its end, by the series' own time, for late readings",
    )
    idle_timeout_ms: int = integer(
        10_000, 0, 86_400_000, "milliseconds without a newer reading after which a series' windows close by the clock"
    )
    silence_ms: int = integer(
        60_000, 2_000, 86_400_000, "milliseconds without any reading at all after which idle timeouts run again"
    )
    clock_tolerance_ms: int = integer(
        10_000,
        0,
        86_400_000,
        "event times further ahead of the gateway's clock are accepted from the second batch in a row",
    )
    allowed_backlog_ms: int = integer(
        604_800_000,
        0,
        31_536_000_000,
        "age of late readings that still open or correct windows, by the series' own time; 0 drops late readings",
    )
    max_future_ms: int = integer(
        86_400_000, 1_000, 31_536_000_000, "readings further ahead of the gateway's clock are dropped"
    )
    gap_windows: int = integer(
        3, 0, 1_000, "rows of count 0 at most for one gap of a series that was expected to report; 0 for none"
    )
    ranges: Ranges = mapping(  # noqa: RUF009 # a field, as all of these
        {},
        read_ranges,
        RANGES,
        "plausible values, by glob over series' names; readings outside are rejected and not stored, and raise no "
        "alert (for an alert, use a rule of the cloud); of several globs that match the longest counts",
    )
    max_rates: Mapping[str, float] = mapping(  # a field, as all of these
        {},
        read_positive_numbers,
        POSITIVE_NUMBERS,
        "greatest change of a value in units per second, by glob; a reading that changed faster is not used",
    )
    stuck_after_ms: Mapping[str, float] = mapping(  # a field, as all of these
        {},
        read_positive_numbers,
        POSITIVE_NUMBERS,
        "milliseconds without a change of the value after which readings are of uncertain quality, by glob",
    )
    deadbands: Deadbands = mapping(  # noqa: RUF009 # a field, as all of these
        {},
        read_deadbands,
        DEADBANDS,
        "windows are sent only if a reading differs by more than change from the one reported last, or after "
        "max_silence_ms (600000 if absent), by glob",
    )
    units: UnitRules = mapping(  # noqa: RUF009 # a field, as all of these
        {},
        read_units,
        UNITS,
        "units to which values are converted, by glob; all other keys refer to converted values",
    )
    statistics: StatisticRules = mapping(  # noqa: RUF009 # a field, as all of these
        {},
        read_statistics,
        STATISTICS,
        "statistics that are sent as series of their own, by glob: the value of the newest reading of a window (last), "
        "and percentiles",
    )
    drop_bad_quality: bool = flag(True, "do not use readings whose quality is bad; they are counted in their window")
    drop_duplicates: bool = flag(True, "drop a reading with the series, time and value of one just before it")
    max_series: int = integer(
        DEFAULT_SERIES,
        1,
        MAX_SERIES,
        "series known at a time; the one received least recently is replaced by a new one",
    )
    max_age_ms: int = integer(500, 10, 60_000, "milliseconds that a closed window waits at most for its batch to fill")
    commit_ms: int = integer(
        5_000,
        10,
        60_000,
        "milliseconds that readings wait at most to be committed and acknowledged; at once when a sender is blocked",
    )
    outbox_bytes: int = integer(
        4_000_000,
        100_000,
        100_000_000,
        "batches kept until the forwarder holds them; beyond it no readings are accepted",
    )
    retry_s: int = integer(10, 1, 60, "seconds until a batch that is not acknowledged is first sent again")

    @property
    def windows(self) -> WindowSettings:
        """Width of windows, and the rules by which they close."""
        return WindowSettings(
            self.window_ms,
            self.allowed_lateness_ms,
            self.idle_timeout_ms,
            self.clock_tolerance_ms,
            self.gap_windows,
            self.allowed_backlog_ms,
            self.series_windows,
            self.statistics,
        )

    @property
    def checks(self) -> Checks:
        """Limits for the checks of readings against the one before."""
        return Checks(self.max_rates, self.stuck_after_ms)

    @property
    def rules(self) -> Rules:
        """Rules for usable readings."""
        return Rules(self.max_future_ms, self.drop_bad_quality, self.drop_duplicates)
