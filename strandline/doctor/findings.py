"""Findings of the checks, their text, and the exit code. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """Level of a finding, the most serious last."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check; ``mend`` is the command or the change that mends it, empty where nothing is to be done."""

    check: str
    level: Level
    text: str
    mend: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the finding as JSON values."""
        return asdict(self) | {"level": str(self.level)}


EXIT_ERROR, EXIT_WARNING = 1, 3


def exit_code(findings: Iterable[Finding], *, strict: bool) -> int:
    """Return 1 if a finding is an error, 3 with ``strict`` if one is a warning, else 0."""
    levels = {finding.level for finding in findings}
    if Level.ERROR in levels:
        return EXIT_ERROR
    return EXIT_WARNING if strict and Level.WARNING in levels else 0


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return the findings as text, with the command below each that has one, and a summary."""
    width = max((len(finding.check) for finding in findings), default=0)
    found = []
    for finding in findings:
        found.append(f"{finding.level:<8} {finding.check:<{width}}  {finding.text}")
        if finding.mend:
            found.append(f"{'':<8} {'':<{width}}  -> {finding.mend}")
    counts = {level: sum(finding.level is level for finding in findings) for level in reversed(Level)}
    found.append(", ".join(f"{count} {level}" for level, count in counts.items() if count) or "nothing was checked")
    return found
