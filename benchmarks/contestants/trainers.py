"""Training classifiers of sequences: fastrnn's `fit`, Keras, PyTorch, an estimator.

`Texts`: token ids of unequal lengths, embedding, bidirectional LSTM, two classes; an
epoch of ``fit``. `Vectors`: sequences of vectors, an LSTM, `SequenceClassifier.fit`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..workloads import Array
from . import fastrnn_kernels, pytorch
from .base import Results, Run, SkippedError


@dataclass(frozen=True)
class Texts:
    """``batches`` of ``N`` texts of up to ``T`` tokens, padded with 0 behind."""

    V: int = 10_000
    E: int = 128
    H: int = 64
    N: int = 32
    T: int = 200
    batches: int = 4
    lr: float = 1e-3

    @property
    def name(self) -> str:
        return f"fit, embedding {self.V} → {self.E}, 2 × LSTM {self.H}, T={self.T}"

    @property
    def sequences(self) -> int:
        return self.batches * self.N


@dataclass(frozen=True)
class Vectors:
    """``K`` sequences of ``[T/4 .. T, I]`` in ``classes``."""

    K: int = 320
    I: int = 12  # noqa: E741 - the project's symbol for inputs
    H: int = 64
    N: int = 32
    T: int = 80
    classes: int = 5
    epochs: int = 2
    lr: float = 1e-3

    @property
    def name(self) -> str:
        return f"SequenceClassifier, LSTM {self.H}, I={self.I}, T={self.T}"

    @property
    def sequences(self) -> int:
        return self.epochs * self.K


# --- texts ---------------------------------------------------------------------------


def make_texts(task: Texts) -> tuple[NDArray[np.int64], Any, NDArray[np.int64]]:
    """Tokens ``[K, T]`` with 0 behind the end, lengths and classes ``[K]``.

    Frequencies are as in text; the classes differ in which words are frequent.
    """
    rng = np.random.default_rng(5)
    K = task.sequences
    frequencies = 1 / np.arange(1, task.V)
    shape = (K, task.T)
    tokens = 1 + rng.choice(task.V - 1, shape, p=frequencies / frequencies.sum())
    labels = rng.integers(0, 2, K)
    swapped = labels[:, None] & (rng.random(shape) < 0.3) == 1
    tokens[swapped] = task.V - tokens[swapped]
    lengths = rng.integers(task.T // 2, task.T + 1, K)
    lengths[:: task.N] = task.T  # every batch is as long as the longest
    tokens[np.arange(task.T) >= lengths[:, None]] = 0
    return tokens, lengths, labels


def make_text_weights(task: Texts) -> list[Array]:
    """Keras's arrays, in its order: embedding, forward, backward, dense."""
    rng = np.random.default_rng(6)

    def draw(*shape: int) -> Array:
        bound = shape[0] ** -0.5
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    E, H = task.E, task.H
    one = [draw(E, 4 * H), draw(H, 4 * H), np.zeros(4 * H, np.float32)]
    other = [draw(E, 4 * H), draw(H, 4 * H), np.zeros(4 * H, np.float32)]
    table = 0.05 * rng.standard_normal((task.V, E), np.float32)
    return [table, *one, *other, draw(2 * H, 2), np.zeros(2, np.float32)]


def prepare_fastrnn(task: Texts, threads: int) -> Run:
    fastrnn_kernels.version()
    import fastrnn

    tokens, lengths, labels = make_texts(task)
    texts = [row[:length] for row, length in zip(tokens, lengths, strict=True)]
    table, *cells, w, b = make_text_weights(task)
    rnn = fastrnn.LSTM(task.E, task.H, bidirectional=True)
    embedding, head = fastrnn.Embedding(task.V, task.E), fastrnn.Linear(2 * task.H, 2)
    model = fastrnn.Sequential(embedding, rnn, fastrnn.Last(bidirectional=True), head)
    embedding.params["weight"][...] = table
    for suffix, arrays in (("", cells[:3]), ("_reverse", cells[3:])):
        for name, a in zip(("weight_ih", "weight_hh"), arrays, strict=False):
            rnn.params[f"{name}_l0{suffix}"][...] = a.T
        for name in ("bias_ih", "bias_hh"):
            rnn.params[f"{name}_l0{suffix}"][...] = 0
    head.params["weight"][...], head.params["bias"][...] = w.T, b
    adam = fastrnn.Adam(model, lr=task.lr, eps=1e-7)
    # The batches of the others: sorted by length they would be faster still.
    batches = fastrnn.data.batches(
        texts, labels, rows=task.N, bucket=False, shuffle=False
    )

    def epoch() -> Any:
        return fastrnn.fit(model, batches, optimizer=adam, clip=None)["loss"]

    return Run(epoch, to_losses, lambda: fastrnn.set_num_threads(threads))


def to_losses(raw: Any) -> Results:
    return {"losses": np.asarray(raw, np.float64)}


def prepare_keras_torch(task: Texts, threads: int) -> Run:
    pytorch.version()
    import torch

    def use_threads() -> None:
        torch.set_num_threads(threads)

    use_threads()
    return prepare_keras(task, "torch", use_threads)


def prepare_keras_jax(task: Texts, threads: int) -> Run:
    del threads  # JAX has those that the environment gave it
    try:
        import jax  # noqa: F401
    except ImportError as error:
        raise SkippedError(f"jax: {error}") from error
    return prepare_keras(task, "jax", lambda: None)


def prepare_keras(task: Texts, backend: str, use_threads: Any) -> Run:
    os.environ["KERAS_BACKEND"] = backend
    try:
        import keras
    except ImportError as error:
        raise SkippedError(f"keras: {error}") from error
    tokens, _, labels = make_texts(task)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Embedding(task.V, task.E, mask_zero=True),
            layers.Bidirectional(layers.LSTM(task.H)),
            layers.Dense(2),
        ]
    )
    model.build((None, task.T))
    model.set_weights(make_text_weights(task))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(task.lr), loss)

    def epoch() -> Any:
        options = {"batch_size": task.N, "shuffle": False, "verbose": 0}
        return model.fit(tokens, labels, **options).history["loss"]

    return Run(epoch, to_losses, use_threads)


# --- vectors -------------------------------------------------------------------------


def make_vectors(task: Vectors) -> tuple[list[Array], NDArray[np.int64]]:
    """Noise around a slow wave, whose frequency is that of the class."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, task.classes, task.K)
    sequences = []
    for label in labels:
        t = np.arange(rng.integers(task.T // 4, task.T + 1))[:, np.newaxis]
        phases = rng.uniform(0, 2 * np.pi, task.I)
        wave = np.sin((0.2 + 0.2 * label) * t + phases)
        noise = rng.standard_normal((len(t), task.I))
        sequences.append((wave + 0.5 * noise).astype(np.float32))
    return sequences, labels


def prepare_estimator(task: Vectors, threads: int) -> Run:
    fastrnn_kernels.version()
    import fastrnn

    try:
        from fastrnn.sklearn import SequenceClassifier
    except ImportError as error:
        raise SkippedError(f"scikit-learn: {error}") from error
    sequences, labels = make_vectors(task)
    classifier = SequenceClassifier(
        hidden_size=task.H,
        batch_size=task.N,
        max_epochs=task.epochs,
        learning_rate=task.lr,
        random_state=0,
    )
    return Run(
        lambda: classifier.fit(sequences, labels).loss_curve_,
        to_losses,
        lambda: fastrnn.set_num_threads(threads),
    )


def prepare_packed(task: Vectors, threads: int) -> Run:
    """The same in PyTorch, from lists to a trained module; Adam is the fused one."""
    pytorch.version()
    import torch
    from torch.nn.utils import rnn

    sequences, labels = make_vectors(task)
    targets = torch.tensor(labels)

    def fit() -> list[float]:
        torch.manual_seed(0)
        every = np.concatenate(sequences)
        mean, scale = every.mean(0), every.std(0)
        scaled = [torch.from_numpy((a - mean) / scale) for a in sequences]
        lstm = torch.nn.LSTM(task.I, task.H)
        bound = (3 / task.I) ** 0.5  # as the estimator draws them
        torch.nn.init.uniform_(lstm.weight_ih_l0, -bound, bound)
        head = torch.nn.Linear(task.H, task.classes)
        parameters = [*lstm.parameters(), *head.parameters()]
        adam = torch.optim.Adam(parameters, lr=task.lr, fused=True)
        history = []
        for _ in range(task.epochs):
            losses = []
            for batch in torch.randperm(task.K).split(task.N):
                packed = rnn.pack_sequence(
                    [scaled[k] for k in batch], enforce_sorted=False
                )
                _, (h, _) = lstm(packed)
                loss = torch.nn.functional.cross_entropy(head(h[0]), targets[batch])
                adam.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                adam.step()
                losses.append(loss.item())
            history.append(sum(losses) / len(losses))
        return history

    return Run(fit, to_losses, lambda: torch.set_num_threads(threads))
