"""Built components: recipes and artifacts in the folders that a nucleus' command line takes.

The demo and the chaos runs receive the function that builds them, a :data:`Build`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


class Nucleus(enum.StrEnum):
    """The two implementations of Greengrass v2; they differ in how a local deployment takes artifacts."""

    JAVA = "java"
    LITE = "lite"


@dataclass(frozen=True, slots=True)
class BuiltComponent:
    """One component; ``artifact`` is its zip or, for nucleus lite, its folder; ``sha256`` covers all of it."""

    name: str
    version: str
    recipe: Path
    artifact: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Built:
    """The components of a build and the two folders that contain them."""

    nucleus: Nucleus
    recipes: Path
    artifacts: Path
    components: tuple[BuiltComponent, ...]

    @property
    def versions(self) -> dict[str, str]:
        """The components to deploy: name -> version."""
        return {component.name: component.version for component in self.components}


Build = Callable[[Path, Nucleus], Built]
"""Build all components below a folder for a nucleus; raises device_sim.errors.BuildError."""
