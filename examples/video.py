"""Short films of moving shapes: the activity is in the order of the frames alone.

    python examples/video.py
    python examples/video.py --clips 20000 --noise 0.5

A shape slides to the right or to the left, up or down, it grows or shrinks, it turns
one way or the other: eight activities, in films of 8 to 16 frames of 16 × 16 points.
Shape, size, place, speed and brightness are drawn anew for each film, and there is
noise. A film of the second kind of each pair is one of the first kind, shown
backwards. So both kinds have the same frames, and only their order tells them apart.

The net looks at each frame by itself (a linear layer and ReLU), a GRU reads what it saw
frame by frame, and the state after the last frame gives the answer. A second net gets
the same films with their frames shuffled. It still sees what changes, the place, the
size or the angle, but not which way: half of its answers are right, as if it had tossed
a coin in each pair. That is the lesson: a net with a memory can use the order of its
inputs, and here nothing else will do.

Everything from films to a trained net is in `learn`. The two panels on the right of the
picture count the answers for each activity.
"""

from __future__ import annotations

import sys
from typing import Any

import _readers as read
import numpy as np
from _errors import run
from _program import begin, new_figure, progress, save_figure
from _settings import Setting

import fastrnn
from fastrnn import data, schedules

SETTINGS = [
    Setting("clips", 10_000, "films to learn from", read.number(int, 100, 50_000)),
    Setting("noise", 0.2, "beside a brightness of 1", read.number(float, 0, 10)),
    Setting("hidden", 64, "hidden units", read.units),
    Setting("batch", 32, "films per step", read.rows),
    Setting("epochs", 8, "passes through all films", read.steps),
    Setting("lr", 3e-3, "Adam's learning rate, falling to 0", read.rate),
]
QUICK = {"clips": 4000}
ACTIVITIES = ["right", "left", "down", "up", "grows", "shrinks", "turns", "turns back"]
SHORTEST, LONGEST, SIDE = 8, 16, 16
# Boxes, each (x, y, half its width, half its height), where 1 is the size of the shape.
SHAPES = {
    "bar": [(0, 0, 1, 0.3)],
    "L": [(-0.6, 0, 0.3, 1), (0.1, 0.7, 0.9, 0.3)],
    "T": [(0, -0.7, 1, 0.3), (0, 0.1, 0.3, 0.9)],
    "flag": [(-0.7, 0, 0.2, 1), (0.1, -0.45, 0.8, 0.55)],
}


def main() -> int:
    """Make films, train on them as they are and shuffled, and compare."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng(options.seed)
    films, labels = film(rng, options.clips, options.noise)
    new, truth = film(rng, 2000, options.noise)
    lengths = [len(x) for x in films]
    print(f"{len(films):,} films of {min(lengths)} to {max(lengths)} frames")
    answers: dict[str, Any] = {}
    orders = {"in order": list, "shuffled": lambda films: shuffle(rng, films)}
    with progress(2 * options.epochs, unit="epoch") as bar:
        for name, order in orders.items():
            model = learn(order(films), labels, options, bar)
            answers[name] = fastrnn.predict(model, order(new)).argmax(1)
            if name == "in order":
                mixed = fastrnn.predict(model, shuffle(rng, new)).argmax(1)
    right = {name: float((a == truth).mean()) for name, a in answers.items()}
    pairs = float((answers["shuffled"] // 2 == truth // 2).mean())
    print(f"shuffled frames show what changes: {pairs:.3f}, but not which way")
    print(
        f"the net that learned from films in order, on shuffled ones: "
        f"{(mixed == truth).mean():.3f}"
    )
    print(
        f"result: accuracy {right['in order']:.3f} with the frames in order, "
        f"{right['shuffled']:.3f} shuffled (a coin for each pair: 0.500)"
    )
    save_figure(options, draw(new, truth, answers, right))
    return 0


def film(rng: np.random.Generator, K: int, noise: float) -> tuple[Any, np.ndarray]:
    """Return K films [frames, points], and their activities."""
    labels = rng.integers(0, len(ACTIVITIES), K)
    lengths = rng.integers(SHORTEST, LONGEST + 1, K)
    shapes = rng.choice(list(SHAPES), K)
    films = []
    for label, T, shape in zip(labels, lengths, shapes, strict=True):
        frames = shoot(rng, label // 2, T, SHAPES[shape])
        if label % 2:
            frames = frames[::-1]
        frames = frames.reshape(T, -1) * rng.uniform(0.6, 1.2)
        frames = frames + noise * rng.standard_normal(frames.shape)
        films.append(frames.astype(np.float32))
    return films, labels


def shoot(rng: np.random.Generator, what: int, T: int, boxes: Any) -> np.ndarray:
    """Return [T, side, side]: a shape whose place, size or angle goes up.

    `what` is 0 for the horizontal place, 1 for the vertical one, 2 size, 3 angle.
    """
    way = np.cumsum(rng.uniform(0.5, 1.5, T))  # of no even speed
    way = (way - way[0]) / (way[-1] - way[0])
    across, down = (rng.uniform(-2, 2) + np.zeros(T) for _ in range(2))
    size = rng.uniform(3, 4.5) + np.zeros(T)
    angle = rng.uniform(0, 2 * np.pi) + np.zeros(T)
    if what < 2:
        place = (across, down)[what]
        place += rng.uniform(5, 8) * (way - 0.5)
    elif what == 2:
        size += rng.uniform(2, 3.5) * (way - 0.5)
    else:
        angle += rng.uniform(1.2, 2.5) * way
    points = np.arange(SIDE) - (SIDE - 1) / 2
    x = points - across[:, None, None]
    y = points[:, None] - down[:, None, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    u, v, unit = x * cos + y * sin, y * cos - x * sin, size[:, None, None]
    inside = [  # how deep inside each box
        np.minimum(w * unit - abs(u - a * unit), h * unit - abs(v - b * unit))
        for a, b, w, h in boxes
    ]
    return np.clip(np.max(inside, axis=0) + 0.5, 0, 1)  # with soft edges


def shuffle(rng: np.random.Generator, films: Any) -> Any:
    """Return the films with the frames of each in another order."""
    return [rng.permutation(frames) for frames in films]


def learn(films: Any, labels: Any, options: Any, bar: Any) -> fastrnn.Sequential:
    """Return a net that has learned to name activities."""
    rng, H = np.random.default_rng([options.seed, 1]), options.hidden
    model = fastrnn.Sequential(
        eye=fastrnn.Linear(SIDE * SIDE, H, seed=rng),
        relu=fastrnn.Activation("relu"),
        rnn=fastrnn.GRU(H, H, init="keras", seed=rng),
        last=fastrnn.Last(),
        head=fastrnn.Linear(H, len(ACTIVITIES), seed=rng),
    )
    fastrnn.fit(
        model,
        data.batches(films, labels, rows=options.batch, seed=rng),
        optimizer=fastrnn.Adam(model, lr=options.lr),
        epochs=options.epochs,
        schedule=schedules.cosine(options.epochs),
        callbacks=[lambda model, history: bar.update()],
        progress=False,  # the bar stands for all epochs
    )
    return model


# --- the picture ---------------------------------------------------------------------


def draw(films: Any, truth: np.ndarray, answers: Any, right: Any) -> Any:
    """Draw a film of each activity, and how often each was taken for each."""
    figure, (left, *others) = new_figure(
        1, 3, figsize=(17, 6.2), width_ratios=[1.5, 1, 1]
    )
    strips, names = [], len(ACTIVITIES)
    for k in range(names):
        frames = next(x for x, y in zip(films, truth, strict=True) if y == k)
        shown = frames[np.linspace(0, len(frames) - 1, SHORTEST).round().astype(int)]
        strip = np.full((SIDE + 2, SHORTEST * (SIDE + 2)), 1.2)
        for i, frame in enumerate(shown):
            strip[1:-1, i * (SIDE + 2) + 1 :][:, :SIDE] = frame.reshape(SIDE, SIDE)
        strips.append(strip)
    left.imshow(np.concatenate(strips), cmap="gray", vmin=-0.5, vmax=1.2)
    left.set_yticks((np.arange(names) + 0.5) * (SIDE + 2), ACTIVITIES)
    left.set(xticks=[], xlabel="time →", title="A film of each activity")
    left.tick_params(length=0)
    for axes, (name, given) in zip(others, answers.items(), strict=True):
        table = np.zeros((names, names))
        np.add.at(table, (truth, given), 1)
        table /= table.sum(axis=1, keepdims=True)
        axes.imshow(table, cmap="Blues", vmin=0, vmax=1)
        for (i, k), share in np.ndenumerate(table):
            if share >= 0.005:
                ink = "white" if share > 0.5 else "black"
                axes.text(k, i, f"{share:.0%}", color=ink, ha="center", va="center")
        axes.set_xticks(range(names), ACTIVITIES, rotation=45, ha="right")
        axes.set_yticks(range(names), ACTIVITIES)
        axes.set(xlabel="answer", title=f"Frames {name}: {right[name]:.1%} right")
    others[0].set(ylabel="activity")
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
