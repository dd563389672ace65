"""The intake returns its readings as columns with only their series."""

from __future__ import annotations

from edge_components.sensor_reader.intake import Intake
from edge_components.sensor_reader.source_series import Origin, SourceSeries
from wire.model import Quality, Series


def test_readings_are_returned_as_added_with_only_their_series() -> None:
    registry = SourceSeries({}, 10)
    intake = Intake(registry)
    a, b, c = (registry.series_id(name, Origin("s", name), 0.0, "Cel", 0.5) for name in "abc")
    intake.add(c, 5, 1.5, Quality.GOOD, 7.0)
    intake.add(a, 4, -2.0, Quality.BAD, 6.0)
    intake.extend((c,), (6,), (1.0,), (0,), 8.0)
    readings = intake.held()
    assert readings.series == (Series("a", "Cel", 0.5), Series("c", "Cel", 0.5))
    assert [readings.series[at].name for at in readings.series_index] == ["c", "a", "c"]
    assert readings.time_ms.tolist() == [5, 4, 6]
    assert readings.value.tolist() == [1.5, -2.0, 1.0]
    assert readings.quality.tolist() == [0, 2, 0]
    assert (intake.oldest, intake.used, intake.used_ids().tolist()) == (6.0, {a, c}, [a, c])
    needed = intake.directory_bytes
    intake.forget(2)
    assert intake.held().value.tolist() == [1.0]
    assert 0 < intake.directory_bytes < needed
    intake.forget(1)
    assert (len(intake), intake.directory_bytes, len(intake.held()), intake.oldest) == (0, 0, 0, None)
    assert b == 1
