"""Read a review, say whether it is kind: a whole sequence to one answer.

    python examples/sentiment.py
    python examples/sentiment.py --reviews 20000 --hidden 64

The reviews are made here, by a small grammar in which no word decides alone: "not",
"far from" and "anything but" turn the next judgement round, "very" makes it count
twice, what comes after "but" outweighs what came before, and others' opinions do not
count. One review in twenty has the wrong label, so that the best possible accuracy is
known: 95 %.

A bidirectional LSTM reads the words; its last state in each direction goes to a linear
layer. Counting words, however well, cannot tell what was turned round: the baseline is
a logistic regression on word counts.

Reviews have 4 to 120 words. Rows of a batch are computed only as far as they go
(`lengths=`); batches of like length (`bucket_batches`) also keep tensors small. The
same training is timed on padded, on shuffled and on bucketed batches.

Source of the layer: M. Schuster, K. Paliwal, "Bidirectional recurrent neural networks",
1997.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, NamedTuple

import numpy as np
from _common import run
from _program import begin, new_figure, progress, save_figure
from _settings import Setting, number

import fastrnn
from fastrnn.data import bucket_batches, pad_sequences
from fastrnn.text import Vocabulary

SETTINGS = [
    Setting("reviews", 12000, "reviews to learn from", number(int, 100)),
    Setting("hidden", 48, "hidden units a direction", number(int, 1)),
    Setting("batch", 32, "reviews a step", number(int, 1)),
    Setting("epochs", 5, "times through all reviews", number(int, 1)),
    Setting("lr", 4e-3, "Adam's learning rate, going down to 0", number(float, 1e-9)),
]
QUICK = {"reviews": 6000, "hidden": 32, "epochs": 4}
NOISE = 0.05  # share of labels that are wrong
THINGS = [
    "film",
    "plot",
    "music",
    "acting",
    "ending",
    "dialogue",
    "camera",
    "cast",
    "pace",
    "script",
    "scene",
]
GOOD = [
    "good",
    "great",
    "fine",
    "clever",
    "moving",
    "funny",
    "charming",
    "brilliant",
    "fresh",
    "warm",
]
BAD = [
    "bad",
    "dull",
    "weak",
    "silly",
    "boring",
    "clumsy",
    "awful",
    "stale",
    "cold",
    "tired",
]
TURNS = ["not", "hardly", "far from", "anything but"]
OTHERS = ["critics say it is", "my brother found it", "the poster calls it"]
FILLERS = [
    "i saw it on a rainy evening with two friends",
    "it runs for more than two hours",
    "the director made three others before",
    "we sat in the last row of the old cinema",
]


class Review(NamedTuple):
    """Words, and whether they are kind: as labelled, and in truth."""

    words: str
    label: int
    truth: int


def main() -> int:
    """Make reviews, train, compare, time, and look into the network."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng(options.seed)
    seen = [write(rng) for _ in range(options.reviews)]
    unseen = [write(rng) for _ in range(4000)]
    vocabulary = Vocabulary((r.words for r in seen), words=True, pad=True, unk=True)
    counts = [len(r.words.split()) for r in seen]
    print(f"{len(seen):,} reviews of {min(counts)} to {max(counts)} words")
    model = Reader(len(vocabulary), options)
    curve = model.train(encode(vocabulary, seen), [r.label for r in seen], options)
    scores = model.scores(encode(vocabulary, unseen))
    labels = np.array([r.label for r in unseen])
    truth = np.array([r.truth for r in unseen])
    found = fastrnn.accuracy(scores, labels)
    baseline = count_words(vocabulary, seen, unseen)
    best = float((labels == truth).mean())
    print(f"on the true labels: {fastrnn.accuracy(scores, truth):.3f}")
    speeds = measure(vocabulary, seen, options)
    for name, seconds in speeds.items():
        print(f"{name}: {seconds:.2f} s for {options.batch * 60:,} reviews")
    print(
        f"result: accuracy {found:.3f} "
        f"(counting words {baseline:.3f}, best possible {best:.3f})"
    )
    save_figure(options, draw(model, vocabulary, curve, speeds, baseline, best))
    return 0


# --- reviews -------------------------------------------------------------------------


def write(rng: np.random.Generator) -> Review:
    """Write a review: opinions, with much or little in between."""

    def pick(words: list[str]) -> str:
        return words[rng.integers(len(words))]

    score = 0.0
    while score == 0:
        parts, score = [], 0.0
        for _ in range(rng.integers(1, 6)):
            parts += [pick(FILLERS) for _ in range(rng.integers(0, 3))]
            text, value = opinion(rng, pick)
            if parts and rng.random() < 0.25:
                text, score = f"but {text}", score / 4
            parts.append(text)
            score += value
            if rng.random() < 0.3:
                parts.append(f"{pick(OTHERS)} {pick(GOOD + BAD)}")
    truth = int(score > 0)
    return Review(" . ".join(parts), truth ^ int(rng.random() < NOISE), truth)


def opinion(rng: np.random.Generator, pick: Any) -> tuple[str, float]:
    """Return words such as "the plot is hardly very good", and their worth."""
    kind = rng.random() < 0.5
    value, words = 1.0 if kind else -1.0, [pick(GOOD if kind else BAD)]
    if rng.random() < 0.3:
        value, words = 2 * value, ["very", *words]
    if rng.random() < 0.4:
        value, words = -value, [pick(TURNS), *words]
    return f"the {pick(THINGS)} is {' '.join(words)}", value


def encode(vocabulary: Vocabulary, reviews: list[Review]) -> list[np.ndarray]:
    """Return the reviews' words as ids."""
    return [vocabulary.encode(r.words) for r in reviews]


def count_words(vocabulary: Vocabulary, seen: Any, unseen: Any) -> float:
    """Return the accuracy of a logistic regression on which words come how often."""

    def counts(reviews: list[Review]) -> np.ndarray:
        rows = [
            np.bincount(ids, minlength=len(vocabulary))
            for ids in encode(vocabulary, reviews)
        ]
        return np.array(rows, np.float32)

    x, labels = counts(seen), np.array([r.label for r in seen])
    head = fastrnn.Linear(len(vocabulary), 2, seed=0)
    adam = fastrnn.Adam(head.flat_params, lr=0.05)
    for _ in range(300):
        head.cross_entropy(x, labels)
        head.zero_grad()
        head.backward()
        adam.step(head.flat_grads)
    return fastrnn.accuracy(head(counts(unseen)), np.array([r.label for r in unseen]))


# --- the network ---------------------------------------------------------------------


class Reader:
    """Words in, scores of "unkind" and "kind" out."""

    def __init__(self, V: int, options: argparse.Namespace) -> None:
        rng, H = np.random.default_rng([options.seed, 1]), options.hidden
        self.body = fastrnn.Sequential(
            embedding=fastrnn.Embedding(V, 32, seed=rng),
            rnn=fastrnn.LSTM(32, H, bidirectional=True, init="keras", seed=rng),
        )
        self.head = fastrnn.Linear(2 * H, 2, seed=rng)
        self.adam = fastrnn.Adam([self.body.flat_params, self.head.flat_params])

    def ends(self, x: np.ndarray, lengths: Any) -> np.ndarray:
        """Return the last states of both directions side by side, [N, 2*H]."""
        _, ((h, _),) = self.body(x, lengths=lengths)
        return np.concatenate(h, axis=1)

    def step(self, x: np.ndarray, lengths: Any, labels: np.ndarray) -> float:
        """Learn from one batch; return the loss."""
        loss = self.head.cross_entropy(self.ends(x, lengths), labels)
        grads = [self.body.flat_grads, self.head.flat_grads]
        self.body.zero_grad()
        self.head.zero_grad()
        dh = np.stack(np.split(self.head.backward(), 2, axis=1))
        self.body.backward(None, ((dh, None),))
        fastrnn.clip_grad_norm(grads, 1.0)
        self.adam.step(grads)
        return float(loss)

    def train(self, reviews: Any, labels: Any, options: Any) -> list[float]:
        """Go through all reviews some times; return the loss of every step."""
        losses: list[float] = []
        labels, lengths = np.array(labels), [len(r) for r in reviews]
        rng = np.random.default_rng([options.seed, 2])
        total = options.epochs * -(-len(reviews) // options.batch)
        with progress(total) as bar:
            for _ in range(options.epochs):
                for batch in bucket_batches(lengths, options.batch, seed=rng):
                    x, valid = pad_sequences([reviews[i] for i in batch])
                    self.adam.lr = options.lr * (1 - len(losses) / total)
                    losses.append(self.step(x, valid, labels[batch]))
                    recent = np.mean(losses[-50:])
                    bar.set_postfix_str(f"loss {recent:.3f}", refresh=False)
                    bar.update()
        return losses

    def scores(self, reviews: list[np.ndarray]) -> np.ndarray:
        """Return the scores of reviews, [N, 2]."""
        self.body.eval()
        x, lengths = pad_sequences(reviews)
        found = self.head(self.ends(x, lengths))
        self.body.train()
        return found


def measure(
    vocabulary: Vocabulary, seen: list[Review], options: Any
) -> dict[str, float]:
    """Time the same reviews in batches made in three ways, best of three each."""
    reviews = encode(vocabulary, seen)[: options.batch * 60]
    labels = np.array([r.label for r in seen])
    lengths = [len(r) for r in reviews]
    longest = max(lengths)
    shuffled = np.random.default_rng(0).permutation(len(reviews))
    batches = np.array_split(shuffled, 60)
    kinds = {
        "padded": ([np.array(b) for b in batches], False),
        "lengths": (batches, True),
        "lengths, bucketed": (bucket_batches(lengths, options.batch, seed=0), True),
    }
    best: dict[str, float] = {}
    for _ in range(3):
        for name, (order, use_lengths) in kinds.items():
            model = Reader(len(vocabulary), options)
            start = time.perf_counter()
            for batch in order:
                x, valid = pad_sequences([reviews[i] for i in batch])
                if not use_lengths:
                    x = np.pad(x, ((0, longest - len(x)), (0, 0)))
                model.step(x, valid if use_lengths else None, labels[batch])
            seconds = time.perf_counter() - start
            best[name] = min(seconds, best.get(name, np.inf))
    return best


# --- the picture ---------------------------------------------------------------------


def draw(
    model: Reader,
    vocabulary: Vocabulary,
    losses: list[float],
    speeds: dict[str, float],
    baseline: float,
    best: float,
) -> Any:
    """Draw the loss, the speeds, and how the verdict changes word by word."""
    figure, (top, bottom) = new_figure(2, 1, figsize=(12, 7), height_ratios=[2, 3])
    text = (
        "the music is very good . my brother found it awful . the plot is hardly "
        "clever . but the ending is anything but weak . the cast is not very funny"
    )
    words = text.split()
    ids = vocabulary.encode(text)
    verdicts = model.scores([ids[: i + 1] for i in range(len(ids))])
    kind = np.diff(verdicts, axis=1)[:, 0]
    top.bar(range(len(words)), kind, color=np.where(kind > 0, "C2", "C3"))
    top.set_xticks(range(len(words)), words, rotation=60, ha="right", fontsize=9)
    top.axhline(0, color="black", linewidth=0.8)
    top.set(ylabel="score kind − unkind", title="The verdict after every word")
    parts = bottom.get_subplotspec().subgridspec(1, 2)
    bottom.remove()
    left, right = (figure.add_subplot(part) for part in parts)
    block = max(1, len(losses) // 60)
    means = np.array(losses[: len(losses) // block * block]).reshape(-1, block).mean(1)
    left.plot(np.arange(1, len(means) + 1) * block, means)
    floor = -(NOISE * np.log(NOISE) + (1 - NOISE) * np.log(1 - NOISE))
    left.axhline(
        floor, color="gray", linestyle="--", label=f"best possible {floor:.2f}"
    )
    left.set(xlabel="step", ylabel="cross-entropy", ylim=(0, None), title="Training")
    left.legend()
    right.barh(list(speeds), list(speeds.values()), color=["C3", "C1", "C2"])
    right.set(xlabel=f"seconds for {60} steps", title="The same reviews, batched so")
    right.invert_yaxis()
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
