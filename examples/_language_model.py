"""A recurrent language model and its training; tokens are characters or words.

The text is cut into `batch` rows that are read side by side, `seq` tokens a step. The
recurrent state is carried from one step to the next, the gradient is not: truncated
backpropagation through time. x [T, N] are tokens, targets [T, N] the tokens after them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from _common import UserError, choose

import fastrnn

VALIDATION_SHARE = 0.1  # of a text: its end
IGNORED = -100  # a target that the loss leaves out


class Model:
    """Tokens in, the next token's logits out: recurrent layers and a linear head."""

    def __init__(self, settings: Mapping[str, Any], vocabulary_size: int) -> None:
        V, H, seed = vocabulary_size, settings["hidden"], settings["seed"]
        layers = getattr(fastrnn, settings["cell"].upper())
        dropout = settings["dropout"]
        self.rnn = layers(V, H, settings["layers"], dropout=dropout, seed=seed)
        bound = 1 / math.sqrt(H)
        rng = np.random.default_rng([seed, 1])
        self.w = rng.uniform(-bound, bound, (V, H)).astype(np.float32)
        self.b = np.zeros(V, np.float32)
        self.parameters = [self.rnn.flat_params, self.w, self.b]

    def gradients(self, x: np.ndarray, targets: np.ndarray, state: Any) -> Any:
        """Return the mean loss in nats, all gradients, and the state after x."""
        self.rnn.train()
        y, state = self.rnn(x, state)
        loss, head = fastrnn.linear_cross_entropy(y, self.w, self.b, targets)
        self.rnn.zero_grad()
        self.rnn.backward(head.dy)
        return loss, [self.rnn.flat_grads, head.dw, head.db], state

    def total_loss(self, x: np.ndarray, targets: np.ndarray) -> float:
        """Return the summed loss in nats; nothing is kept for a backward pass."""
        self.rnn.eval()
        total, state = 0.0, None
        for t in range(0, len(x), 256):  # in pieces, for the memory's sake
            y, state = self.rnn(x[t : t + 256], state)
            loss, _ = fastrnn.linear_cross_entropy(
                y,
                self.w,
                self.b,
                targets[t : t + 256],
                reduction="sum",
                training=False,
            )
            total += loss
        return total

    def sample(
        self, prompt: np.ndarray, length: int, rng: np.random.Generator, **how: Any
    ) -> Iterator[int]:
        """Yield `length` tokens, each drawn as `choose` does, then read in its turn."""
        self.rnn.eval()
        x, state = prompt[:, None], None
        for _ in range(length):
            y, state = self.rnn(x, state)
            logits = fastrnn.linear_forward(y[-1], self.w, self.b)[0]
            x = np.array([[choose(logits, rng, **how)]], np.int32)
            yield int(x[0, 0])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the parameters by name."""
        recurrent = {f"rnn.{k}": v for k, v in self.rnn.state_dict().items()}
        return {**recurrent, "head.w": self.w, "head.b": self.b}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over the parameters that `arrays` returned."""
        self.rnn.load_state_dict(below("rnn.", arrays))
        for mine, name in ((self.w, "head.w"), (self.b, "head.b")):
            if mine.shape != arrays[name].shape:
                raise ValueError(f"{name}: {mine.shape} is not {arrays[name].shape}")
            mine[...] = arrays[name]


class Training:
    """A model on its way through a text: all that it takes to go on later."""

    def __init__(
        self, settings: Mapping[str, Any], ids: np.ndarray, vocabulary_size: int
    ) -> None:
        self.settings = settings
        self.ids = ids
        self.split = int(len(ids) * (1 - VALIDATION_SHARE))
        self.x, self.targets = in_rows(ids[: self.split], settings["batch"])
        self.rounds = len(self.x) // settings["seq"]  # steps from end to end
        self.model = Model(settings, vocabulary_size)
        self.adam = fastrnn.Adam(self.model.parameters)
        self.state: Any = None  # of the recurrent layers, after the last step
        self.losses: list[float] = []  # of every step, in bits
        self.judged: dict[int, float] = {}  # by step: what `validate` found then

    @property
    def step(self) -> int:
        """The number of steps taken; every position follows from it."""
        return len(self.losses)

    def advance(self) -> None:
        """Take one step: read on, go back in time, change the parameters."""
        settings, T = self.settings, self.settings["seq"]
        start = self.step % self.rounds * T
        if start == 0:
            self.state = None
        now = slice(start, start + T)
        loss, gradients, self.state = self.model.gradients(
            self.x[now], self.targets[now], self.state
        )
        try:
            fastrnn.clip_grad_norm(gradients, settings["clip"])
        except ValueError as error:
            raise UserError(f"step {self.step}: {error}; try a smaller --lr") from None
        self.adam.lr = settings["lr"] / (1 + self.step / settings["decay"])
        self.adam.step(gradients)
        self.losses.append(float(loss) / math.log(2))

    def validate(self) -> float:
        """Return the loss on the validation text in bits per token."""
        x, targets = in_rows(self.ids[self.split :], self.settings["batch"])
        nats = self.model.total_loss(x, targets) / np.count_nonzero(targets != IGNORED)
        return nats / math.log(2)

    def snapshot(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return all that changes, as arrays and as facts for JSON."""
        state = self.state if isinstance(self.state, tuple) else (self.state,)
        adam = self.adam.state_dict()
        arrays = self.model.arrays()
        arrays |= {f"adam.{name}": np.asarray(a) for name, a in adam.items()}
        arrays |= {f"state.{i}": s for i, s in enumerate(state) if s is not None}
        arrays["losses"] = np.array(self.losses)
        arrays["judged"] = np.array(list(self.judged.items())).reshape(-1, 2)
        return arrays, {"dropout_rng": self.model.rnn.rng.bit_generator.state}

    def restore(
        self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]
    ) -> None:
        """Go back to where `snapshot` was called."""
        self.model.load(arrays)
        self.model.rnn.rng.bit_generator.state = facts["dropout_rng"]
        self.adam.load_state_dict(below("adam.", arrays))
        state = tuple(below("state.", arrays).values())
        self.state = state if len(state) > 1 else next(iter(state), None)
        self.losses = arrays["losses"].tolist()
        self.judged = {int(step): float(bits) for step, bits in arrays["judged"]}


def in_rows(ids: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens and targets [S, rows]: the text in equal rows, one a column.

    Each row goes on where the one before it ends. What the last one lacks is padding,
    which the loss ignores.
    """
    S = -(-(len(ids) - 1) // rows)
    x, targets = np.zeros(rows * S, np.int32), np.full(rows * S, IGNORED, np.int32)
    x[: len(ids) - 1], targets[: len(ids) - 1] = ids[:-1], ids[1:]
    return x.reshape(rows, S).T.copy(), targets.reshape(rows, S).T.copy()


def below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with the prefix, named without it."""
    return {
        name.removeprefix(prefix): arrays[name]
        for name in sorted(arrays)
        if name.startswith(prefix)
    }
