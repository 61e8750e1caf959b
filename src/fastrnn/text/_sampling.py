"""Sampling: ids drawn from logits, and texts from a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._gate.arguments import (
    check_any_floating,
    check_integer,
    make_generator,
)
from fastrnn._gate.text import How, check_how, check_prompt, check_step
from fastrnn._layers.base import Layer
from fastrnn._layers.embedding import Embedding
from fastrnn._layers.linear import Linear
from fastrnn._layers.recurrent import RecurrentLayer


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
    return draw(scores, make_generator(seed), how)


def generate(
    model: Callable[..., tuple[Any, Any]],
    prompt: ArrayLike,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    stop: int | None = None,
    state: Any = None,
    seed: int | np.random.Generator | None = None,
) -> Iterator[int]:
    """Yield ids, each drawn from the model's prediction and then fed back to it.

    Parameters
    ----------
    model : Sequential, or a function
        ``logits, state = model(x, state)`` with int64 tokens ``x [T, 1]`` and ``logits
        [T, 1, V]``. A `Sequential` must run forwards in time, take time first and end
        in a `Linear`. It is in eval mode from the first id until the ids are exhausted
        or dropped, then back in the mode it was in.
    prompt : [T] integer
        The tokens before; at least one.
    length : int
        The largest number of ids.
    temperature, top_k, top_p
        As in `choose`.
    stop : int, optional
        Stop before this id, for example ``vocabulary.eos``.
    state
        The state of the model before the prompt.
    seed : int or numpy.random.Generator, optional
        The source of all randomness.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape is wrong, or a value is out of range.
    """
    how = check_how(temperature, top_k, top_p)
    prompt = check_prompt(prompt, check_model(model))
    length = check_integer("length", length, 0)
    if stop is not None:
        stop = check_integer("stop", stop, 0)
    # Another function draws, so that bad arguments raise here, not at the first id.
    return draw_ids(model, prompt, length, stop, state, how, make_generator(seed))


def draw_ids(
    model: Any,
    prompt: Any,
    length: int,
    stop: int | None,
    state: Any,
    how: How,
    rng: np.random.Generator,
) -> Iterator[int]:
    x, was_training = prompt[:, None], False
    try:
        for _ in range(length):
            # Once, unless the caller trains on between two ids: changing the mode costs
            # packing all weights.
            if isinstance(model, Layer) and model.training:
                model.eval()
                was_training = True
            logits, state = check_step(model(x, state))
            i = draw(logits, rng, how)
            if i == stop:
                return
            yield i
            x = np.array([[i]], np.int64)
    finally:
        if was_training:
            model.train()


# What overflows or underflows here is a probability of 0, as it should be.
@np.errstate(all="ignore")
def draw(logits: Any, rng: np.random.Generator, how: How) -> int:
    if not np.isfinite(most := logits.max()):
        raise ValueError(f"logits: expected a finite maximum, got {most}")
    order = np.argsort(-logits, kind="stable")
    if how.temperature == 0:
        return int(order[0])
    if how.top_k:
        order = order[: how.top_k]
    scores = logits[order].astype(np.float64)
    p = np.exp((scores - scores[0]) / how.temperature)
    edges = np.cumsum(p / p.sum())
    edges = edges[: np.searchsorted(edges, how.top_p) + 1]
    drawn = rng.random() * edges[-1]
    return int(order[np.searchsorted(edges[:-1], drawn, side="right")])


def check_model(model: Any) -> int | None:
    """Refuse a model that cannot go on from its own tokens; return how many it reads.

    Of a function nothing is known, and None is returned.
    """
    if not callable(model):
        kind = type(model).__name__
        raise TypeError(f"model: expected a Sequential or a function, got {kind}")
    if not isinstance(model, Layer):
        return None
    layers = list(leaves(model))
    for layer in layers:
        for option in ("bidirectional", "batch_first"):
            if getattr(layer, option, False):
                kind = type(layer).__name__
                raise ValueError(
                    f"model: expected {option}=False, got True in its {kind}"
                )
    known = [a for a in layers if isinstance(a, (Embedding, Linear, RecurrentLayer))]
    if known and not isinstance(known[-1], Linear):
        kind = type(known[-1]).__name__
        raise ValueError(
            f"model: expected a head that gives logits (Linear) as its last layer, "
            f"got {kind}"
        )
    if not known or isinstance(known[0], Linear):
        got = type(model).__name__
        raise ValueError(
            f"model: expected a layer that reads tokens (Embedding, or a recurrent "
            f"one) and a head, got a {got} without"
        )
    first: Any = known[0]
    head: Any = known[-1]
    V: int = first.num_embeddings if isinstance(first, Embedding) else first.input_size
    if head.out_features > V:
        raise ValueError(
            f"model: expected at most V = {V} logits (the tokens that it reads), "
            f"got {head.out_features}"
        )
    return V


def leaves(layer: Any) -> Iterator[Any]:
    """Yield the layers within a layer, in order; itself if there are none."""
    inner = getattr(layer, "layers", None)
    if not isinstance(inner, Mapping):
        yield layer
        return
    for one in inner.values():
        yield from leaves(one)
