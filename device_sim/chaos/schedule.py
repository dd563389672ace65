"""Plan of faults, determined by a seed; pure.

Kinds come in rounds, each a random permutation of all kinds, so that every kind occurs before any repeats. A kind
whose target is still used by another fault waits until the target is free.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from device_sim.chaos.errors import ScheduleError
from device_sim.cloud_kind import CloudKind
from device_sim.greengrass.profile import JAVA, LITE, PROFILES


class Target(StrEnum):
    """Part of the system that one fault at a time can use."""

    READER = "reader"
    AGGREGATOR = "aggregator"
    DETECTOR = "detector"
    FORWARDER = "forwarder"
    BROKER = "broker"
    FUNCTIONS = "functions"
    CLOUD_LINE = "cloud line"
    ACKNOWLEDGEMENTS = "acknowledgements"
    READER_LINE = "reader's line"
    SOURCE_LINE = "source's line"
    CLOCK = "clock"


COMPONENTS = (Target.READER, Target.AGGREGATOR, Target.DETECTOR, Target.FORWARDER)


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind of fault: its targets, its duration in seconds (0 and 0: immediate), its nuclei and its clouds."""

    name: str
    targets: tuple[Target, ...]
    shortest_s: float = 0.0
    longest_s: float = 0.0
    profiles: frozenset[str] = frozenset(PROFILES)
    clouds: frozenset[CloudKind] = frozenset(CloudKind)


ON_LITE = frozenset({LITE.name})
BY_NUCLEUS = frozenset({CloudKind.AWS, CloudKind.GOOGLE})
"""Clouds that batches reach through the nucleus."""
ON_AWS, ON_AZURE = frozenset({CloudKind.AWS}), frozenset({CloudKind.AZURE})
KINDS: tuple[Kind, ...] = (
    Kind("reader killed", (Target.READER,)),
    Kind("aggregator killed", (Target.AGGREGATOR,)),
    Kind("detector killed", (Target.DETECTOR,)),
    Kind("forwarder killed", (Target.FORWARDER,)),
    Kind("nucleus killed", COMPONENTS),
    Kind("boot offline", (*COMPONENTS, Target.CLOUD_LINE), 4, 9),
    Kind("nucleus daemon restarted", COMPONENTS),
    Kind("IoT Core subscription lost", (Target.FORWARDER,), profiles=ON_LITE, clouds=BY_NUCLEUS),
    Kind("local subscriptions lost", COMPONENTS, profiles=ON_LITE),
    Kind("configuration subscription lost", COMPONENTS, profiles=ON_LITE),
    Kind("broker killed", (Target.BROKER,)),
    Kind("lambda worker killed", (Target.FUNCTIONS,), clouds=ON_AWS),
    Kind("function stopped", (Target.FUNCTIONS,), clouds=ON_AZURE),
    Kind("functions host restarted", (Target.FUNCTIONS,), clouds=ON_AZURE),
    Kind("table storage busy", (Target.FUNCTIONS,), 2, 5, clouds=ON_AZURE),
    Kind("IoT Hub throttled", (Target.FUNCTIONS,), 3, 8, clouds=ON_AZURE),
    Kind("events processed twice", (Target.FUNCTIONS,), clouds=ON_AZURE),
    Kind("queue message processed twice", (Target.FUNCTIONS,), clouds=ON_AZURE),
    Kind("aggregator frozen", (Target.AGGREGATOR,), 2, 5),
    Kind("forwarder frozen", (Target.FORWARDER,), 2, 5),
    Kind("cloud line cut", (Target.CLOUD_LINE,)),
    Kind("cloud line refused", (Target.CLOUD_LINE,), 2, 6),
    Kind("cloud line slow", (Target.CLOUD_LINE,), 3, 8),
    Kind("cloud line dead upwards", (Target.CLOUD_LINE,), 3, 8),
    Kind("cloud line dead downwards", (Target.CLOUD_LINE,), 3, 8),
    Kind("cloud line dead both ways", (Target.CLOUD_LINE,), 3, 8),
    Kind("acknowledgements lost", (Target.ACKNOWLEDGEMENTS,), 3, 8),
    Kind("acknowledgements doubled", (Target.ACKNOWLEDGEMENTS,), 3, 8),
    Kind("acknowledgements reordered", (Target.ACKNOWLEDGEMENTS,), 3, 8),
    Kind("acknowledgements delayed", (Target.ACKNOWLEDGEMENTS,), 3, 8),
    Kind("reader's line cut", (Target.READER_LINE,)),
    Kind("reader's line refused", (Target.READER_LINE,), 2, 5),
    Kind("reader's line slow", (Target.READER_LINE,), 3, 6),
    Kind("reader's line dead", (Target.READER_LINE,), 2, 5),
    Kind("source's line cut", (Target.SOURCE_LINE,)),
    Kind("disk full", (Target.FORWARDER,), 2, 5),
    Kind("disk read-only", (Target.FORWARDER,), 2, 4),
    Kind("spool bytes flipped", (Target.FORWARDER,)),
    Kind("journal bytes flipped", (Target.AGGREGATOR,)),
    Kind("calibration bytes flipped", (Target.DETECTOR,)),
    Kind("clock set back an hour", (Target.CLOCK,), 2, 5),
    Kind("clock set forward a year", (Target.CLOCK,), 2, 5),
    Kind("memory short", (Target.AGGREGATOR,), 2, 4),
)

RECOVERY_SECONDS = 3.0
"""Pause of a target after a fault, so that it works again before the next one."""


def kinds_of(names: Sequence[str], profile: str = JAVA.name, cloud: CloudKind = CloudKind.AWS) -> tuple[Kind, ...]:
    """Return the kinds of a nucleus' profile and a cloud whose name contains one of ``names``, all without names.

    Raises ScheduleError for a name that no kind contains.
    """
    known = tuple(kind for kind in KINDS if profile in kind.profiles and cloud in kind.clouds)
    for name in names:
        if not any(name in kind.name for kind in known):
            allowed = ", ".join(kind.name for kind in known)
            raise ScheduleError(f"no kind of fault of nucleus {profile} on {cloud} has {name!r} in its name: {allowed}")
    return tuple(kind for kind in known if not names or any(name in kind.name for name in names))


@dataclass(frozen=True, slots=True)
class Planned:
    """Planned fault; ``choice`` (0 to 1) selects details such as the bytes that are flipped."""

    at_s: float
    until_s: float
    kind: Kind
    choice: float


def plan(seed: int, seconds: float, number: int, kinds: Sequence[Kind]) -> tuple[Planned, ...]:
    """Return ``number`` faults that begin and end within ``seconds``, sorted by their start.

    Raises ScheduleError when they do not fit, given the pause that each target needs.
    """
    if not kinds or number < 1:
        raise ScheduleError(f"{number} faults of {len(kinds)} kinds: at least one of each is needed")
    rng = random.Random(seed)  # noqa: S311 # a plan, no secret
    free = dict.fromkeys(Target, 0.0)
    planned: list[Planned] = []
    round_left: list[Kind] = []
    # The last faults begin early enough to end before the drain, with a short pause.
    step = (seconds - min(10.0, seconds / 5)) / number
    for index in range(number):
        if not round_left:
            round_left = rng.sample(kinds, len(kinds))
        wanted_s = index * step + rng.uniform(0.0, step / 2)
        # The first kind that can begin then, otherwise the one that can begin soonest; ties keep the round's order.
        kind = min(round_left, key=lambda kind: max(wanted_s, *(free[target] for target in kind.targets)))
        round_left.remove(kind)
        at_s = max(wanted_s, *(free[target] for target in kind.targets))
        until_s = at_s + rng.uniform(kind.shortest_s, kind.longest_s)
        if until_s > seconds:
            until_s = at_s + kind.shortest_s
        for target in kind.targets:
            free[target] = until_s + RECOVERY_SECONDS
        planned.append(Planned(at_s, until_s, kind, rng.random()))
    late = [fault for fault in planned if fault.until_s > seconds]
    if late:
        raise ScheduleError(
            f"{number} faults do not fit {seconds:g} s: {late[0].kind.name} would end at {late[0].until_s:.1f} s"
        )
    return tuple(sorted(planned, key=lambda fault: fault.at_s))
