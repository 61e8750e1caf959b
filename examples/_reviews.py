"""Reviews by a small grammar in which no word decides alone.

"not", "far from" and "anything but" invert the judgement that follows, "very" makes it
count twice, a part after "but" outweighs the parts before it, and the opinions of
others do not count. One label in twenty is wrong, so that the best possible accuracy is
known: 95 %.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

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


def write(rng: np.random.Generator) -> Review:
    """Write a review: opinions, with more or fewer words in between."""

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
    """Return words such as "the plot is hardly very good", and their value."""
    kind = rng.random() < 0.5
    value, words = 1.0 if kind else -1.0, [pick(GOOD if kind else BAD)]
    if rng.random() < 0.3:
        value, words = 2 * value, ["very", *words]
    if rng.random() < 0.4:
        value, words = -value, [pick(TURNS), *words]
    return f"the {pick(THINGS)} is {' '.join(words)}", value
