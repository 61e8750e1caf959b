"""What the examples share: counting models."""

from __future__ import annotations

import numpy as np
import pytest

from tests.examples.programs import load

ngram_bits = load("_ngrams").ngram_bits


def witten_bell(past: list[int], context: tuple[int, ...], c: int, V: int) -> float:
    """Return P(c | context) as in the docstring of `_ngrams`, one count at a time."""
    n = len(context)
    after = [
        past[i + n] for i in range(len(past) - n) if (*past[i : i + n],) == context
    ]
    lower = witten_bell(past, context[1:], c, V) if n else 1 / V
    if not after:
        return lower
    kinds = len(set(after))
    return (after.count(c) + kinds * lower) / (len(after) + kinds)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_ngram_bits_against_counting_one_by_one(order: int) -> None:
    V, split = 5, 60
    ids = np.random.default_rng(order).integers(0, V, 100).astype(np.int32)
    ids[split:] %= 3
    ids[70:80] = 4  # contexts that the first part never had
    past, p = ids[:split].tolist(), []
    for i in range(split + 1, len(ids)):
        context = (*ids[max(0, i - order + 1) : i].tolist(),)
        p.append(witten_bell(past, context, int(ids[i]), V))
    expected = -np.mean(np.log2(p))
    assert ngram_bits(ids, split, order, V) == pytest.approx(expected, rel=1e-12)
    chances = [witten_bell(past, (1, 2, 0)[:order], c, V) for c in range(V)]
    assert sum(chances) == pytest.approx(1)
