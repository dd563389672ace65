"""Wall clock of the components, shifted without a change of the machine's clock.

The recipes of a run's build start their components with a ``sitecustomize`` that shifts ``time.time`` and
``time.time_ns`` by the offset in a file, at each call; the components use no other wall clock.
(libfaketime, Debian's 0.9.10, was tried first: with an unchanged monotonic clock it makes every time.sleep of
Python 3.11 fail, see its issue 426.)
"""

from __future__ import annotations

import shutil
from pathlib import Path

from device_sim.chaos.errors import ChaosError
from device_sim.greengrass.component_build import Built

_MODULE = Path(__file__).parent / "shifted" / "sitecustomize.py"
_PATH = "PYTHONPATH="
RUNTIME = "io.strandline.Runtime"
HOUR, YEAR = 3600, 365 * 86_400


class ComponentClock:
    """Offset of the components' wall clock; ``folder`` is created for it alone."""

    how = "sitecustomize that shifts the components' wall clock"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        shutil.copy(_MODULE, folder)
        self.set(0)

    def set(self, seconds: int) -> None:
        """Set the offset of the components' wall clock in seconds."""
        # Replace the file atomically: a process may read it at any moment.
        part = self._folder / "offset.part"
        part.write_text(f"{seconds}\n")
        part.replace(self._folder / "offset")

    def install(self, built: Built) -> None:
        """Edit the recipes of a build to load the module; raises ChaosError for an unexpected recipe."""
        for component in built.components:
            text = component.recipe.read_text()
            if component.name == RUNTIME:
                continue  # it installs packages and measures no time
            if text.count(_PATH) != 1:
                raise ChaosError(f"{component.recipe}: expected one '{_PATH}' in its scripts")
            component.recipe.write_text(text.replace(_PATH, f"{_PATH}{self._folder}:"))
