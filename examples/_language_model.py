"""A recurrent language model and its training; tokens are characters or words.

The text is cut into `batch` rows that are read side by side, `seq` tokens per step. The
recurrent state is carried from one step to the next, the gradient is not: truncated
backpropagation through time. x [T, N] are tokens, targets [T, N] the tokens after them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from _program import descend

import fastrnn
from fastrnn.data import stream_batches

VALIDATION_SHARE = 0.1  # of a text, at its end


class Model:
    """Tokens in, the next token's logits out: recurrent layers and a linear head.

    Settings: cell, hidden, layers, dropout, seed. With `embedding`, tokens first become
    vectors of that size (otherwise they are one-hot), and dropout also acts on these
    vectors and before the head. With `tied`, they are the weights of the head as well.
    """

    def __init__(self, settings: Mapping[str, Any], vocabulary_size: int) -> None:
        V, H, seed = vocabulary_size, settings["hidden"], settings["seed"]
        width, p = settings.get("embedding", 0), settings["dropout"]
        self.tied = settings.get("tied", False)
        kind = getattr(fastrnn, settings["cell"].upper())
        rnn = kind(width or V, H, settings["layers"], dropout=p, seed=seed)
        self.rng = rnn.rng  # dropout draws from it
        before, after = {}, {}
        if width:
            rng = np.random.default_rng([seed, 2])
            before["embedding"] = fastrnn.Embedding(V, width, seed=rng)
            before["embedding"].params["weight"] *= 0.1
            before["drop"] = fastrnn.Dropout(p, seed=self.rng)
            after["drop2"] = fastrnn.Dropout(p, seed=self.rng)
        if not self.tied:
            rng = np.random.default_rng([seed, 1])
            after["head"] = fastrnn.Linear(H, V, seed=rng)
            after["head"].params["bias"][...] = 0
        self.layers = fastrnn.Sequential(**before, rnn=rnn, **after)

    def gradients(self, x: np.ndarray, targets: np.ndarray, state: Any) -> Any:
        """Return the mean loss in nats and the state after x; set the layers' grads."""
        self.layers.train()
        self.layers.zero_grad()
        loss, state, dy = self.loss(x, targets, state)
        self.layers.backward(dy)
        return loss, state

    def loss(
        self, x: np.ndarray, targets: np.ndarray, state: Any, reduction: str = "mean"
    ) -> Any:
        """Return the loss in nats, the state after x, the argument of `backward`."""
        if not self.tied:
            loss, state = self.layers.cross_entropy(
                x, targets, state, reduction=reduction
            )
            return loss, state, None
        y, state = self.layers(x, state)
        training = self.layers.training
        loss, head = fastrnn.linear_cross_entropy(
            y, self.vectors, None, targets, reduction=reduction, training=training
        )
        if training:
            self.layers.grads["embedding.weight"] += head.dw
        return loss, state, head.dy if training else None

    @property
    def vectors(self) -> np.ndarray:
        """The embedding [V, width]."""
        return self.layers.params["embedding.weight"]

    def total_loss(self, tokens: np.ndarray, rows: int) -> float:
        """Return the summed loss in nats, without a tape for `backward`."""
        self.layers.eval()
        total, state = 0.0, None
        for x, targets in stream_batches(tokens, rows, steps=256):
            loss, state, _ = self.loss(x, targets, state, "sum")
            total += loss
        return total

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copy the parameters from a `Training.snapshot`."""
        mine = self.layers.params
        self.layers.load_state_dict({k: arrays[k] for k in mine if k in arrays})

    def __call__(self, x: np.ndarray, state: Any = None) -> Any:
        """Return the logits for the token after x, [1, N, V], and the state."""
        self.layers.eval()
        y, state = self.layers(x, state)
        return fastrnn.linear_forward(y, self.vectors) if self.tied else y, state


class Training:
    """A model on its way through a text, with everything needed to go on later."""

    def __init__(
        self, settings: Mapping[str, Any], ids: np.ndarray, vocabulary_size: int
    ) -> None:
        self.settings = settings
        self.ids = ids
        self.split = int(len(ids) * (1 - VALIDATION_SHARE))
        self.batches = stream_batches(
            ids[: self.split], settings["batch"], settings["seq"], drop_last=True
        )
        self.model = Model(settings, vocabulary_size)
        self.adam = fastrnn.Adam(self.model.layers.flat_params)
        self.state: Any = None  # of the recurrent layers, after the last step
        self.losses: list[float] = []  # of every step, in bits
        self.validation: dict[int, float] = {}  # step: what `validate` returned there

    @property
    def step(self) -> int:
        """The number of steps taken; every position follows from it."""
        return len(self.losses)

    def advance(self) -> None:
        """Take one step: read on, go back through time, change the parameters."""
        settings, place = self.settings, self.step % len(self.batches)
        if place == 0:  # the text begins again
            self.state = None
        x, targets = self.batches[place]
        loss, self.state = self.model.gradients(x, targets, self.state)
        self.adam.lr = settings["lr"] / (1 + self.step / settings["decay"])
        descend(self.adam, self.model.layers.flat_grads, settings["clip"])
        self.losses.append(float(loss) / math.log(2))

    def validate(self) -> float:
        """Return the loss on the validation text in bits per token."""
        tokens = self.ids[self.split :]
        nats = float(self.model.total_loss(tokens, self.settings["batch"]))
        return nats / (len(tokens) - 1) / math.log(2)

    def snapshot(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return everything that changes, as arrays and as facts for JSON."""
        (state,) = self.state or (None,)
        state = state if isinstance(state, tuple) else (state,)
        adam = self.adam.state_dict()
        arrays = self.model.layers.state_dict()
        arrays |= {f"adam.{name}": np.asarray(a) for name, a in adam.items()}
        arrays |= {f"state.{i}": s for i, s in enumerate(state) if s is not None}
        arrays["losses"] = np.array(self.losses)
        arrays["judged"] = np.array(list(self.validation.items())).reshape(-1, 2)
        return arrays, {"dropout_rng": self.model.rng.bit_generator.state}

    def restore(
        self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]
    ) -> None:
        """Return to the point where `snapshot` was called."""
        self.model.load(arrays)
        self.model.rng.bit_generator.state = facts["dropout_rng"]
        self.adam.load_state_dict(below("adam.", arrays))
        state = tuple(below("state.", arrays).values())
        self.state = ((state if len(state) > 1 else state[0]),) if state else None
        self.losses = arrays["losses"].tolist()
        self.validation = {int(step): float(bits) for step, bits in arrays["judged"]}


def below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with the prefix, named without it."""
    return {
        name.removeprefix(prefix): arrays[name]
        for name in sorted(arrays)
        if name.startswith(prefix)
    }
