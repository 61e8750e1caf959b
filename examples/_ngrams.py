"""Counting models of a text: a net that has learned anything does better.

An n-gram model predicts an id c from the n − 1 ids before it, its context. Counts of
long contexts are few, so each order leans on the next lower one (Witten, Bell 1991):

    P_n(c) = (count(context, c) + kinds(context) · P_{n−1}(c))
             / (count(context) + kinds(context)),            P_0 = 1 / V

where kinds(context) is the number of different ids that followed the context: the more
kinds, the less the counts alone are trusted.
"""

from __future__ import annotations

import numpy as np


def ngram_bits(ids: np.ndarray, split: int, order: int, vocabulary_size: int) -> float:
    """Count n-grams in ids[:split]; return the loss on ids[split + 1:] in bits per id.

    The first held-out id, ids[split], only serves as context: a net that starts reading
    there cannot predict it either. Order 1 is a unigram model, 3 a trigram model.
    """
    V = vocabulary_size
    p = np.full(len(ids) - split - 1, 1 / V)
    codes = np.zeros(len(ids), np.int64)  # codes[s] numbers the n ids that end at s
    for n in range(1, order + 1):
        codes[n - 1 :] += ids[: len(ids) - n + 1].astype(np.int64) * V ** (n - 1)
        seen, held = codes[n - 1 : split], codes[split + 1 :]
        grams, counts = np.unique(seen, return_counts=True)
        contexts, first, kinds = np.unique(
            grams // V, return_index=True, return_counts=True
        )
        totals = np.add.reduceat(counts, first)  # grams of one context lie together
        count = _look_up(grams, counts, held)
        total = _look_up(contexts, totals, held // V)
        kind = _look_up(contexts, kinds, held // V)
        p = np.where(total > 0, (count + kind * p) / np.maximum(total + kind, 1), p)
    return float(-np.log2(p).mean())


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the value of each wanted key, 0 where there is none; keys are sorted."""
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
