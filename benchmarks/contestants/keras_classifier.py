"""The training step of a text classifier in Keras, on one of its backends.

`prepare_fastrnn` is the torch backend after ``fastrnn.keras.accelerate()``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from .base import Results, Run, SkippedError

STEPS = 4  # whose losses are compared


@dataclass(frozen=True)
class Classifier:
    """Sizes: words, embedding, units of each direction, rows, steps."""

    cell: str
    V: int = 10_000
    E: int = 128
    H: int = 64
    N: int = 32
    T: int = 200

    @property
    def name(self) -> str:
        return f"{self.cell}-E={self.E}-H={self.H}-N={self.N}-T={self.T}"


def make_batch(task: Classifier) -> tuple[Any, Any]:
    """Return tokens, padded with 0 on the left, and a class for each row."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, task.V, (task.N, task.T))
    lengths = rng.integers(task.T // 4, task.T + 1, task.N)
    tokens[np.arange(task.T) < task.T - lengths[:, None]] = 0
    return tokens.astype(np.int32), rng.integers(0, 2, task.N).astype(np.int32)


def make_model(keras: Any, task: Classifier) -> Any:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((task.T,), batch_size=task.N, dtype="int32"),
            layers.Embedding(task.V, task.E, mask_zero=True),
            layers.Bidirectional(getattr(layers, task.cell)(task.H)),
            layers.Dense(2),
        ]
    )
    rng = np.random.default_rng(1)
    model.set_weights(
        [0.1 * rng.standard_normal(a.shape).astype("f") for a in model.get_weights()]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # "auto" would compile with XLA on TensorFlow; on torch it compiles nothing.
    model.compile("adam", loss)
    return model


def prepare(backend: str, task: Classifier, threads: int) -> Run:
    for library in ("keras", backend):
        if find_spec(library) is None:
            raise SkippedError(f"{library} is not installed")
    os.environ["KERAS_BACKEND"] = backend
    import keras

    use_threads = limit_threads(backend, threads)
    model = make_model(keras, task)
    x, y = make_batch(task)

    def step() -> float:
        return float(model.train_on_batch(x, y))

    def first_losses(first: float) -> Results:
        return {"losses": np.array([first, *(step() for _ in range(STEPS - 1))])}

    return Run(step, first_losses, use_threads)


def limit_threads(backend: str, threads: int) -> Any:
    if backend == "torch":
        import torch

        return lambda: torch.set_num_threads(threads)
    if backend == "tensorflow":
        import tensorflow as tf

        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
    return lambda: None  # JAX: the worker's environment says it


def prepare_fastrnn(task: Classifier, threads: int) -> Run:
    run = prepare("torch", task, threads)
    import fastrnn.keras

    fastrnn.keras.accelerate()
    return run


def prepare_torch(task: Classifier, threads: int) -> Run:
    return prepare("torch", task, threads)


def prepare_jax(task: Classifier, threads: int) -> Run:
    return prepare("jax", task, threads)


def prepare_tensorflow(task: Classifier, threads: int) -> Run:
    return prepare("tensorflow", task, threads)
