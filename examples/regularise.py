"""Keep a net from memorising a small text: kinds of dropout, early stopping.

    python examples/regularise.py
    python examples/regularise.py --characters 100000 --hidden 256 --lr 5e-3

A two-layer LSTM reads a few pages of Python's own reference again and again. After some
epochs it gets better on these pages and worse on pages it has never seen. Remedies:

- dropout: outputs between the layers and before the head are zeroed at random;
- recurrent dropout: the state that a unit passes to the next step is zeroed, for the
  same units at every step of a piece;
- zoneout: at random, a unit keeps its state for a step;
- weight dropout: recurrent weights are zeroed, the same at every step of a piece;
- early stopping: the weights after the epoch that was best on held-out pages.

Each is measured on further pages, which early stopping does not see.

Sources: W. Zaremba, I. Sutskever, O. Vinyals, "Recurrent neural network
regularization", 2014; Y. Gal, Z. Ghahramani, "A theoretically grounded application of
dropout in recurrent neural networks", 2016; D. Krueger et al., "Zoneout", 2017;
S. Merity, N. Keskar, R. Socher, "Regularizing and optimizing LSTM language models",
2018 (weight dropout).
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import _readers as read
import numpy as np
from _errors import UserError, run
from _program import begin, descend, new_figure, progress, save_figure
from _settings import Setting

import fastrnn
from fastrnn.data import stream_batches
from fastrnn.text import Vocabulary

SETTINGS = [
    Setting("text", "", "UTF-8 file; '' is Python's own reference"),
    Setting("characters", 15000, "to learn from", read.number(int, 2000, 10**7)),
    Setting("hidden", 128, "hidden units in each of two layers", read.units),
    Setting("batch", 16, "rows of text read side by side", read.rows),
    Setting("seq", 32, "characters per row and step", read.rows),
    Setting("epochs", 22, "passes through the text", read.number(int, 2, 10**6)),
    Setting("lr", 1e-2, "Adam's learning rate", read.rate),
]
QUICK = {"characters": 8000, "hidden": 64, "epochs": 30}
KINDS: dict[str, dict[str, float]] = {  # with the papers' probabilities
    "nothing": {},
    "dropout": {"dropout": 0.3},
    "recurrent dropout": {"recurrent_dropout": 0.3},
    "zoneout": {"zoneout": 0.1},
    "weight dropout": {"weight_dropout": 0.3},
    "all but zoneout": {
        "dropout": 0.1,
        "recurrent_dropout": 0.3,
        "weight_dropout": 0.1,
    },
}


class Curves(NamedTuple):
    """Bits per character after every epoch."""

    training: list[float]  # on the text to learn from, during training
    stopping: list[float]  # on the text for early stopping
    test: list[float]  # on the text for nothing else

    @property
    def best(self) -> int:
        """The epoch at which early stopping stops."""
        return int(np.argmin(self.stopping))


def train(
    how: dict[str, float], texts: list[Any], V: int, options: Any, bar: Any
) -> Curves:
    """Train a new model."""
    rng = np.random.default_rng(options.seed)
    H = options.hidden
    model = fastrnn.Sequential(
        rnn=fastrnn.LSTM(V, H, 2, init="keras", seed=rng, **how),
        drop=fastrnn.Dropout(how.get("dropout", 0.0), seed=rng),
        head=fastrnn.Linear(H, V, seed=rng),
    )
    adam = fastrnn.Adam(model.flat_params, lr=options.lr)
    curves = Curves([], [], [])
    for _ in range(options.epochs):
        model.train()
        state, losses = None, []
        for x, targets in stream_batches(texts[0], options.batch, options.seq):
            loss, state = model.cross_entropy(x, targets, state)
            model.zero_grad()
            model.backward()
            descend(adam, model.flat_grads)
            losses.append(loss)
        curves.training.append(float(np.mean(losses)) / math.log(2))
        for text, bits in zip(texts[1:], (curves.stopping, curves.test), strict=True):
            bits.append(evaluate(model, text, options))
        bar.update()
    return curves


def evaluate(model: fastrnn.Sequential, text: np.ndarray, options: Any) -> float:
    """Return bits per character on a text."""
    model.eval()
    state, total, count = None, 0.0, 0
    for x, targets in stream_batches(text, options.batch, 256):
        loss, state = model.cross_entropy(x, targets, state, reduction="sum")
        total += float(loss)
        count += np.count_nonzero(targets >= 0)
    return total / count / math.log(2)


def main() -> int:
    """Train with each kind of regularisation, compare."""
    options = begin(__doc__, SETTINGS, QUICK)
    text, n = options.text, options.characters
    if len(text) < 2 * n:
        raise UserError(
            f"--text: expected at least {2 * n} characters for --characters {n}, "
            f"got {len(text)}"
        )
    vocabulary = Vocabulary(text[: 2 * n])
    ids = vocabulary.encode(text[: 2 * n])
    texts = [ids[:n], ids[n : n * 3 // 2], ids[n * 3 // 2 :]]
    curves = {}
    with progress(len(KINDS) * options.epochs, unit="epoch") as bar:
        for name, how in KINDS.items():
            bar.set_postfix_str(name)
            curves[name] = a = train(how, texts, len(vocabulary), options, bar)
            bar.write(
                f"result: {name:20s} bits per character: training "
                f"{a.training[-1]:.3f}, new text {a.test[-1]:.3f}, stopped after "
                f"epoch {a.best + 1:2d} {a.test[a.best]:.3f}"
            )
    save_figure(options, draw(curves))
    return 0


def draw(curves: dict[str, Curves]) -> Any:
    """Draw the loss on new text against epochs, and the final losses of each kind."""
    figure, (left, right) = new_figure(1, 2, figsize=(14, 5))
    plain = curves["nothing"]
    epochs = np.arange(len(plain.test)) + 1
    left.plot(epochs, plain.training, "k:", label="nothing, on the training text")
    for name, a in curves.items():
        (line,) = left.plot(epochs, a.test, label=name)
        left.plot(a.best + 1, a.test[a.best], "o", color=line.get_color())
    left.set(
        xlabel="epoch",
        ylabel="bits per character",
        title="New text; early stopping stops at the dot",
    )
    left.legend()
    places = np.arange(len(curves))
    last = [a.test[-1] for a in curves.values()]
    best = [a.test[a.best] for a in curves.values()]
    right.hlines(places, best, last, color="silver", linewidth=3)
    right.plot(last, places, "s", color="grey", label="after the last epoch")
    right.plot(best, places, "o", color="black", label="with early stopping")
    for place, a, b in zip(places, last, best, strict=True):
        right.text(a, place + 0.12, f"{a:.2f}", va="top", ha="center", color="grey")
        right.text(b, place - 0.12, f"{b:.2f}", va="bottom", ha="center")
    right.set_yticks(places, list(curves))
    right.set(
        xlabel="bits per character on new text",
        title="Each kind of regularisation",
        ylim=(len(curves) - 0.5, -0.7),
    )
    right.margins(x=0.15)
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
