"""Sampling: ids drawn from logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn import _core
from fastrnn._gate.arguments import check_any_floating, make_generator
from fastrnn._gate.text import How, check_how
from fastrnn._types import FloatArray, IntArray


def choose(
    logits: ArrayLike,
    seed: int | np.random.Generator | None = None,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> int:
    """Draw one id from ``softmax(logits / temperature)``.

    Parameters
    ----------
    logits : [V] floating
        Logits of all ids.
    seed : int or numpy.random.Generator, optional
        Pass a generator to draw repeatedly; None takes fresh entropy.
    temperature : float
        Above 1 is more daring, below 1 more cautious; 0 takes the likeliest.
    top_k : int
        Draw from the ``top_k`` likeliest ids only; 0 for all.
    top_p : float
        Of these, draw only from the fewest whose probabilities add up to this share.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape is wrong, a value is out of range, or the largest logit is not finite.

    References
    ----------
    A. Holtzman et al., "The curious case of neural text degeneration", 2020 (top-p).

    Examples
    --------
    >>> fastrnn.text.choose(np.array([0.0, 3.0, 1.0]), temperature=0)
    1
    """
    scores = check_any_floating("logits", logits)
    if scores.ndim != 1 or not scores.size:
        raise ValueError(f"logits: expected shape (V,) with V >= 1, got {scores.shape}")
    how = check_how(temperature, top_k, top_p)
    return int(draw(scores[np.newaxis], make_generator(seed).random(1), how)[0])


def draw(logits: FloatArray, uniforms: Any, how: How) -> IntArray:
    """Return an id of each row of ``logits [N, V]``.

    Each is where a uniform number of ``[0, 1)`` falls among the probabilities, the
    likeliest first.
    """
    ids = _core.draw_ids(logits, uniforms, *how)
    if isinstance(ids, int):
        most = logits[ids].max()
        raise ValueError(f"logits: expected a finite maximum, got {most}")
    return ids
