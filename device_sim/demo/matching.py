"""Matching of alerts to faults: detected faults, delays and false alerts.

Pure. An alert matches a fault if it is about the fault's series, or another of the same machine (a pump's channels
follow one load), and its anomaly begins in [fault's start, fault's end + grace], less one window at the start. An
earlier anomaly does not match, even if it lasts until then. An alert that matches no fault is false, also one about
this computer's own series. Anomalies that begin after the sensors were switched off are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_sim.simulation.faults import Fault

GRACE_SECONDS = 8.0
"""Time after a fault in which an anomaly still counts as its consequence: the return to normal is a change."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alert as the cloud has it: the anomaly's event times, and ``opened_ms`` when the cloud raised it.

    ``end_ms`` is None while it is open; ``score`` is the highest reported.
    """

    series: str
    start_ms: int
    end_ms: int | None
    opened_ms: int
    cause: str
    score: float

    @property
    def machine(self) -> str:
        """The machine that the series belongs to."""
        return self.series.split(".", 1)[0]


@dataclass(frozen=True, slots=True)
class FaultResult:
    """A fault and its first matching alert or None; ``delay_s`` is from the fault's start to that alert."""

    fault: Fault
    alarm: Alarm | None

    @property
    def delay_s(self) -> float | None:
        """Seconds from the fault's start until the cloud raised the alert."""
        return None if self.alarm is None else max(0.0, (self.alarm.opened_ms - self.fault.start_ms) / 1000.0)


@dataclass(frozen=True, slots=True)
class Matching:
    """Outcome of each fault, in order, and the alerts that match no fault."""

    results: tuple[FaultResult, ...]
    false: tuple[Alarm, ...]

    @property
    def detected(self) -> int:
        """Number of detected faults."""
        return sum(result.alarm is not None for result in self.results)

    @property
    def mean_delay_s(self) -> float | None:
        """Mean delay of the detected faults, None without any."""
        delays = [result.delay_s for result in self.results if result.delay_s is not None]
        return sum(delays) / len(delays) if delays else None


def match(
    faults: Sequence[Fault], alarms: Sequence[Alarm], end_ms: int, window_ms: int, grace_s: float = GRACE_SECONDS
) -> Matching:
    """Match faults with the alarms that began before ``end_ms``, when the sensors ended; times are since the epoch.

    Alerts on the fault's own series take precedence.
    """
    alarms = [alarm for alarm in alarms if alarm.start_ms < end_ms]
    matched: set[Alarm] = set()
    results = []
    for fault in faults:
        candidates = [alarm for alarm in alarms if _matches(alarm, fault, window_ms, grace_s)]
        matched.update(candidates)
        first = min(candidates, key=lambda alarm: (alarm.series != fault.series, alarm.opened_ms), default=None)
        results.append(FaultResult(fault, first))
    return Matching(tuple(results), tuple(alarm for alarm in alarms if alarm not in matched))


def _matches(alarm: Alarm, fault: Fault, window_ms: int, grace_s: float) -> bool:
    begins = fault.start_ms - window_ms <= alarm.start_ms <= fault.end_ms + grace_s * 1000
    return begins and alarm.machine == fault.machine
