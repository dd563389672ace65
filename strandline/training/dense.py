"""A dense auto-encoder in NumPy: ReLU between its layers, Adam (Kingma and Ba, 2015), early stopping."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from strandline.progress import Progress, no_progress
from strandline.training.dataset import FloatArray

Layers = list[tuple[FloatArray, FloatArray]]
"""Weights [inputs, outputs] and bias [outputs], first layer first."""

EPOCHS = 300
PATIENCE = 20
BATCH = 128
RATE = 2e-3
NOISE = 0.1
"""Standard deviation of the noise on the inputs, in scales; the targets are without noise (denoising auto-encoder)."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Fitted layers, the number of epochs and the loss on the stopping data."""

    layers: Layers
    epochs: int
    loss: float


def sizes_for(values: int, bottleneck: int | None) -> tuple[int, ...]:
    """Return the layers' sizes for a number of input values."""
    narrow = bottleneck or max(1, min(16, values // 4))
    wide = max(narrow, min(128, max(16, values)))
    return values, wide, narrow, wide, values


def fit(
    inputs: FloatArray, stop_on: FloatArray, sizes: Sequence[int], seed: int, progress: Progress = no_progress
) -> Fitted:
    """Fit on ``inputs`` [n, values]; return the layers with the lowest loss on ``stop_on`` [m, values].

    ``progress`` counts the inputs of all epochs; the fit may end before the last one.
    """
    rng = np.random.default_rng(seed)
    layers: Layers = [
        (rng.normal(0, np.sqrt(2.0 / before), (before, after)), np.zeros(after))
        for before, after in itertools.pairwise(sizes)
    ]
    step = _adam(layers)
    best, best_loss, best_epoch, epoch = [(w.copy(), b.copy()) for w, b in layers], _loss(layers, stop_on), 0, 0
    for epoch in range(1, EPOCHS + 1):
        order = rng.permutation(len(inputs))
        for at in range(0, len(order), BATCH):
            clean = inputs[order[at : at + BATCH]]
            step(_gradients(layers, clean + rng.normal(0, NOISE, clean.shape), clean))
            progress((epoch - 1) * len(inputs) + at + len(clean), EPOCHS * len(inputs))
        loss = _loss(layers, stop_on)
        if loss < best_loss * (1 - 1e-4):
            best, best_loss, best_epoch = [(w.copy(), b.copy()) for w, b in layers], loss, epoch
        elif epoch - best_epoch >= PATIENCE:
            break
    return Fitted(best, epoch, best_loss)


def run(layers: Layers, inputs: FloatArray) -> FloatArray:
    """Return the output for inputs [n, values]."""
    return _forward(layers, inputs)[-1]


def _forward(layers: Layers, inputs: FloatArray) -> list[FloatArray]:
    """Return the input of each layer and, last, the output."""
    values = [inputs]
    for at, (weights, bias) in enumerate(layers):
        out = values[-1] @ weights + bias
        values.append(np.maximum(out, 0.0) if at + 1 < len(layers) else out)
    return values


def _loss(layers: Layers, inputs: FloatArray) -> float:
    return float(np.mean(np.square(run(layers, inputs) - inputs)))


def _gradients(layers: Layers, inputs: FloatArray, targets: FloatArray) -> Layers:
    values = _forward(layers, inputs)
    slope = 2.0 * (values[-1] - targets) / targets.size
    gradients: Layers = []
    for at in range(len(layers) - 1, -1, -1):
        gradients.append((values[at].T @ slope, slope.sum(axis=0)))
        slope = (slope @ layers[at][0].T) * (values[at] > 0)
    return gradients[::-1]


def _adam(layers: Layers) -> Callable[[Layers], None]:
    """Return a function that moves the layers in place by their gradients."""
    first = [[np.zeros_like(part) for part in layer] for layer in layers]
    second = [[np.zeros_like(part) for part in layer] for layer in layers]
    steps = 0

    def step(gradients: Layers) -> None:
        nonlocal steps
        steps += 1
        rate = RATE * np.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)
        for layer, slopes, m, v in zip(layers, gradients, first, second, strict=True):
            for part, slope, mean, square in zip(layer, slopes, m, v, strict=True):
                mean += 0.1 * (slope - mean)
                square += 0.001 * (np.square(slope) - square)
                part -= rate * mean / (np.sqrt(square) + 1e-8)

    return step
