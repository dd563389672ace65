"""Models as data from outside: checked against their manifest, tried in a child process, then loaded.

The interpreter is LiteRT where it is installed and tflite-runtime otherwise; both have the same interface. A truncated
file can kill a process that loads it with tflite-runtime, so nothing is loaded here that a child has not survived.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.errors import ModelRefusedError
from edge_components.anomaly_detector.forecaster import TERMS

SHIPPED = Path(__file__).parent / "models" / "forecaster.json"
TRIAL_SECONDS = 30.0
LARGEST_BYTES = 50_000_000
_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a model: name (for the reader), shape with -1 for the batch, and type."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model's file must be, read from the JSON beside it."""

    name: str
    file: Path
    size: int
    sha256: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest; raises ModelRefusedError that names what is missing or wrong."""
        try:
            body = json.loads(path.read_text())
            return cls(
                name=str(body["name"]),
                file=path.parent / Path(str(body["file"])).name,
                size=int(body["size"]),
                sha256=str(body["sha256"]),
                inputs=tuple(_port(port) for port in body["inputs"]),
                outputs=tuple(_port(port) for port in body["outputs"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelRefusedError(f"manifest {path}: {type(error).__name__}: {error}") from error

    def content(self) -> bytes:
        """Return the model's bytes; raises ModelRefusedError where they are not those of the manifest."""
        try:
            size = self.file.stat().st_size
            data = self.file.read_bytes() if size <= LARGEST_BYTES else b""
        except OSError as error:
            raise ModelRefusedError(f"model {self.name}: {error}") from error
        if size != self.size:
            raise ModelRefusedError(f"model {self.name}: {self.file} has {size} bytes, the manifest says {self.size}")
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            raise ModelRefusedError(f"model {self.name}: SHA-256 {digest}, the manifest says {self.sha256}")
        return data


def _port(body: Any) -> Port:
    return Port(str(body["name"]), tuple(int(n) for n in body["shape"]), str(body["dtype"]))


def interpreter_class() -> Any:
    """Return the Interpreter of the runtime that is installed; raises ModelRefusedError where there is none."""
    for name in _RUNTIMES:
        try:
            return importlib.import_module(name).Interpreter
        except ImportError:
            continue
    raise ModelRefusedError(f"no TFLite runtime is installed: none of {', '.join(_RUNTIMES)}")


class Model:
    """A loaded model, run for any number of rows at a time; arrays are kept for as many as it was last run for."""

    def __init__(self, manifest: Manifest, content: bytes) -> None:
        try:
            self._interpreter = interpreter_class()(model_content=content, num_threads=1)
            self._inputs = self._interpreter.get_input_details()
            self._outputs = self._interpreter.get_output_details()
        except (ValueError, RuntimeError, TypeError) as error:
            raise ModelRefusedError(f"model {manifest.name}: {error}") from error
        self.manifest, self._rows = manifest, 0
        self._check(self._inputs, manifest.inputs, "input")
        self._check(self._outputs, manifest.outputs, "output")

    def run(self, *values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Return the outputs for inputs of n rows each; raises ModelRefusedError where the model fails."""
        try:
            self._resize(len(values[0]))
            for detail, value in zip(self._inputs, values, strict=True):
                self._interpreter.set_tensor(detail["index"], np.ascontiguousarray(value, detail["dtype"]))
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(detail["index"]) for detail in self._outputs]
        except (ValueError, RuntimeError) as error:
            raise ModelRefusedError(f"model {self.manifest.name}: {error}") from error

    def _resize(self, rows: int) -> None:
        if rows == self._rows:
            return
        for detail, port in zip(self._inputs, self.manifest.inputs, strict=True):
            self._interpreter.resize_tensor_input(detail["index"], [rows, *port.shape[1:]])
        self._interpreter.allocate_tensors()
        self._rows = rows

    def _check(self, details: list[dict[str, Any]], ports: tuple[Port, ...], what: str) -> None:
        has = [(tuple(int(n) for n in d["shape"])[1:], np.dtype(d["dtype"]).name) for d in details]
        wants = [(port.shape[1:], port.dtype) for port in ports]
        if has != wants:
            raise ModelRefusedError(f"model {self.manifest.name}: {what}s are {has}, the manifest says {wants}")


class TfliteForecast:
    """The forecaster's sums of products through a TFLite model: one call for all series."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._terms = np.zeros((0, TERMS), np.float32)
        self._weights = np.zeros((0, TERMS), np.float32)

    def __call__(self, terms: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """See :class:`edge_components.anomaly_detector.forecaster.Forecast`."""
        n = len(terms)
        if n > len(self._terms):
            # It only grows: a window with fewer series leaves rows unused, which costs less than resizing.
            self._terms, self._weights = np.zeros((n, TERMS), np.float32), np.zeros((n, TERMS), np.float32)
        self._terms[:n], self._weights[:n] = terms, weights
        (forecast,) = self._model.run(self._terms, self._weights)
        return np.asarray(forecast[:n], np.float64)


def try_in_child(path: Path, seconds: float = TRIAL_SECONDS) -> None:
    """Let a child process load the model of a manifest and run it; raises ModelRefusedError with what went wrong."""
    command = [sys.executable, "-m", "edge_components.anomaly_detector.trial", str(path)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603 # ours
    except subprocess.TimeoutExpired as error:
        raise ModelRefusedError(f"model of {path}: no answer in {seconds:g} s") from error
    except OSError as error:
        raise ModelRefusedError(f"model of {path}: no trial: {error}") from error
    if child.returncode < 0:
        raise ModelRefusedError(f"model of {path}: the trial was killed by signal {-child.returncode}")
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines() or ["no reason given"]
        raise ModelRefusedError(lines[-1][:500])


def load(path: Path, seconds: float = TRIAL_SECONDS) -> Model:
    """Check, try and load the model of a manifest; raises ModelRefusedError and has loaded nothing then."""
    manifest = Manifest.read(path)
    content = manifest.content()
    try_in_child(path, seconds)
    return Model(manifest, content)


def load_forecast(path: Path = SHIPPED) -> TfliteForecast:
    """Load the forecaster's model; raises ModelRefusedError."""
    model = load(path)
    shapes = [port.shape for port in model.manifest.inputs]
    if shapes != [(-1, TERMS), (-1, TERMS)]:
        raise ModelRefusedError(f"model {model.manifest.name}: inputs {shapes}, a forecaster has two of {TERMS} terms")
    return TfliteForecast(model)
