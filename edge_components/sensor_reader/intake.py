"""Where readings become columns: a directory of series, and growing arrays that are cut into ``Readings``.

Pure. A reading is two dictionary look-ups and four array appends; no object is kept for it.
"""

from __future__ import annotations

import fnmatch
from array import array
from collections.abc import Mapping

import numpy as np

from edge_components.common.packing import series_bytes
from edge_components.sensor_reader.errors import RejectedError
from wire.errors import ModelError
from wire.model import Quality, Readings, Series

ROW_BYTES = 25
"""Plain bytes of a reading: index, time, value and quality."""

Traits = Mapping[str, tuple[str | None, float | None]]
"""Unit and resolution by a glob over series' names; None leaves what the source says."""


class Directory:
    """The series that are known, each under a number that never changes while the process lives."""

    def __init__(self, traits: Traits, max_series: int) -> None:
        self._traits, self._max_series = traits, max_series
        self._places: dict[str, int] = {}
        self._origins: list[str] = []
        self._said: list[Series] = []
        self._series: list[Series] = []

    def __len__(self) -> int:
        return len(self._series)

    def __getitem__(self, place: int) -> Series:
        return self._series[place]

    def place(self, name: str, origin: str, unit: str = "", resolution: float | None = None) -> int:
        """Return the number of the series that ``origin`` (a topic, a source) speaks for.

        Raises RejectedError for a name that is not allowed, for one that another origin already speaks for, and when
        there are as many series as may be.
        """
        known = self._places.get(name)
        if known is not None:
            if self._origins[known] != origin:
                text = f"series {name} is already read from {self._origins[known][:160]}"
                raise RejectedError("rejected_collision", text)
            return known
        try:
            said = Series(name, unit, resolution)
        except ModelError as error:
            raise RejectedError("rejected_name", str(error)) from error
        if len(self._series) >= self._max_series:
            raise RejectedError("rejected_series_limit", f"series {name} would be one more than {self._max_series}")
        self._places[name] = len(self._series)
        self._origins.append(origin)
        self._said.append(said)
        self._series.append(self._described(said))
        return self._places[name]

    def describe(self, traits: Traits, max_series: int) -> None:
        """Go on with other units, resolutions and limit; numbers stay."""
        self._traits, self._max_series = traits, max_series
        self._series = [self._described(said) for said in self._said]

    def _described(self, said: Series) -> Series:
        # The longest glob that matches is the most telling; Greengrass keeps no order of keys to go by.
        matching = [glob for glob in self._traits if fnmatch.fnmatchcase(said.name, glob)]
        if not matching:
            return said
        unit, resolution = self._traits[max(matching, key=lambda glob: (len(glob), glob))]
        return Series(
            said.name,
            said.unit if unit is None else unit,
            said.resolution if resolution is None else resolution,
        )


class Intake:
    """The sink of all sources: checked readings, as columns, until they are taken."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self._index, self._time, self._value, self._quality = array("q"), array("q"), array("d"), array("B")
        self._mentioned: set[int] = set()
        self._directory_bytes = 0

    def __len__(self) -> int:
        return len(self._time)

    @property
    def directory_bytes(self) -> int:
        """Plain bytes of the directory that the readings now held need."""
        return self._directory_bytes

    def add(self, place: int, time_ms: int, value: float, quality: int = Quality.GOOD) -> None:
        """Take a finite reading of the series numbered ``place``."""
        self._index.append(place)
        self._time.append(time_ms)
        self._value.append(value)
        self._quality.append(quality)
        if place not in self._mentioned:
            self._mentioned.add(place)
            series = self.directory[place]
            self._directory_bytes += series_bytes(series.name, series.unit)

    def held(self) -> Readings:
        """Return the readings held, in order of arrival."""
        index = np.array(self._index, dtype=np.int64)
        used, own = np.unique(index, return_inverse=True)
        return Readings(
            tuple(self.directory[place] for place in used.tolist()),
            own.astype(np.int64),
            np.array(self._time, dtype=np.int64),
            np.array(self._value, dtype=np.float64),
            np.array(self._quality, dtype=np.uint8),
        )

    def forget(self, number: int) -> None:
        """Forget the oldest ``number`` readings."""
        for column in (self._index, self._time, self._value, self._quality):
            del column[:number]
        self._mentioned = set(self._index)
        self._directory_bytes = sum(
            series_bytes(self.directory[place].name, self.directory[place].unit) for place in self._mentioned
        )
