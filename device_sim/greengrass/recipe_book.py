"""Collection of all recipes of this nucleus, with the artifact folder of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from device_sim.greengrass import recipes
from device_sim.greengrass.errors import RecipeError
from device_sim.greengrass.profile import Profile
from device_sim.greengrass.recipe import Platform, Recipe
from device_sim.greengrass.versions import Version


class RecipeBook:
    """Recipes by name and version; a later one replaces an earlier one of the same version."""

    def __init__(self, profile: Profile, platform: Platform) -> None:
        self._profile, self._platform = profile, platform
        self._recipes: dict[str, dict[Version, Recipe]] = {}
        self._broken: dict[str, dict[str, RecipeError]] = {}
        self._artifacts: dict[tuple[str, Version], Path] = {}

    def add(self, folder: Path, artifacts: Path | None) -> int:
        """Add every recipe of a folder and return their number.

        The error of an invalid file is kept until a deployment needs its component: see :meth:`broken`.
        """
        count = 0
        try:
            files = sorted(path for path in folder.iterdir() if path.suffix in recipes.SUFFIXES and path.is_file())
        except OSError as error:
            raise RecipeError(f"recipe folder {folder}: {error.strerror}") from error
        self._broken[str(folder)] = {}
        for file in files:
            try:
                recipe = recipes.load(file, self._profile, self._platform)
            except RecipeError as error:
                self._broken[str(folder)][file.stem] = error
                continue
            self._recipes.setdefault(recipe.name, {})[recipe.version] = recipe
            if artifacts is not None:
                self._artifacts[recipe.name, recipe.version] = artifacts
            count += 1
        return count

    def broken(self, name: str) -> RecipeError | None:
        """Return the error of an invalid recipe file named after the component (``NAME-VERSION``), or None."""
        for errors in self._broken.values():
            for stem, error in errors.items():
                if stem == name or stem.startswith(f"{name}-"):
                    return error
        return None

    def available(self) -> Mapping[str, Sequence[Recipe]]:
        """Return the recipes by component name."""
        return {name: tuple(versions.values()) for name, versions in self._recipes.items()}

    def artifacts(self, recipe: Recipe) -> Path | None:
        """Return the folder in greengrass-cli's layout that holds a recipe's artifacts."""
        return self._artifacts.get((recipe.name, recipe.version))
