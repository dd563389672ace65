"""Recipe of a component as data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from device_sim.greengrass.versions import Version, VersionRange


@dataclass(frozen=True, slots=True)
class Platform:
    """Platform of this machine, with the attributes of a manifest."""

    os: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Step:
    """Lifecycle step: a shell script with variables, its timeout in seconds (None: unlimited) and environment."""

    script: str
    timeout: float | None
    environment: Mapping[str, str]
    skip_if: str | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """File of a component; ``digest`` is the base64 SHA-256 of a published recipe."""

    file: str
    unzip: bool
    executable: bool
    digest: str | None


@dataclass(frozen=True, slots=True)
class RecipeDependency:
    """Dependency of a recipe; without ``ordered`` it is deployed too, in any order."""

    versions: VersionRange
    hard: bool
    ordered: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """Recipe of a component version, reduced to the manifest for this machine."""

    name: str
    version: Version
    source: str
    defaults: Mapping[str, Any]
    dependencies: Mapping[str, RecipeDependency]
    steps: Mapping[str, Step]
    artifacts: tuple[Artifact, ...]
