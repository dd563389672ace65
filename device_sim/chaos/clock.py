"""The wall clock of the components, set back and forth without touching the machine's: libfaketime.

The library is preloaded by the recipes of this run's build, reads the offset from a file each time the clock is asked,
and leaves the monotonic clock alone. Where it is not installed (Debian: libfaketime) clock faults are left out of the
plan, and only the tests of the components on their clock port stand for them.
"""

from __future__ import annotations

from pathlib import Path

from device_sim.build import Built
from device_sim.chaos.errors import ChaosError

_PLACES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")
_EXEC = "exec env "
HOUR, YEAR = 3600, 365 * 86_400


def find() -> Path | None:
    """Return where libfaketime is, None when it is not installed."""
    return next((path for pattern in _PLACES for path in sorted(Path("/").glob(pattern[1:]))), None)


class ComponentClock:
    """The offset of the components' wall clock, in a file."""

    def __init__(self, file: Path, library: Path) -> None:
        self._file, self._library = file, library
        self.set(0)

    def set(self, seconds: int) -> None:
        """Let the components' wall clock be off by so many seconds from now on."""
        # Replaced, never truncated: a process may read it at any moment.
        part = self._file.with_suffix(".part")
        part.write_text(f"{seconds:+d}\n")
        part.replace(self._file)

    def preload(self, built: Built) -> None:
        """Have the recipes of a build start their components with the library; raises ChaosError where it can't."""
        settings = (
            f"LD_PRELOAD={self._library} FAKETIME_TIMESTAMP_FILE={self._file} FAKETIME_NO_CACHE=1"
            " FAKETIME_DONT_FAKE_MONOTONIC=1 "
        )
        for component in built.components:
            text = component.recipe.read_text()
            if text.count(_EXEC) != 1:
                raise ChaosError(f"{component.recipe}: expected one '{_EXEC}' in its scripts")
            component.recipe.write_text(text.replace(_EXEC, _EXEC + settings))
