"""What the examples share: drawing from logits, counting models, files, vocabulary."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from _common import UserError, Vocabulary, choose, write_whole
from _ngrams import ngram_bits


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ({}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_k": 2}, [0.4, 0.3, 0, 0]),
        ({"top_k": 9}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_p": 0.65}, [0.4, 0.3, 0, 0]),
        ({"top_p": 0.75}, [0.4, 0.3, 0.2, 0]),
        ({"top_p": 0.0}, [0.4, 0, 0, 0]),
        ({"top_k": 2, "top_p": 0.5}, [0.4, 0, 0, 0]),  # 0.4 of 0.7 is more than half
        ({"temperature": 0.5}, [0.16, 0.09, 0.04, 0.01]),
        ({"temperature": 0}, [1, 0, 0, 0]),
    ],
    ids=str,
)
def test_choose_draws_what_it_says(how: dict, kept: list[float]) -> None:
    places = np.array([2, 0, 3, 1])  # of the likeliest, the next, …
    logits = np.empty(4, np.float32)
    logits[places] = 500 + np.log([0.4, 0.3, 0.2, 0.1])
    rng = np.random.default_rng(0)
    drawn = Counter(choose(logits, rng, **how) for _ in range(4000))
    share = np.array([drawn[i] / 4000 for i in places])
    expected = np.array(kept) / sum(kept)
    assert not share[expected == 0].any()
    np.testing.assert_allclose(share, expected, atol=0.03)  # 4 σ of 4000 draws


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


def test_vocabulary_goes_there_and_back() -> None:
    vocabulary = Vocabulary("zażółć 🐍\n" * 2)
    assert vocabulary.characters == "\n azóćłż🐍"
    ids = vocabulary.encode("ża🐍")
    assert ids.dtype == np.int32
    assert vocabulary.decode(ids) == "ża🐍"
    assert vocabulary.encode("").shape == (0,)
    with pytest.raises(UserError, match=r"^character 'b' at 2 is not in the vocabul"):
        vocabulary.encode("żaba")


def test_write_whole_keeps_the_old_file_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(UserError, match="cannot be written: No such file"):
        write_whole(tmp_path / "none" / "file", b"")
