"""Read a review, say whether it is kind: a whole sequence to one answer.

    python examples/sentiment.py
    python examples/sentiment.py --reviews 20000 --hidden 64

The reviews are made by a small grammar in which no word decides alone (see
_reviews.py): "not" inverts a judgement, "but" outweighs the words before it, and one
label in twenty is wrong, so that the best possible accuracy is known: 95 %.

A bidirectional LSTM reads the words; its last state in each direction goes to a linear
layer. The baseline, a logistic regression on word counts, cannot see which judgements
were inverted.

Reviews have 4 to 120 words. Rows of a batch are computed only up to their own length
(`lengths=`); batches of similar lengths (`bucket_batches`) also keep tensors small. The
same training is timed on padded, on shuffled and on bucketed batches.

Source of the layer: M. Schuster, K. Paliwal, "Bidirectional recurrent neural networks",
1997.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import _readers as read
import numpy as np
from _errors import run
from _program import begin, descend, new_figure, progress, save_figure
from _reviews import NOISE, Review, write
from _settings import Setting

import fastrnn
from fastrnn.data import bucket_batches, pad_sequences
from fastrnn.text import Vocabulary

SETTINGS = [
    Setting("reviews", 12000, "reviews to learn from", read.number(int, 100, 10**6)),
    Setting("hidden", 48, "hidden units per direction", read.units),
    Setting("batch", 32, "reviews per step", read.rows),
    Setting("epochs", 5, "passes through all reviews", read.steps),
    Setting("lr", 4e-3, "Adam's learning rate, falling to 0", read.rate),
]
QUICK = {"reviews": 6000, "hidden": 32, "epochs": 4}
TIMED = 60  # batches whose training is timed
EXAMPLE = (
    "the music is very good . my brother found it awful . the plot is hardly clever . "
    "but the ending is anything but weak . the cast is not very funny"
)


def main() -> int:
    """Make reviews, train, compare, time, and look into the net."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng(options.seed)
    seen = [write(rng) for _ in range(options.reviews)]
    held_out = [write(rng) for _ in range(4000)]
    vocabulary = Vocabulary((r.words for r in seen), words=True, pad=True, unk=True)
    counts = [len(r.words.split()) for r in seen]
    print(f"{len(seen):,} reviews of {min(counts)} to {max(counts)} words")
    model = Reader(len(vocabulary), options)
    losses = model.train(encode(vocabulary, seen), [r.label for r in seen], options)
    scores = model.scores(encode(vocabulary, held_out))
    labels = np.array([r.label for r in held_out])
    truth = np.array([r.truth for r in held_out])
    baseline = count_words(vocabulary, seen, held_out)
    best = float((labels == truth).mean())
    print(f"on the true labels: {fastrnn.accuracy(scores, truth):.3f}")
    seconds = time_batches(vocabulary, seen, options)
    for name, value in seconds.items():
        print(f"{name}: {value:.2f} s")
    print(
        f"result: accuracy {fastrnn.accuracy(scores, labels):.3f} "
        f"(counting words {baseline:.3f}, best possible {best:.3f})"
    )
    save_figure(options, draw(model, vocabulary, losses, seconds))
    return 0


def encode(vocabulary: Vocabulary, reviews: list[Review]) -> list[np.ndarray]:
    """Return the reviews' words as ids."""
    return [vocabulary.encode(r.words) for r in reviews]


def count_words(vocabulary: Vocabulary, seen: Any, held_out: Any) -> float:
    """Return the accuracy of a logistic regression on word counts."""

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
    truth = np.array([r.label for r in held_out])
    return fastrnn.accuracy(head(counts(held_out)), truth)


# --- the net -------------------------------------------------------------------------


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
        self.body.zero_grad()
        self.head.zero_grad()
        dh = np.stack(np.split(self.head.backward(), 2, axis=1))
        self.body.backward(None, ((dh, None),))
        descend(self.adam, [self.body.flat_grads, self.head.flat_grads])
        return float(loss)

    def train(self, reviews: Any, labels: Any, options: Any) -> list[float]:
        """Make all passes through the reviews; return the loss of every step."""
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
        scores = self.head(self.ends(x, lengths))
        self.body.train()
        return scores


def time_batches(
    vocabulary: Vocabulary, seen: list[Review], options: Any
) -> dict[str, float]:
    """Return the seconds of training on the same reviews in three kinds of batches.

    The best of three runs each.
    """
    reviews = encode(vocabulary, seen)[: options.batch * TIMED]
    labels = np.array([r.label for r in seen])
    lengths = [len(r) for r in reviews]
    longest = max(lengths)
    shuffled = np.random.default_rng(0).permutation(len(reviews))
    batches = np.array_split(shuffled, TIMED)
    kinds = {
        "padded": (batches, False),
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


def draw(model: Reader, vocabulary: Vocabulary, losses: Any, seconds: Any) -> Any:
    """Draw the verdict after every word, the loss, and the seconds."""
    figure, (top, bottom) = new_figure(2, 1, figsize=(15, 8), height_ratios=[2, 3])
    words, ids = EXAMPLE.split(), vocabulary.encode(EXAMPLE)
    scores = model.scores([ids[: i + 1] for i in range(len(ids))])
    kind = np.diff(scores, axis=1)[:, 0]
    top.bar(range(len(words)), kind, color=np.where(kind > 0, "C2", "C3"))
    top.set_xticks(range(len(words)), words, rotation=60, ha="right")
    top.axhline(0, color="black", linewidth=0.8)
    top.set(
        ylabel="score of kind − score of unkind",
        title="The verdict after every word: kind is green, unkind red",
    )
    parts = bottom.get_subplotspec().subgridspec(1, 2)
    bottom.remove()
    left, right = (figure.add_subplot(part) for part in parts)
    block = max(1, len(losses) // 60)
    means = np.array(losses[: len(losses) // block * block]).reshape(-1, block).mean(1)
    left.plot(np.arange(1, len(means) + 1) * block, means, label="training")
    floor = -(NOISE * np.log(NOISE) + (1 - NOISE) * np.log(1 - NOISE))
    left.axhline(
        floor, color="grey", linestyle="--", label=f"best possible {floor:.2f}"
    )
    left.set(xlabel="step", ylabel="cross-entropy", ylim=(0, None), title="Training")
    left.grid(alpha=0.3)
    left.legend()
    bars = right.barh(list(seconds), list(seconds.values()), color="C0")
    right.bar_label(bars, fmt=" %.2f s")
    right.set(xlabel="seconds", title="The same reviews in three kinds of batches")
    right.margins(x=0.12)
    right.grid(alpha=0.3, axis="x")
    right.invert_yaxis()
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
