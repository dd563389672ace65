"""Models made with TensorFlow: convolutional auto-encoders, and int8 models of every kind.

TensorFlow has a size of a gigabyte; it is a separate extra and imported in this module only. Gateways do not need it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from strandline.errors import TrainingError
from strandline.progress import Progress, no_progress
from strandline.training.dataset import FloatArray
from strandline.training.evaluation import Examples, Run
from strandline.training.layers import CLIP, fit_layers

REPRESENTATIVE = 300
"""Number of windows from which the value ranges of an int8 model's tensors are computed."""
EPOCHS, PATIENCE, BATCH, RATE = 200, 15, 128, 2e-3


def make(
    kind: str,
    fitted: Examples,
    stop_on: Examples,
    bottleneck: int | None,
    int8: bool,
    seed: int,
    progress: Progress = no_progress,
) -> tuple[bytes, dict[str, Any], Run, int]:
    """Return the file, its inputs and outputs, the function that it computes, and the number of epochs."""
    keras, tensorflow = _import()
    keras.utils.set_random_seed(seed)
    if kind == "convolutional":
        model, epochs = _convolutional(keras, fitted, stop_on, bottleneck, progress)
    else:
        model, epochs = _dense(keras, kind, fitted, stop_on, bottleneck, seed, progress)
    content = _convert(tensorflow, model, fitted.inputs, int8)
    return content, *_as_it_runs(tensorflow, content), epochs


def _import() -> tuple[Any, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow

    return keras, tensorflow


def _convolutional(
    keras: Any, fitted: Examples, stop_on: Examples, bottleneck: int | None, progress: Progress
) -> tuple[Any, int]:
    length, channels = fitted.inputs.shape[1:]
    if length < 8 or length % 4:
        raise TrainingError(f"--window {length}: a convolutional model requires a multiple of 4, at least 8")
    narrow, wide = bottleneck or max(2, channels // 2), max(16, 2 * channels)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((length, channels)),
            layers.Conv1D(wide, 5, strides=2, padding="same", activation="relu"),
            layers.Conv1D(narrow, 3, strides=2, padding="same"),
            layers.UpSampling1D(2),
            layers.Conv1D(wide, 3, padding="same", activation="relu"),
            layers.UpSampling1D(2),
            layers.Conv1D(channels, 5, padding="same"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss="mse")
    stop = keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
    count = len(fitted.inputs)
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, _logs: progress((epoch + 1) * count, EPOCHS * count)
    )
    inputs, stop_inputs = (np.clip(one.inputs, -CLIP, CLIP).astype(np.float32) for one in (fitted, stop_on))
    history = model.fit(
        inputs,
        inputs,
        epochs=EPOCHS,
        batch_size=BATCH,
        verbose=0,
        callbacks=[stop, report],
        validation_data=(stop_inputs, stop_inputs),
    )
    return model, len(history.epoch)


def _dense(
    keras: Any,
    kind: str,
    fitted: Examples,
    stop_on: Examples,
    bottleneck: int | None,
    seed: int,
    progress: Progress,
) -> tuple[Any, int]:
    """Return our own dense layers as a Keras model, to be quantised."""
    made = fit_layers(kind, fitted, stop_on, bottleneck, seed, progress)
    last = len(made.layers) - 1
    sizes = [weights.shape[1] for weights, _ in made.layers]
    stack = [keras.Input((made.layers[0][0].shape[0],))]
    stack += [keras.layers.Dense(n, activation=None if at == last else "relu") for at, n in enumerate(sizes)]
    model = keras.Sequential(stack)
    for layer, (weights, bias) in zip(model.layers, made.layers, strict=True):
        layer.set_weights([weights, bias])
    return model, made.epochs


def _convert(tensorflow: Any, model: Any, inputs: FloatArray, int8: bool) -> bytes:
    shape = model.input_shape[1:]
    # By way of a saved model: its signature keeps the number of rows open.
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(folder)
        if int8:
            rows = np.random.default_rng(0).permutation(len(inputs))[:REPRESENTATIVE]

            def representative() -> Iterator[list[Any]]:
                for row in rows:
                    yield [np.clip(inputs[row], -CLIP, CLIP).astype(np.float32).reshape(1, *shape)]

            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
            converter.representative_dataset = representative
            converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tensorflow.int8
        return bytes(converter.convert())


def _as_it_runs(tensorflow: Any, content: bytes) -> tuple[dict[str, Any], Run]:
    """Return the file's ports, and a function over its interpreter: what is measured is what will run."""
    interpreter = tensorflow.lite.Interpreter(model_content=content)
    (first,), (last,) = interpreter.get_input_details(), interpreter.get_output_details()
    # One row a call where the file does not let its rows be changed.
    resizable = int(first["shape_signature"][0]) == -1

    def port(detail: dict[str, Any], name: str) -> dict[str, Any]:
        shape = [int(n) for n in detail["shape"]]
        return {"name": name, "shape": [-1 if resizable else 1, *shape[1:]], "dtype": np.dtype(detail["dtype"]).name}

    def run(windows: FloatArray) -> FloatArray:
        interpreter.allocate_tensors()
        scale, zero = first["quantization"]
        rows = np.clip(windows, -CLIP, CLIP).reshape(len(windows), *[int(n) for n in first["shape"][1:]])
        outputs = []
        for row in rows:
            value = row if not scale else np.clip(np.rint(row / scale) + zero, -128, 127)
            interpreter.set_tensor(first["index"], value[None].astype(first["dtype"]))
            interpreter.invoke()
            out = interpreter.get_tensor(last["index"]).astype(np.float64).ravel()
            outputs.append(out if not scale else (out - last["quantization"][1]) * last["quantization"][0])
        return np.array(outputs)

    return {"inputs": [port(first, "windows")], "outputs": [port(last, "output")]}, run
