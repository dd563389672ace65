"""Parser of recipes in YAML or JSON; a RecipeError names the key and the allowed values.

Format: "AWS IoT Greengrass component recipe reference" of the developer guide, format version 2020-01-25.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from device_sim.greengrass.errors import PlatformError, RecipeError
from device_sim.greengrass.profile import Profile
from device_sim.greengrass.recipe import Artifact, Platform, Recipe, RecipeDependency, Step
from device_sim.greengrass.versions import Version, parse_range, parse_version

FORMAT_VERSION = "2020-01-25"
MAX_BYTES = 16 * 1024
MAX_NODES = 10_000
MAX_BRACKETS = 1_000
"""PyYAML needs time quadratic in the depth: 16 KB of brackets would take seconds."""
SUFFIXES = (".yaml", ".yml", ".json")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
STEPS = ("bootstrap", "install", "startup", "run", "shutdown", "recover")
TIMEOUTS = {"bootstrap": 120.0, "install": 120.0, "startup": 120.0, "shutdown": 15.0, "recover": 60.0}
"""Default timeouts in seconds; ``run`` has no default."""
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def load(path: Path, profile: Profile, platform: Platform) -> Recipe:
    """Read one recipe file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    return parse(data, str(path), profile, platform, is_json=path.suffix == ".json")


def parse(data: bytes, source: str, profile: Profile, platform: Platform, is_json: bool = False) -> Recipe:
    """Return the recipe in ``data``; ``source`` names it in errors."""
    if len(data) > MAX_BYTES:
        raise RecipeError(f"{source}: {len(data)} bytes, a recipe is at most {MAX_BYTES}")
    try:
        raw = _read(data, profile, is_json)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        flat = " ".join(str(error).split())
        raise RecipeError(f"{source}: is not {'JSON' if is_json else 'YAML'}: {flat}") from error
    return _Reader(source, profile, platform).recipe(raw)


def _read(data: bytes, profile: Profile, is_json: bool) -> object:
    if is_json:
        return json.loads(data)
    if (brackets := data.count(b"[") + data.count(b"{")) > MAX_BRACKETS:
        raise ValueError(f"{brackets} brackets, at most {MAX_BRACKETS} are read")
    # Lite keeps the text of every scalar, such as "1.50", which requires a loader without types.
    loader = yaml.SafeLoader if profile.typed_scalars else yaml.BaseLoader
    return yaml.load(data, Loader=loader)  # noqa: S506 # both loaders construct plain data only


class _Reader:
    """Parser of one recipe; every error begins with the file and the key."""

    def __init__(self, source: str, profile: Profile, platform: Platform) -> None:
        self._source, self._profile, self._platform = source, profile, platform

    def recipe(self, raw: object) -> Recipe:
        top = self._object(raw, "the recipe")
        self._one_of(top, "RecipeFormatVersion", (FORMAT_VERSION,))
        name = self._text(top, "ComponentName")
        if not _NAME.fullmatch(name):
            self._refuse("ComponentName", name, "1 to 128 letters, digits, dots, - and _ are")
        manifest = self._manifest(top)
        return Recipe(
            name=name,
            version=self._version(top),
            source=self._source,
            defaults=self._defaults(top),
            dependencies=self._dependencies(top),
            steps=self._steps(top, manifest),
            artifacts=tuple(self._artifacts(manifest)),
        )

    def _version(self, top: Mapping[str, Any]) -> Version:
        try:
            return parse_version(top.get("ComponentVersion"))
        except RecipeError as error:
            raise type(error)(f"{self._source}: ComponentVersion: {error}") from error

    def _defaults(self, top: Mapping[str, Any]) -> Mapping[str, Any]:
        configuration = self._object(top.get("ComponentConfiguration") or {}, "ComponentConfiguration")
        values = configuration.get("DefaultConfiguration") or {}
        where = "ComponentConfiguration.DefaultConfiguration"
        self._object(values, where)
        self._bound(values, where)
        try:
            # YAML has dates and keys that are not texts, which a configuration cannot hold.
            plain = json.loads(json.dumps(values, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise RecipeError(f"{self._source}: {where}: {error}; JSON values are allowed") from error
        return dict(plain)

    def _bound(self, values: object, where: str) -> None:
        """Limit the number of nodes before expansion: YAML aliases can expand a kilobyte to gigabytes."""
        waiting, seen = [values], 0
        while waiting:
            node = waiting.pop()
            seen += 1
            if seen > MAX_NODES:
                raise RecipeError(f"{self._source}: {where}: more than {MAX_NODES} values")
            waiting += node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()

    def _dependencies(self, top: Mapping[str, Any]) -> dict[str, RecipeDependency]:
        needs = {}
        for name, raw in self._object(top.get("ComponentDependencies") or {}, "ComponentDependencies").items():
            where = f"ComponentDependencies.{name}"
            entry = self._object(raw, where)
            untyped = "DependencyType" not in entry
            kind = str(entry.get("DependencyType", "HARD")).upper()
            if kind not in ("HARD", "SOFT"):
                self._refuse(f"{where}.DependencyType", entry["DependencyType"], "HARD and SOFT are")
            try:
                versions = parse_range(entry.get("VersionRequirement"))
            except RecipeError as error:
                raise type(error)(f"{self._source}: {where}.VersionRequirement: {error}") from error
            needs[name] = RecipeDependency(versions, kind == "HARD", self._profile.untyped_is_hard or not untyped)
        return needs

    def _manifest(self, top: Mapping[str, Any]) -> Mapping[str, Any]:
        manifests = top.get("Manifests")
        if not isinstance(manifests, list) or not manifests:
            self._refuse("Manifests", manifests, "a list of one manifest or more is")
        entries = [self._object(raw, f"Manifests[{at}]") for at, raw in enumerate(manifests)]
        for at, entry in enumerate(entries):
            if self._fits(self._object(entry.get("Platform") or {}, f"Manifests[{at}].Platform")):
                return entry
        offered = "; ".join(json.dumps(entry.get("Platform") or {}, default=str) for entry in entries)
        runtime = ', runtime "*" or "aws_nucleus_lite"' if self._profile.needs_runtime else ""
        raise PlatformError(
            f"{self._source}: Manifests: none is for os {self._platform.os}, "
            f"architecture {self._platform.architecture}{runtime}; they are for {offered}"
        )

    def _fits(self, wanted: Mapping[str, Any]) -> bool:
        runtime = wanted.get("runtime")
        own = "aws_nucleus_lite" if self._profile.needs_runtime else "aws_nucleus_classic"
        if runtime not in ("*", own) and (runtime is not None or self._profile.needs_runtime):
            return False
        here = {"os": self._platform.os, "architecture": self._platform.architecture}
        return all(_attribute_fits(wanted.get(key), value) for key, value in here.items())

    def _steps(self, top: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Step]:
        lifecycle = {
            **self._object(top.get("Lifecycle") or {}, "Lifecycle"),
            **self._object(manifest.get("Lifecycle") or {}, "Manifests.Lifecycle"),
        }
        shared = self._environment(self._pick(lifecycle, "Setenv"), "Lifecycle.Setenv")
        steps = {}
        for name in STEPS:
            raw = self._pick(lifecycle, name)
            if raw is not None and name in self._profile.lifecycle:
                steps[name] = self._step(name, raw, shared)
        if "startup" in steps and "run" in steps:
            raise RecipeError(f"{self._source}: Lifecycle has startup and run, one of them is allowed")
        return steps

    def _pick(self, lifecycle: Mapping[str, Any], name: str) -> Any:
        if self._profile.exact_keys or name in lifecycle:
            return lifecycle.get(name)
        return next((value for key, value in lifecycle.items() if key.lower() == name.lower()), None)

    def _step(self, name: str, raw: object, shared: Mapping[str, str]) -> Step:
        where = f"Lifecycle.{name}"
        if isinstance(raw, str):
            return Step(raw, TIMEOUTS.get(name), shared)
        entry = self._object(raw, where)
        script = self._pick(entry, "Script")
        if not isinstance(script, str) or not script.strip():
            self._refuse(f"{where}.Script", script, "a shell script is")
        timeout = self._pick(entry, "Timeout")
        seconds = TIMEOUTS.get(name) if timeout is None else self._seconds(timeout, f"{where}.Timeout")
        environment = {**shared, **self._environment(self._pick(entry, "Setenv"), f"{where}.Setenv")}
        skip = None if self._profile.needs_runtime else self._skip(self._pick(entry, "Skipif"), where)
        return Step(str(script), seconds, environment, skip)

    def _skip(self, raw: object, where: str) -> str | None:
        if raw is None:
            return None
        if not isinstance(raw, str) or raw.split(" ", 1)[0] not in ("onpath", "exists") or " " not in raw:
            self._refuse(f"{where}.Skipif", raw, "'onpath EXECUTABLE' and 'exists FILE' are")
        return str(raw)

    def _seconds(self, raw: object, where: str) -> float:
        try:
            seconds = float(raw) if isinstance(raw, int | float | str) and not isinstance(raw, bool) else -1.0
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= 1e6:
            self._refuse(where, raw, "seconds above 0 are")
        return seconds

    def _environment(self, raw: object, where: str) -> dict[str, str]:
        variables = self._object(raw or {}, where)
        for name, value in variables.items():
            if not _ENVIRONMENT_NAME.fullmatch(name):
                self._refuse(where, name, "names of letters, digits and _ are")
            if not isinstance(value, str) or "\0" in value:
                self._refuse(f"{where}.{name}", value, "text is")
        return dict(variables)

    def _artifacts(self, manifest: Mapping[str, Any]) -> Sequence[Artifact]:
        raw = manifest.get("Artifacts") or []
        if not isinstance(raw, list):
            self._refuse("Manifests.Artifacts", raw, "a list is")
        return [self._artifact(entry, f"Manifests.Artifacts[{at}]") for at, entry in enumerate(raw)]

    def _artifact(self, raw: object, where: str) -> Artifact:
        entry = self._object(raw, where)
        uri = entry.get("Uri", entry.get("URI", entry.get("uri")))
        file = uri.rsplit("/", 1)[-1] if isinstance(uri, str) else ""
        if not isinstance(uri, str) or ":" not in uri or file in ("", ".", ".."):
            self._refuse(f"{where}.Uri", uri, "s3://BUCKET/PATH/FILE is")
        unarchive = str(entry.get("Unarchive", "NONE")).upper()
        if unarchive not in ("NONE", "ZIP"):
            self._refuse(f"{where}.Unarchive", entry["Unarchive"], "NONE and ZIP are")
        permission = self._object(entry.get("Permission") or {}, f"{where}.Permission")
        executable = str(permission.get("Execute", "NONE")).upper() != "NONE"
        digest = entry.get("Digest")
        if digest is not None and not isinstance(digest, str):
            self._refuse(f"{where}.Digest", digest, "a base64 SHA-256 is")
        return Artifact(file, unarchive == "ZIP", executable, digest)

    def _object(self, raw: object, where: str) -> Mapping[str, Any]:
        if not isinstance(raw, Mapping) or not all(isinstance(key, str) for key in raw):
            self._refuse(where, raw, "an object with text keys is")
        return raw

    def _text(self, top: Mapping[str, Any], key: str) -> str:
        value = top.get(key)
        if not isinstance(value, str) or not value:
            self._refuse(key, value, "a text is")
        return str(value)

    def _one_of(self, top: Mapping[str, Any], key: str, allowed: Sequence[str]) -> None:
        # YAML parses an unquoted 2020-01-25 as a date.
        if str(top.get(key)) not in allowed:
            self._refuse(key, top.get(key), f"{' and '.join(allowed)} is")

    def _refuse(self, key: str, value: object, allowed: str) -> NoReturn:
        shown = "is missing" if value is None else f"{str(value)[:200]!r}"
        raise RecipeError(f"{self._source}: {key}: {shown}; {allowed} allowed")


def _attribute_fits(wanted: object, here: str) -> bool:
    if wanted in (None, "*", "all", "any"):
        return True
    text = str(wanted)
    if len(text) > 2 and text[0] == text[-1] == "/":
        try:
            return re.fullmatch(text[1:-1], here) is not None
        except re.error:
            return False
    return text == here
