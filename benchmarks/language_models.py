"""The language models whose training step is timed; their batches and weights.

Symbols: ``V`` vocabulary, ``H`` hidden units, ``N`` rows, ``T`` steps, ``L`` layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .workloads import Array

BATCHES = 20  # different ones; after them, the first again


@dataclass(frozen=True)
class LanguageModel:
    """An LSTM over tokens, a linear head, cross-entropy, clipping, Adam."""

    name: str
    V: int
    E: int  # width of the embedding; 0: the tokens enter one-hot
    H: int
    L: int
    N: int
    T: int
    lr: float
    clip: float

    @property
    def tokens_a_step(self) -> int:
        return self.N * self.T


# The defaults of examples/char_lm.py; its default text has 103 distinct characters.
CHARACTERS = LanguageModel("characters", 103, 0, 256, 1, 32, 64, lr=2e-3, clip=1.0)
WORDS = LanguageModel("words", 10_000, 256, 256, 2, 20, 35, lr=1e-3, clip=0.25)

LANGUAGE_MODELS = {model.name: model for model in (CHARACTERS, WORDS)}


def make_batches(model: LanguageModel) -> NDArray[np.int64]:
    """Tokens ``[BATCHES, T + 1, N]``, frequencies as in text; targets a step later."""
    rng = np.random.default_rng(1)
    shape = (BATCHES, model.T + 1, model.N)
    frequencies = 1 / np.arange(1, model.V + 1)
    return rng.choice(model.V, shape, p=frequencies / frequencies.sum())


def make_weights(model: LanguageModel) -> dict[str, Array]:
    """Initial weights, float32, by PyTorch's names; the same bits on every call."""
    rng = np.random.default_rng(2)
    m, bound = model, model.H**-0.5

    def uniform(*shape: int) -> Array:
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    weights: dict[str, Array] = {}
    if m.E:
        weights["embedding"] = 0.1 * rng.standard_normal((m.V, m.E), dtype=np.float32)
    for layer in range(m.L):
        inputs = (m.E or m.V) if layer == 0 else m.H
        weights[f"weight_ih_l{layer}"] = uniform(4 * m.H, inputs)
        weights[f"weight_hh_l{layer}"] = uniform(4 * m.H, m.H)
        weights[f"bias_ih_l{layer}"] = uniform(4 * m.H)
        weights[f"bias_hh_l{layer}"] = uniform(4 * m.H)
    return weights | {"head.weight": uniform(m.V, m.H), "head.bias": uniform(m.V)}
