"""Where does the gradient go? Its norm against the distance it has come back.

    python examples/vanishing.py
    python examples/vanishing.py --distance 300 --hidden 128

Left: new nets read random sequences, a gradient of norm 1 enters at the last step, and
`return_dh=True` returns the part of it that reaches each earlier step. Every step back
multiplies it by the recurrent weights and by the slope of the units: less than 1 for a
tanh or ReLU net with its usual start, 1 along the identity, and in an LSTM about the
forget gate, sigmoid(0) = 0.5 or, with a forget bias of 1, sigmoid(1) = 0.73.

Middle: ReLU nets that start with r times the identity. After k steps back the gradient
has been multiplied by r to the power of k: it vanishes for r < 1, it explodes for
r > 1.

Right: the effect of an exploding gradient on training, and of clipping its norm. A ReLU
net learns the adding problem (see memory.py) by plain gradient descent, once without
clipping and once with it.

Sources: Y. Bengio, P. Simard, P. Frasconi, "Learning long-term dependencies with
gradient descent is difficult", 1994; R. Pascanu, T. Mikolov, Y. Bengio, "On the
difficulty of training recurrent neural networks", 2013; R. Jozefowicz, W. Zaremba,
I. Sutskever, "An empirical exploration of recurrent network architectures", 2015 (the
forget bias).
"""

from __future__ import annotations

import math
import sys
from typing import Any

import _readers as read
import numpy as np
from _errors import run
from _program import begin, new_figure, progress, save_figure
from _settings import Setting
from memory import Adding

import fastrnn

SETTINGS = [
    Setting("distance", 100, "steps back", read.number(int, 10, 1000)),
    Setting("hidden", 64, "hidden units", read.units),
    Setting("batch", 32, "sequences", read.rows),
    Setting("steps", 5000, "steps of training, with and without clipping", read.steps),
    Setting("lr", 0.02, "learning rate of gradient descent", read.rate),
    Setting("clip", 1.0, "largest norm of the gradient", read.norm),
]
QUICK = {"steps": 4000, "hidden": 32}
T = 30  # distance of the adding problem that is trained
RADII = (0.8, 0.9, 1.0, 1.1, 1.2)
# One colour per net, the same in all panels.
COLOURS = {
    "tanh": "C0",
    "ReLU": "C1",
    "LSTM, forget bias 0": "#c5b0d5",
    "LSTM, forget bias 1": "#9467bd",
    "LSTM, forget bias 3": "#5b2a86",
    "ReLU, identity start": "C2",
}
RADIUS_STYLES = {0.8: ":", 0.9: "--", 1.0: "-", 1.1: "--", 1.2: ":"}


def nets(H: int, seed: int) -> dict[str, Any]:
    """Return new layers by name."""
    how: Any = {"dtype": np.float64, "seed": seed}
    layers = {
        "tanh": fastrnn.RNN(2, H, **how),
        "ReLU": fastrnn.RNN(2, H, nonlinearity="relu", **how),
        "ReLU, identity start": identity(H, 1.0, seed),
    }
    for bias in (0, 1, 3):
        lstm = fastrnn.LSTM(2, H, init="keras", **how)
        lstm.params["bias_ih_l0"][H : 2 * H] = bias  # gates in the order i, f, g, o
        layers[f"LSTM, forget bias {bias}"] = lstm
    return layers


def identity(H: int, r: float, seed: int) -> fastrnn.RNN:
    """Return a ReLU layer whose recurrent weights are r times the identity."""
    layer = fastrnn.RNN(
        2, H, nonlinearity="relu", init="identity", dtype=np.float64, seed=seed
    )
    layer.params["weight_hh_l0"] *= r
    return layer


def norms(layer: Any, x: np.ndarray, dh_n: np.ndarray) -> np.ndarray:
    """Return the norm of the gradient 0, 1, … steps back, the mean over rows."""
    y, _ = layer(x)
    dy = np.zeros_like(y)
    dy[-1] = dh_n
    _, _, dh = layer.backward(dy, return_dh=True)
    return np.linalg.norm(dh["l0"][::-1], axis=2).mean(axis=1)


def train(options: Any, clip: float, bar: Any) -> tuple[list[float], list[float]]:
    """Learn to add; return the losses and the norms of the gradient, before clipping.

    Training ends at the first gradient that is not finite.
    """
    rng = np.random.default_rng([options.seed, 1])
    model = fastrnn.Sequential(
        rnn=fastrnn.RNN(
            2, options.hidden, nonlinearity="relu", init="identity", seed=rng
        ),
        head=fastrnn.Linear(options.hidden, 1, seed=rng),
    )
    sgd = fastrnn.SGD(model.flat_params, lr=options.lr)
    losses, gradients = [], []
    for step in range(options.steps):
        loss, dy = Adding().loss(model, rng, T, options.batch)
        model.zero_grad()
        model.backward(dy)
        try:
            norm = fastrnn.clip_grad_norm(model.flat_grads, clip)
        except ValueError:  # not finite
            bar.update(options.steps - step)
            break
        sgd.step(model.flat_grads)
        losses.append(loss)
        gradients.append(float(norm))
        bar.update()
    return losses, gradients


def main() -> int:
    """Measure, train, print and draw."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng(options.seed)
    H, N = options.hidden, options.batch
    x = rng.random((options.distance + 1, N, 2))
    dh_n = rng.standard_normal((N, H))
    dh_n /= np.linalg.norm(dh_n, axis=1, keepdims=True)

    vanishing = {name: norms(a, x, dh_n) for name, a in nets(H, options.seed).items()}
    exploding = {r: norms(identity(H, r, options.seed), x, dh_n) for r in RADII}
    print(f"norm of the gradient {options.distance} steps back, where it enters 1:")
    for name, gradients in vanishing.items():
        print(f"  {name:22s} {gradients[-1]:.1e}")
    for r, gradients in exploding.items():
        print(f"  ReLU, {r} × identity   {gradients[-1]:.1e}")

    runs = {}
    with progress(2 * options.steps) as bar:
        for name, clip in (("not clipped", math.inf), ("clipped", options.clip)):
            runs[name] = train(options, clip, bar)
    for name, (losses, gradients) in runs.items():
        print(
            f"result: {name}: largest gradient {max(gradients):.3g}, "
            f"mean squared error {np.mean(losses[-100:]):.4f} after {len(losses)} steps"
        )
    save_figure(options, draw(options, vanishing, exploding, runs))
    return 0


# --- the picture ---------------------------------------------------------------------


def draw(options: Any, vanishing: Any, exploding: Any, runs: Any) -> Any:
    """Draw the three panels; the ReLU net with identity start has one colour in all."""
    figure, (left, middle, right) = new_figure(1, 3, figsize=(17, 5))
    for name, gradients in vanishing.items():
        left.plot(
            np.where(gradients > 0, gradients, np.nan), color=COLOURS[name], label=name
        )
    left.set(title="Six new nets", ylim=(1e-20, 10))
    own = COLOURS["ReLU, identity start"]
    for r, gradients in reversed(exploding.items()):
        middle.plot(gradients, RADIUS_STYLES[r], color=own)
        middle.annotate(
            f" r = {r}", (len(gradients) - 1, gradients[-1]), va="center", color=own
        )
    middle.set(title="ReLU, start at r times the identity")
    middle.margins(x=0.16)
    for axes in (left, middle):
        axes.set(xlabel="steps back", ylabel="norm of the gradient", yscale="log")
    for style, (name, (losses, _)) in zip(("--", "-"), runs.items(), strict=True):
        steps = np.arange(len(losses)) + 1
        right.plot(steps, smooth(losses), style, color=own, label=name)
    right.axhline(Adding.guessing, color="grey", linestyle=":", label="guessing")
    right.set(
        title=f"ReLU, identity start: descent on adding over {T} steps",
        xlabel="step of training",
        ylabel="mean squared error",
        xscale="log",
        yscale="log",
    )
    left.legend()
    right.legend()
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
    return figure


def smooth(values: list[float], window: int = 50) -> np.ndarray:
    """Return the mean over the last `window` values at each."""
    sums = np.cumsum(np.insert(np.asarray(values, np.float64), 0, 0))
    i = np.arange(1, len(sums))
    start = np.maximum(0, i - window)
    return (sums[i] - sums[start]) / (i - start)


if __name__ == "__main__":
    sys.exit(run(main))
