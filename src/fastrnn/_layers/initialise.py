"""First values of a layer's parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fastrnn._types import FloatArray

INITS = ("uniform", "keras", "identity")
PROJECTIONS = ("weight_ih", "weight_hr")


def initialise(
    params: Mapping[str, FloatArray],
    init: str,
    H: int,
    forget_gate: int | None,
    rng: np.random.Generator,
) -> None:
    """Give every parameter its first value, drawn in the order of ``params``.

    ``"uniform"``: all within ``-1/sqrt(H) .. 1/sqrt(H)``, as PyTorch.

    ``"keras"``: ``weight_ih`` and ``weight_hr`` Glorot uniform, ``weight_hh`` with
    orthonormal columns (over all gates together: the fans are ``I`` and ``G*H``),
    biases zero, but 1 in the forget gate of ``bias_ih``, if there is one.

    ``"identity"``: each gate's block of ``weight_hh`` the identity, biases zero (Le,
    Jaitly, Hinton, 2015, for ReLU networks), ``weight_ih`` as in ``"uniform"``.
    """
    for name, a in params.items():
        kind = name.rpartition("_l")[0]
        G = len(a) // H
        if init == "uniform" or (init == "identity" and kind in PROJECTIONS):
            a[...] = uniform(rng, 1 / math.sqrt(H), a.shape)
        elif kind in PROJECTIONS:
            a[...] = uniform(rng, math.sqrt(6 / sum(a.shape)), a.shape)
        elif kind == "weight_hh" and init == "keras":
            a[...] = orthogonal(rng, a.shape)
        elif kind == "weight_hh":
            a[...] = np.tile(np.eye(H, a.shape[1]), (G, 1))
        else:
            a[...] = 0
            if init == "keras" and kind == "bias_ih" and forget_gate is not None:
                a.reshape(G, H)[forget_gate] = 1


def uniform(
    rng: np.random.Generator, bound: float, shape: tuple[int, ...]
) -> FloatArray:
    return rng.uniform(-bound, bound, shape)


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Return a matrix with orthonormal columns, each such matrix as likely."""
    q, r = np.linalg.qr(rng.standard_normal(shape))
    # Without this the signs would be those of the algorithm (Mezzadri, 2007).
    signed: FloatArray = q * np.copysign(1.0, np.diagonal(r))
    return signed
