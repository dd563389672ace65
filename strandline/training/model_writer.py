"""Writer of .tflite files from the FlatBuffers schema, without TensorFlow.

Needs the ``train`` extra (flatbuffers and the generated schema package ``tflite``). The format is the FlatBuffers
schema of TensorFlow Lite, version 3 (tensorflow/lite/schema/schema.fbs). The same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

SCHEMA_VERSION = 3
IDENTIFIER = b"TFL3"
_TYPES = {
    "float32": tflite.TensorType.FLOAT32,
    "int32": tflite.TensorType.INT32,
    "bool": tflite.TensorType.BOOL,
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its name and shape (-1 where it is resizable), and its constant if it has one."""

    name: str
    shape: tuple[int, ...]
    constant: npt.NDArray[np.float32] | npt.NDArray[np.int32] | npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """One operation over tensors, given by their numbers."""

    code: int
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options_type: int = 0
    options: Callable[[flatbuffers.Builder], int] | None = None


@dataclass(slots=True)
class Graph:
    """A subgraph as it is put together."""

    name: str
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def tensor(self, name: str, shape: Sequence[int], constant: npt.NDArray[Any] | None = None) -> int:
        """Add a tensor and return its number."""
        self.tensors.append(Tensor(name, tuple(shape), constant))
        return len(self.tensors) - 1


def linear_forecaster(terms: int) -> bytes:
    """Return a model that gives, for inputs ``terms`` and ``weights`` [n, terms], their products' sums [n].

    The weights come as an input, so one call forecasts every series, each with weights of its own.
    """
    graph = Graph("linear_forecaster")
    values = graph.tensor("terms", (-1, terms))
    weights = graph.tensor("weights", (-1, terms))
    products = graph.tensor("products", (-1, terms))
    axis = graph.tensor("axis", (1,), np.array([1], np.int32))
    forecast = graph.tensor("forecast", (-1,))
    op = tflite.BuiltinOperator
    graph.operators.append(
        Operator(op.MUL, 1, (values, weights), (products,), tflite.BuiltinOptions.MulOptions, _mul_options)
    )
    graph.operators.append(
        Operator(op.SUM, 1, (products, axis), (forecast,), tflite.BuiltinOptions.ReducerOptions, _sum_options)
    )
    graph.inputs, graph.outputs = [values, weights], [forecast]
    return write(graph)


def dense_network(layers: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> bytes:
    """Return a model of dense layers: ReLU between them, none after the last.

    Each layer is (weights [inputs, outputs], bias [outputs]); the model's input is [n, inputs of the first].
    """
    graph = Graph("dense_network")
    at = graph.tensor("input", (-1, layers[0][0].shape[0]))
    graph.inputs = [at]
    for k, (weights, bias) in enumerate(layers):
        kernel = np.ascontiguousarray(np.asarray(weights, np.float32).T)
        w = graph.tensor(f"weights_{k}", kernel.shape, kernel)
        b = graph.tensor(f"bias_{k}", bias.shape, np.asarray(bias, np.float32))
        out = graph.tensor(f"layer_{k}" if k + 1 < len(layers) else "output", (-1, kernel.shape[0]))
        activation = tflite.ActivationFunctionType.RELU if k + 1 < len(layers) else tflite.ActivationFunctionType.NONE
        graph.operators.append(
            Operator(
                tflite.BuiltinOperator.FULLY_CONNECTED,
                1,
                (at, w, b),
                (out,),
                tflite.BuiltinOptions.FullyConnectedOptions,
                _dense_options(activation),
            )
        )
        at = out
    graph.outputs = [at]
    return write(graph)


def write(*graphs: Graph) -> bytes:
    """Return graphs as the bytes of a .tflite file; the first is the one that runs, the others are its branches."""
    b = flatbuffers.Builder(1024)
    graph = graphs[0]
    codes = sorted({(operator.code, operator.version) for each in graphs for operator in each.operators})
    # Buffer 0 is empty by the format's rule; each constant has one of its own.
    blobs = [b""] + [t.constant.tobytes() for each in graphs for t in each.tensors if t.constant is not None]
    buffers = [_buffer(b, blob) for blob in blobs]
    subgraphs, constants = [], 0
    for each in graphs:
        subgraphs.append(_subgraph(b, each, codes, constants))
        constants += sum(tensor.constant is not None for tensor in each.tensors)
    code_tables = [_code(b, *code) for code in codes]
    description = b.CreateString(graph.name)
    buffer_vector = _tables(b, buffers, tflite.ModelStartBuffersVector)
    subgraph_vector = _tables(b, subgraphs, tflite.ModelStartSubgraphsVector)
    code_vector = _tables(b, code_tables, tflite.ModelStartOperatorCodesVector)
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, SCHEMA_VERSION)
    tflite.ModelAddOperatorCodes(b, code_vector)
    tflite.ModelAddSubgraphs(b, subgraph_vector)
    tflite.ModelAddDescription(b, description)
    tflite.ModelAddBuffers(b, buffer_vector)
    b.Finish(tflite.ModelEnd(b), IDENTIFIER)
    return bytes(b.Output())


def _subgraph(b: flatbuffers.Builder, graph: Graph, codes: Sequence[tuple[int, int]], constants: int) -> int:
    """Write a graph whose constants stand behind those of the graphs before it."""
    tensors = []
    for tensor in graph.tensors:
        constants += tensor.constant is not None
        tensors.append(_tensor(b, tensor, constants if tensor.constant is not None else 0))
    operators = [_operator(b, operator, codes.index((operator.code, operator.version))) for operator in graph.operators]
    name = b.CreateString(graph.name)
    tensor_vector = _tables(b, tensors, tflite.SubGraphStartTensorsVector)
    operator_vector = _tables(b, operators, tflite.SubGraphStartOperatorsVector)
    inputs = b.CreateNumpyVector(np.array(graph.inputs, np.int32))
    outputs = b.CreateNumpyVector(np.array(graph.outputs, np.int32))
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, tensor_vector)
    tflite.SubGraphAddInputs(b, inputs)
    tflite.SubGraphAddOutputs(b, outputs)
    tflite.SubGraphAddOperators(b, operator_vector)
    tflite.SubGraphAddName(b, name)
    return int(tflite.SubGraphEnd(b))


def _tensor(b: flatbuffers.Builder, tensor: Tensor, buffer: int) -> int:
    kind = _TYPES[tensor.constant.dtype.name if tensor.constant is not None else "float32"]
    shape = b.CreateNumpyVector(np.array([max(1, n) for n in tensor.shape], np.int32))
    signature = b.CreateNumpyVector(np.array(tensor.shape, np.int32))
    name = b.CreateString(tensor.name)
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, kind)
    tflite.TensorAddBuffer(b, buffer)
    tflite.TensorAddName(b, name)
    tflite.TensorAddShapeSignature(b, signature)
    return int(tflite.TensorEnd(b))


def _operator(b: flatbuffers.Builder, operator: Operator, code: int) -> int:
    options = operator.options(b) if operator.options is not None else 0
    inputs = b.CreateNumpyVector(np.array(operator.inputs, np.int32))
    outputs = b.CreateNumpyVector(np.array(operator.outputs, np.int32))
    tflite.OperatorStart(b)
    tflite.OperatorAddOpcodeIndex(b, code)
    tflite.OperatorAddInputs(b, inputs)
    tflite.OperatorAddOutputs(b, outputs)
    if operator.options is not None:
        tflite.OperatorAddBuiltinOptionsType(b, operator.options_type)
        tflite.OperatorAddBuiltinOptions(b, options)
    return int(tflite.OperatorEnd(b))


def _code(b: flatbuffers.Builder, code: int, version: int) -> int:
    tflite.OperatorCodeStart(b)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, 127))
    tflite.OperatorCodeAddVersion(b, version)
    tflite.OperatorCodeAddBuiltinCode(b, code)
    return int(tflite.OperatorCodeEnd(b))


def _buffer(b: flatbuffers.Builder, data: bytes) -> int:
    vector = 0
    if data:
        b.StartVector(1, len(data), 16)  # the interpreter reads constants in place and requires this alignment
        b.head = b.Head() - len(data)
        b.Bytes[b.Head() : b.Head() + len(data)] = data
        vector = b.EndVector()
    tflite.BufferStart(b)
    if data:
        tflite.BufferAddData(b, vector)
    return int(tflite.BufferEnd(b))


def _tables(b: flatbuffers.Builder, offsets: Sequence[int], start: Callable[[flatbuffers.Builder, int], Any]) -> int:
    start(b, len(offsets))
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _mul_options(b: flatbuffers.Builder) -> int:
    tflite.MulOptionsStart(b)
    return int(tflite.MulOptionsEnd(b))


def _sum_options(b: flatbuffers.Builder) -> int:
    tflite.ReducerOptionsStart(b)
    tflite.ReducerOptionsAddKeepDims(b, False)
    return int(tflite.ReducerOptionsEnd(b))


def _dense_options(activation: int) -> Callable[[flatbuffers.Builder], int]:
    def options(b: flatbuffers.Builder) -> int:
        tflite.FullyConnectedOptionsStart(b)
        tflite.FullyConnectedOptionsAddFusedActivationFunction(b, activation)
        return int(tflite.FullyConnectedOptionsEnd(b))

    return options
