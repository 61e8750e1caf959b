"""The training step of a language model in fastrnn, as a user writes it.

One-hot characters go through the layer ``fastrnn.LSTM``; a model with an embedding
calls the functions, whose ``embedding=`` looks rows up and returns their gradient.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np

from ..language_models import BATCHES, LanguageModel, make_batches, make_weights
from ..workloads import Array
from .base import Results, Run
from .fastrnn_kernels import version


class OneHotLSTM:
    """Tokens to hidden states through the layer; gradients are one flat array."""

    def __init__(self, model: LanguageModel, weights: dict[str, Array]) -> None:
        import fastrnn

        self.layer = fastrnn.LSTM(model.V, model.H, model.L)
        self.layer.load_state_dict(weights)
        self.parameters: list[Array] = [self.layer.flat_params]
        self.state: Any = None

    def forward(self, tokens: Any) -> Array:
        y: Array
        y, self.state = self.layer(tokens, self.state)
        return y

    def backward(self, dy: Array) -> list[Array]:
        self.layer.zero_grad()
        self.layer.backward(dy)
        return [self.layer.flat_grads]


class EmbeddingLSTM:
    """Embedded tokens to hidden states through the functions, one call per layer."""

    def __init__(self, model: LanguageModel, weights: dict[str, Array]) -> None:
        self.embedding = weights["embedding"]
        names = ("weight_ih_l{}", "weight_hh_l{}", "bias_ih_l{}", "bias_hh_l{}")
        self.layers = [[weights[n.format(k)] for n in names] for k in range(model.L)]
        arrays = [self.embedding, *(w for layer in self.layers for w in layer)]
        self.parameters = [array.reshape(-1) for array in arrays]
        self.states: list[Any] = [(None, None)] * model.L
        self.tapes: list[Any] = []

    def forward(self, tokens: Any) -> Array:
        import fastrnn

        self.tapes, x, lookup = [], tokens, {"embedding": self.embedding}
        for k, (layer, (h0, c0)) in enumerate(
            zip(self.layers, self.states, strict=True)
        ):
            x, state, tape = fastrnn.lstm_forward(x, *layer, h0=h0, c0=c0, **lookup)
            self.tapes.append(tape)
            self.states[k], lookup = state, {}
        y: Array = x
        return y

    def backward(self, dy: Array) -> list[Array]:
        import fastrnn

        found: list[Array] = []
        for tape in reversed(self.tapes):
            grads = fastrnn.lstm_backward(tape, dy)
            found = [grads.dw_ih, grads.dw_hh, grads.db_ih, grads.db_hh, *found]
            dy = grads.dx
        return [array.reshape(-1) for array in (grads.dembedding, *found)]


def prepare(model: LanguageModel, threads: int) -> Run:
    version()
    import fastrnn

    fastrnn.set_num_threads(threads)
    weights = make_weights(model)
    w, b = weights.pop("head.weight"), weights.pop("head.bias")
    lstm = (EmbeddingLSTM if model.E else OneHotLSTM)(model, weights)
    adam = fastrnn.Adam([*lstm.parameters, w.reshape(-1), b], lr=model.lr)
    batches = make_batches(model)
    steps = count()

    def step() -> float:
        tokens = batches[next(steps) % BATCHES]
        y = lstm.forward(tokens[:-1])
        loss, head = fastrnn.linear_cross_entropy(y, w, b, tokens[1:])
        grads = [*lstm.backward(head.dy), head.dw.reshape(-1), head.db]
        fastrnn.clip_grad_norm(grads, model.clip)
        adam.step(grads)
        return float(loss)

    def first_losses(first: float) -> Results:
        return {"losses": np.array([first, *(step() for _ in range(BATCHES - 1))])}

    return Run(step, first_losses, lambda: fastrnn.set_num_threads(threads))
