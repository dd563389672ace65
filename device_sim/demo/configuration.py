"""Options of a run, and the component settings that differ from the defaults so that one minute shows everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from device_sim.cloud_kind import CloudKind
from device_sim.simulation.faults import REST_SHARE
from device_sim.simulation.sensor_broker import BrokerKind
from device_sim.simulation.signals import Plant


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Options of the command line."""

    duration_s: float = 90.0
    seed: int = 1
    keep_running: bool = False
    broker: BrokerKind = BrokerKind.IOTCORE
    broker_port: int = 0
    page_port: int | None = None
    open_page: bool = False
    cloud: CloudKind = CloudKind.AWS


WINDOW_MS = 1000
PROBE = "demo.ready"
"""Series of the readings that are sent until the sensor reader forwards one; then the sensors start, and it ends."""
SENSOR_READER = "io.strandline.SensorReader"
AGGREGATOR = "io.strandline.Aggregator"
DETECTOR = "io.strandline.AnomalyDetector"
FORWARDER = "io.strandline.Forwarder"


def calibration_windows(duration_s: float) -> int:
    """Return the number of calibration windows that end before the first fault can begin."""
    return max(12, int(0.67 * REST_SHARE * duration_s * 1000 / WINDOW_MS))


def merged_configuration(
    plant: Plant, duration_s: float, broker_port: int, sources: Iterable[Mapping[str, Any]] = ()
) -> dict[str, dict[str, Any]]:
    """Return the updates of the components' configurations, by component.

    ``sources`` are the sensor reader's entries for the machines that do not publish JSON over MQTT.
    """
    described = {series.name: {"unit": series.unit, "resolution": series.resolution} for series in plant.series}
    return {
        SENSOR_READER: {
            "sources": [
                {"name": "mqtt", "kind": "mqtt", "port": broker_port},
                {"name": "host", "kind": "host", "interval_ms": 1000},
                *(dict(source) for source in sources),
            ],
            "series": described,
        },
        AGGREGATOR: {"window_ms": WINDOW_MS, "idle_timeout_ms": 3000, "silence_ms": 3000},
        DETECTOR: {
            "calibration_windows": calibration_windows(duration_s),
            "reported": {"host.*": False, PROBE: False},
        },
        FORWARDER: {"batch_max_age_s": 8.0, "retry_first_s": 3.0},
    }
