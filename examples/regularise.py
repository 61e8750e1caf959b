"""Keep a net from learning a small text by heart: dropout and its kin, early stopping.

    python examples/regularise.py
    python examples/regularise.py --characters 100000 --hidden 256 --lr 5e-3

A two-layer LSTM reads a few pages of Python's own reference again and again. After some
rounds it gets better on these pages and worse on the ones it never saw. Against that:

- dropout: outputs between the layers and before the head are zeroed at random;
- recurrent dropout: what a unit says to the next step is zeroed, the same units at
  every step of a piece;
- zoneout: now and then a unit just keeps its state;
- weight dropout: recurrent weights are zeroed, the same at every step of a piece;
- early stopping: the weights of the round that was best on pages kept back.

Each is measured on further pages that played no part in stopping.

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

import numpy as np
from _common import UserError, read_text, run
from _program import begin, new_figure, progress, save_figure
from _settings import Setting, number

import fastrnn
from fastrnn.data import stream_batches
from fastrnn.text import Vocabulary

SETTINGS = [
    Setting("text", "", "UTF-8 file; '' is Python's own reference"),
    Setting("characters", 15000, "to learn from", number(int, 2000)),
    Setting("hidden", 128, "hidden units in each of two layers", number(int, 1)),
    Setting("batch", 16, "rows of text read side by side", number(int, 1)),
    Setting("seq", 32, "characters of a row a step", number(int, 1)),
    Setting("epochs", 22, "rounds through the text", number(int, 2)),
    Setting("lr", 1e-2, "Adam's learning rate", number(float, 1e-9)),
]
QUICK = {"characters": 8000, "hidden": 64, "epochs": 30}
KINDS: dict[str, dict[str, float]] = {  # shares as the papers have them
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


class Found(NamedTuple):
    """Bits per character, round by round."""

    learned: list[float]  # on the text learned from, while learning
    stopping: list[float]  # on the text that early stopping looks at
    judged: list[float]  # on the text that nobody looks at

    @property
    def best(self) -> int:
        """The round at which early stopping stops."""
        return int(np.argmin(self.stopping))


def train(
    how: dict[str, float], texts: list[Any], V: int, options: Any, bar: Any
) -> Found:
    """Train a new model; return what was found after every round."""
    rng = np.random.default_rng(options.seed)
    H = options.hidden
    model = fastrnn.Sequential(
        rnn=fastrnn.LSTM(V, H, 2, init="keras", seed=rng, **how),
        drop=fastrnn.Dropout(how.get("dropout", 0.0), seed=rng),
        head=fastrnn.Linear(H, V, seed=rng),
    )
    adam = fastrnn.Adam(model.flat_params, lr=options.lr)
    found = Found([], [], [])
    for _ in range(options.epochs):
        model.train()
        state, losses = None, []
        for x, targets in stream_batches(texts[0], options.batch, options.seq):
            loss, state = model.cross_entropy(x, targets, state)
            model.zero_grad()
            model.backward()
            fastrnn.clip_grad_norm(model.flat_grads, 1.0)
            adam.step(model.flat_grads)
            losses.append(loss)
        found.learned.append(float(np.mean(losses)) / math.log(2))
        for text, bits in zip(texts[1:], (found.stopping, found.judged), strict=True):
            bits.append(judge(model, text, options))
        bar.update()
    return found


def judge(model: fastrnn.Sequential, text: np.ndarray, options: Any) -> float:
    """Return bits per character on a text."""
    model.eval()
    state, total, count = None, 0.0, 0
    for x, targets in stream_batches(text, options.batch, 256):
        loss, state = model.cross_entropy(x, targets, state, reduction="sum")
        total += float(loss)
        count += np.count_nonzero(targets >= 0)
    return total / count / math.log(2)


def main() -> int:
    """Train with each kind, compare."""
    options = begin(__doc__, SETTINGS, QUICK)
    text = read_text(options.text)
    n = options.characters
    if len(text) < 2 * n:
        raise UserError(
            f"the text has {len(text)} characters; --characters {n} takes {2 * n}"
        )
    vocabulary = Vocabulary(text[: 2 * n])
    ids = vocabulary.encode(text[: 2 * n])
    texts = [ids[:n], ids[n : n * 3 // 2], ids[n * 3 // 2 :]]
    found = {}
    with progress(len(KINDS) * options.epochs, "round") as bar:
        for name, how in KINDS.items():
            bar.set_postfix_str(name)
            found[name] = a = train(how, texts, len(vocabulary), options, bar)
            bar.write(
                f"result: {name:20s} bits per character: learned {a.learned[-1]:.3f}, "
                f"new text {a.judged[-1]:.3f}, stopped at round {a.best + 1:2d} "
                f"{a.judged[a.best]:.3f}"
            )
    save_figure(options, draw(found))
    return 0


def draw(found: dict[str, Found]) -> Any:
    """Draw new text against rounds, and what each kind reaches."""
    figure, (left, right) = new_figure(1, 2, figsize=(14, 5))
    plain = found["nothing"]
    rounds = np.arange(len(plain.judged)) + 1
    left.plot(rounds, plain.learned, "k:", label="nothing, on the text learned from")
    for name, a in found.items():
        (line,) = left.plot(rounds, a.judged, label=name)
        left.plot(a.best + 1, a.judged[a.best], "o", color=line.get_color())
    left.set(
        xlabel="rounds through the text",
        ylabel="bits per character",
        title="new text; the dot is where early stopping stops",
    )
    left.legend()
    places = np.arange(len(found))
    last = [a.judged[-1] for a in found.values()]
    best = [a.judged[a.best] for a in found.values()]
    right.hlines(places, best, last, color="silver", linewidth=3)
    right.plot(last, places, "s", color="gray", label="after the last round")
    right.plot(best, places, "o", color="C0", label="with early stopping")
    for place, a, b in zip(places, last, best, strict=True):
        right.text(a + 0.01, place, f"{a:.2f}", va="bottom", color="gray")
        right.text(b - 0.01, place, f"{b:.2f}", va="bottom", ha="right", color="C0")
    right.set_yticks(places, list(found))
    right.set(
        xlabel="bits per character on new text",
        title="what each kind reaches",
        ylim=(len(found) - 0.5, -0.7),
    )
    right.margins(x=0.15)
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
