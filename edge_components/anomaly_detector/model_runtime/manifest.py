"""Manifests: the properties of a model's file, and inputs and outputs of a group's model, in JSON beside the file.

A manifest comes from outside, as the model does: every value is checked, and an error names the key, the value and
what is allowed. docs/models.md describes the format.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray
from edge_components.anomaly_detector.errors import ModelRejectedError
from wire.limits import MAX_VALUE

FORMAT = "strandline-model/1"
AUTOENCODER, FORECASTER = "autoencoder", "forecaster"
MAX_BYTES = 50_000_000
MAX_MANIFEST_BYTES = 1_000_000
MAX_CHANNELS = 4_096
MAX_VALUES = 65_536
"""Maximum number of values in one row of a model's input."""
FARTHEST = 1e6
"""Standardised values are clipped to this, so that they do not overflow a float32."""
_DTYPES = ("float32", "int8", "uint8")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a model: name (informative), shape (first -1 for any number of rows), data type."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def values(self) -> int:
        """Values in a row."""
        return math.prod(self.shape[1:])


@dataclass(frozen=True, slots=True)
class Manifest:
    """The properties of a model's file."""

    name: str
    file: Path
    size: int
    sha256: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest; raises ModelRejectedError with the missing or invalid key."""
        return cls(**_file_part(_body(path), path))

    def content(self) -> bytes:
        """Return the model's bytes; raises ModelRejectedError if they do not match the manifest."""
        try:
            size = self.file.stat().st_size
            data = self.file.read_bytes() if size <= MAX_BYTES else b""
        except OSError as error:
            raise ModelRejectedError(f"model {self.name}: {error}") from error
        if size != self.size:
            raise ModelRejectedError(
                f"model {self.name}: {self.file.name} has {size} bytes, the manifest has {self.size}"
            )
        if size > MAX_BYTES:
            raise ModelRejectedError(f"model {self.name}: {size} bytes, at most {MAX_BYTES} are loaded")
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            raise ModelRejectedError(f"model {self.name}: SHA-256 {digest}, the manifest has {self.sha256}")
        return data


@dataclass(frozen=True, slots=True)
class Defaults:
    """Tails of the errors on data held out of the training, used until a device's own are known.

    Each is [channels + 1], the last one for the group: ``threshold``, mean ``excess`` above it, and the ``share`` of
    windows above it."""

    threshold: FloatArray
    excess: FloatArray
    share: FloatArray


@dataclass(frozen=True, slots=True)
class GroupManifest(Manifest):
    """A model of a group of channels: an auto-encoder of their last windows, or a forecaster of the next one.

    Its input is, by row, ``window`` windows of ``channels`` values each, oldest first, standardised with ``centre`` and
    ``scale`` [channels]. Series are named ``<device>.<channel>`` for each device that the glob ``devices`` matches, or
    like the channels without a glob.
    """

    version: str
    kind: str
    group: str
    devices: str | None
    channels: tuple[str, ...]
    units: tuple[str, ...]
    centre: FloatArray
    scale: FloatArray
    clip: float
    window: int
    interval_ms: int
    defaults: Defaults | None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a group's manifest; raises ModelRejectedError that names the key, the value and what is allowed."""
        body, reader = _body(path), _Reader(path)
        if body.get("format") != FORMAT:
            reader.fail("format", body.get("format"), repr(FORMAT))
        channels = reader.items(body, "channels")
        names = tuple(
            reader.text(one, "name", r"[A-Za-z0-9][A-Za-z0-9:./_-]{0,127}", "channels[].") for one in channels
        )
        if not 0 < len(names) <= MAX_CHANNELS or len(set(names)) < len(names):
            reader.fail("channels", len(names), f"1 to {MAX_CHANNELS} channels, each name once")
        window = reader.integer(body, "window", 1, 10_000)
        found = cls(
            **_file_part(body, path),
            version=reader.text(body, "version", r"\d+\.\d+\.\d+[A-Za-z0-9.+-]{0,40}"),
            kind=reader.text(body, "kind", f"{AUTOENCODER}|{FORECASTER}"),
            group=reader.text(body, "group", _TOKEN.pattern),
            devices=None if body.get("devices") is None else reader.text(body, "devices", r"[^\s]{1,128}"),
            channels=names,
            units=tuple(reader.text(one, "unit", r".{0,32}", "channels[].") for one in channels),
            centre=np.array([reader.number(one, "centre", -MAX_VALUE, MAX_VALUE, "channels[].") for one in channels]),
            scale=np.array([reader.number(one, "scale", 1 / MAX_VALUE, MAX_VALUE, "channels[].") for one in channels]),
            clip=FARTHEST if body.get("clip") is None else reader.number(body, "clip", 1, FARTHEST),
            window=window,
            interval_ms=reader.integer(body, "interval_ms", 1, 86_400_000),
            defaults=_defaults(body, reader, len(names)),
        )
        found._check_ports(reader)
        return found

    @property
    def output_values(self) -> int:
        """Values in a row of the output."""
        return len(self.channels) * (self.window if self.kind == AUTOENCODER else 1)

    def _check_ports(self, reader: _Reader) -> None:
        values = self.window * len(self.channels)
        if values > MAX_VALUES:
            reader.fail("window", self.window, f"window times channels at most {MAX_VALUES}")
        for key, ports, wanted in (("inputs", self.inputs, values), ("outputs", self.outputs, self.output_values)):
            if len(ports) != 1 or ports[0].values != wanted:
                shapes = [list(port.shape) for port in ports]
                reader.fail(key, shapes, f"one of {wanted} values a row ({self.kind}, {self.window} windows)")
            if ports[0].dtype not in _DTYPES:
                reader.fail(f"{key}[0].dtype", ports[0].dtype, f"one of {', '.join(_DTYPES)}")


def _body(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_MANIFEST_BYTES + 1)
        if len(text) > MAX_MANIFEST_BYTES:
            raise ValueError(f"more than {MAX_MANIFEST_BYTES} bytes")
        body = json.loads(text)
        if not isinstance(body, dict):
            raise ValueError("is not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelRejectedError(f"manifest {path}: {type(error).__name__}: {error}") from error
    return body


def _file_part(body: Mapping[str, Any], path: Path) -> dict[str, Any]:
    reader = _Reader(path)
    return {
        "name": reader.text(body, "name", _TOKEN.pattern),
        "file": path.parent / reader.text(body, "file", _TOKEN.pattern),
        "size": reader.integer(body, "size", 1, MAX_BYTES),
        "sha256": reader.text(body, "sha256", r"[0-9a-f]{64}"),
        "inputs": _ports(body, "inputs", reader),
        "outputs": _ports(body, "outputs", reader),
    }


def _ports(body: Mapping[str, Any], key: str, reader: _Reader) -> tuple[Port, ...]:
    ports = []
    for one in reader.items(body, key):
        shape = one.get("shape")
        if not isinstance(shape, list) or not shape or not all(type(n) is int for n in shape):
            reader.fail(f"{key}[].shape", shape, "a list of whole numbers")
        if (shape[0] != -1 and not 0 < shape[0] <= 1024) or not all(0 < n <= MAX_VALUES for n in shape[1:]):
            reader.fail(f"{key}[].shape", shape, "the number of rows (-1 for any), then sizes above 0")
        dtype = reader.text(one, "dtype", r"[a-z0-9]{1,16}", f"{key}[].")
        ports.append(Port(reader.text(one, "name", r".{1,200}", f"{key}[]."), tuple(shape), dtype))
    if not ports:
        reader.fail(key, [], "a list with one or more entries")
    return tuple(ports)


def _defaults(body: Mapping[str, Any], reader: _Reader, channels: int) -> Defaults | None:
    raw = body.get("calibration")
    if raw is None:
        return None
    if not isinstance(raw, dict):
        reader.fail("calibration", raw, "an object")
    columns = []
    for key in ("threshold", "excess", "share"):
        values = raw.get(key)
        if (
            not isinstance(values, list)
            or len(values) != channels + 1
            or not all(_is_number(value) and value > 0 for value in values)
        ):
            reader.fail(f"calibration.{key}", values, f"{channels + 1} numbers above 0, the last for the group")
        columns.append(np.array(values, np.float64))
    return Defaults(*columns)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class _Reader:
    """Read and validate the keys of a manifest; errors name the file, the key, the value and the allowed values."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fail(self, key: str, value: object, allowed: str) -> NoReturn:
        """Raise ModelRejectedError."""
        shown = "is missing" if value is None else f"is {str(value)[:120]!r}"
        raise ModelRejectedError(f"manifest {self._path}: {key} {shown}, allowed is {allowed}")

    def text(self, body: Mapping[str, Any], key: str, pattern: str, where: str = "") -> str:
        """Return a text that matches a pattern completely."""
        value = body.get(key)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            self.fail(where + key, value, f"text that matches {pattern}")
        return value

    def integer(self, body: Mapping[str, Any], key: str, low: int, high: int) -> int:
        """Return a whole number."""
        value = body.get(key)
        if type(value) is not int or not low <= value <= high:
            self.fail(key, value, f"a whole number from {low} to {high}")
        return value

    def number(self, body: Mapping[str, Any], key: str, low: float, high: float, where: str = "") -> float:
        """Return a finite number."""
        value = body.get(key)
        if not isinstance(value, int | float) or not _is_number(value) or not low <= value <= high:
            self.fail(where + key, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def items(self, body: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
        """Return a list of objects."""
        value = body.get(key)
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.fail(key, value, "a list of objects")
        return value
