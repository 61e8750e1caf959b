"""Recurrent dropout, zoneout and weight dropout: what the recurrent layers draw.

Definitions, for a rate ``p``; each is for training, and draws anew at every call, for
every layer and direction on its own:

- recurrent dropout [1]_: ``w_hh`` multiplies ``m * h_{t-1}`` in place of ``h_{t-1}``,
  where ``m [N, H]`` is 0 with probability ``p`` and ``1 / (1 - p)`` else: one mask for
  all steps of a row. The state itself is not masked; a reset does not change ``m``.
- zoneout [2]_: with probability ``p``, on its own for every step, row and unit (and for
  h and c), a unit keeps the state that it entered the step with; after a reset that is
  0. In evaluation each state is the expectation, ``p`` old + ``(1 - p)`` new.
- weight dropout, DropConnect on ``w_hh`` [3]_: each weight is 0 with probability ``p``
  and ``w / (1 - p)`` else, for all rows and steps of the call.

References
----------
.. [1] Y. Gal, Z. Ghahramani, "A theoretically grounded application of dropout in
   recurrent neural networks", NIPS 2016.
.. [2] D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden
   activations", ICLR 2017.
.. [3] S. Merity, N. S. Keskar, R. Socher, "Regularizing and optimizing LSTM language
   models", ICLR 2018.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._layers.masks import draw_flags, draw_mask, multiply
from fastrnn._types import FloatArray


class Rates(NamedTuple):
    """The rate of each; 0 is without."""

    recurrent_dropout: float
    zoneout: float
    weight_dropout: float


class Drawn(NamedTuple):
    """What one direction of one layer is called with."""

    weights: dict[str, FloatArray]  # fields of `fastrnn._types.Sequence`
    fields: dict[str, Any]  # others of its fields
    weight_mask: FloatArray | None  # what multiplied w_hh, and multiplies dw_hh


def draw_call(
    rng: np.random.Generator,
    rates: Rates,
    weights: dict[str, FloatArray],
    sizes: tuple[int, int],
    states: dict[str, int],
    training: bool,
) -> Drawn:
    """Draw for one call, in the order of `Rates`; nothing but in training.

    ``weights`` are the parameters, which stay as they are; ``sizes`` is (T, N);
    ``states`` names the arrays of a state, and how many numbers each has.
    """
    if not any(rates):
        return Drawn(weights, {}, None)
    if not training:
        return Drawn(weights, {"zoneout_rate": rates.zoneout}, None)
    (T, N), w_hh = sizes, weights["w_hh"]
    P, dtype = w_hh.shape[1], w_hh.dtype
    fields: dict[str, Any] = {}
    weight_mask = None
    if rates.recurrent_dropout:
        mask = draw_mask(rng, (N, P), rates.recurrent_dropout, dtype)
        fields["recurrent_mask"] = mask
    if rates.zoneout:
        for state, width in states.items():
            fields[f"zoneout_{state}"] = draw_flags(rng, (T, N, width), rates.zoneout)
    if rates.weight_dropout:
        weight_mask = draw_mask(rng, w_hh.shape, rates.weight_dropout, dtype)
        weights = {**weights, "w_hh": multiply(w_hh, weight_mask)}
    return Drawn(weights, fields, weight_mask)
