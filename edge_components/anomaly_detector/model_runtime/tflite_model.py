"""Loaded TFLite models: the generic model, the forecaster of single series, and models of groups.

The interpreter is LiteRT if it is installed and tflite-runtime otherwise; both have the same interface. A truncated
file can crash a process that loads it with tflite-runtime, so every model is first loaded in a child process: see
:mod:`edge_components.anomaly_detector.model_runtime.validation_process`.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.errors import ModelRejectedError
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest, Manifest, Port
from edge_components.anomaly_detector.univariate.forecaster import TERMS

SHIPPED = Path(__file__).parent / "forecaster.json"
_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


NO_RUNTIME = f"no TFLite runtime is installed: none of {', '.join(_RUNTIMES)}"


def runtime_is_installed() -> bool:
    """Return whether a TFLite runtime is installed, without loading it; it is optional on a gateway."""
    return any(importlib.util.find_spec(name.partition(".")[0]) is not None for name in _RUNTIMES)


def interpreter_class() -> Any:
    """Return the Interpreter class of the installed runtime; raises ModelRejectedError if none is installed."""
    for name in _RUNTIMES:
        try:
            return importlib.import_module(name).Interpreter
        except ImportError:
            continue
    raise ModelRejectedError(NO_RUNTIME)


class Model:
    """A loaded model, run for any number of rows at a time.

    Values are copied directly into and out of the interpreter's memory; the only copy converts their type.
    """

    def __init__(self, manifest: Manifest, content: bytes) -> None:
        try:
            self._interpreter = interpreter_class()(model_content=content, num_threads=1)
            self._inputs = self._interpreter.get_input_details()
            self._outputs = self._interpreter.get_output_details()
            self._check(manifest, self._inputs, manifest.inputs, "input")
            self._check(manifest, self._outputs, manifest.outputs, "output")
            # These return views of the interpreter's memory; no view may be held while it runs.
            self._writing = [self._interpreter.tensor(detail["index"]) for detail in self._inputs]
            self._reading = [self._interpreter.tensor(detail["index"]) for detail in self._outputs]
            fixed = manifest.inputs[0].shape[0]
            self._fixed, self._rows = (fixed if fixed > 0 else None), 0
            if self._fixed:
                self._interpreter.allocate_tensors()
                self._rows = self._fixed
        except (ValueError, RuntimeError, TypeError) as error:
            raise ModelRejectedError(f"model {manifest.name}: {error}") from error
        self.manifest = manifest

    def run(self, *values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Return the outputs for inputs of n rows each, in the outputs' own types.

        Raises ModelRejectedError if the model fails or returns other shapes than in its manifest.
        """
        n = len(values[0])
        if self._fixed is None or n == self._fixed:
            return self._call(n, values)
        parts = [
            self._call(len(values[0][at : at + self._fixed]), [value[at : at + self._fixed] for value in values])
            for at in range(0, n, self._fixed)
        ]
        return [np.concatenate(one) for one in zip(*parts, strict=True)]

    def _call(self, n: int, values: Any) -> list[npt.NDArray[Any]]:
        try:
            if n > self._rows or (self._fixed is None and n < self._rows // 4):
                self._resize(n)
            for view, value in zip(self._writing, values, strict=True):
                view()[:n] = value  # rows above n keep their previous values
            self._interpreter.invoke()
            ports = self.manifest.outputs
            return [self._output(view(), port, n) for view, port in zip(self._reading, ports, strict=True)]
        except (ValueError, RuntimeError) as error:
            raise ModelRejectedError(f"model {self.manifest.name}: {error}") from error

    def _output(self, whole: npt.NDArray[Any], port: Port, n: int) -> npt.NDArray[Any]:
        if whole.shape != (self._rows, *port.shape[1:]):
            raise ModelRejectedError(
                f"model {self.manifest.name}: {port.name} is {whole.shape} for {self._rows} rows, "
                f"the manifest has {port.shape}"
            )
        return np.array(whole[:n])

    def _resize(self, rows: int) -> None:
        for detail, port in zip(self._inputs, self.manifest.inputs, strict=True):
            self._interpreter.resize_tensor_input(detail["index"], [rows, *port.shape[1:]])
        self._interpreter.allocate_tensors()
        self._rows = rows

    @staticmethod
    def _check(manifest: Manifest, details: list[dict[str, Any]], ports: tuple[Port, ...], what: str) -> None:
        has = [(tuple(int(n) for n in d["shape"])[1:], np.dtype(d["dtype"]).name) for d in details]
        required = [(port.shape[1:], port.dtype) for port in ports]
        if has != required:
            raise ModelRejectedError(f"model {manifest.name}: {what}s are {has}, the manifest has {required}")

    def quantisation(self) -> tuple[tuple[float, int], tuple[float, int]]:
        """Return scale and zero point of the first input and the first output; a scale of 0 means not quantised."""
        first, last = (details[0]["quantization"] for details in (self._inputs, self._outputs))
        return (float(first[0]), int(first[1])), (float(last[0]), int(last[1]))


class GroupModel:
    """A group's model with real numbers as input and output; quantised tensors are converted."""

    def __init__(self, manifest: GroupManifest, content: bytes) -> None:
        self.manifest, self._model = manifest, Model(manifest, content)
        self._in, self._out = self._model.quantisation()
        for port, (scale, _) in zip((manifest.inputs[0], manifest.outputs[0]), (self._in, self._out), strict=True):
            if port.dtype != "float32" and not scale > 0:
                raise ModelRejectedError(f"model {manifest.name}: {port.name} is {port.dtype} and has no scale")

    def __call__(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the output [n, values] for standardised windows [n, window, channels].

        Raises ModelRejectedError if the model fails, or returns a value that is not finite.
        """
        port = self.manifest.inputs[0]
        values = windows.reshape(len(windows), *port.shape[1:])
        if port.dtype != "float32":
            limits = np.iinfo(port.dtype)
            values = np.clip(np.rint(values / self._in[0]) + self._in[1], limits.min, limits.max)
        (output,) = self._model.run(values)
        real = output.reshape(len(windows), -1)
        if self.manifest.outputs[0].dtype != "float32":
            real = (real.astype(np.float32) - self._out[1]) * np.float32(self._out[0])
        if not np.isfinite(real).all():
            raise ModelRejectedError(f"model {self.manifest.name}: {self.manifest.outputs[0].name} is not finite")
        return np.asarray(real, np.float32)


class TfliteForecast:
    """The forecaster's sums of products through a TFLite model: one call for all series."""

    def __init__(self, model: Model) -> None:
        name = model.manifest.name
        shapes, given = ([port.shape for port in ports] for ports in (model.manifest.inputs, model.manifest.outputs))
        if shapes != [(-1, TERMS), (-1, TERMS)]:
            raise ModelRejectedError(f"model {name}: inputs {shapes}, a forecaster has two of {TERMS} terms")
        if given != [(-1,)]:
            raise ModelRejectedError(f"model {name}: outputs {given}, a forecaster has one of one value a row")
        self._model = model

    def __call__(self, terms: npt.NDArray[np.float64], weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """See :class:`edge_components.anomaly_detector.univariate.forecaster.Forecast`."""
        (forecast,) = self._model.run(terms, weights)
        return np.asarray(forecast, np.float64)
