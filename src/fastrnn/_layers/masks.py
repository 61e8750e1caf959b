"""Random masks: drawn for dropout, zoneout and their kin, and multiplied by."""

from __future__ import annotations

import math

import numpy as np

from fastrnn import _core
from fastrnn._types import BoolArray, DType, FloatArray


def draw_flags(rng: np.random.Generator, shape: tuple[int, ...], p: float) -> BoolArray:
    """Return True with probability ``p``, to the nearest 1/65536.

    ``rng`` seeds faster generators of our own, `csrc/kernels/random.cpp`.
    """
    state = rng.integers(0, 2**32 - 1, (4, 16), np.uint32, endpoint=True)
    threshold = min(round(p * 2**16), 2**16 - 1)
    flags = _core.draw_flags(state, threshold, math.prod(shape))
    return flags.reshape(shape)


def draw_mask(
    rng: np.random.Generator, shape: tuple[int, ...], p: float, dtype: DType
) -> FloatArray:
    """Return 0 or ``1 / (1 - p)`` for every element, to multiply by."""
    kept = rng.random(shape, np.float32) < 1 - p
    mask: FloatArray = np.multiply(kept, dtype.type(1 / (1 - p)))
    return mask


# NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
@np.errstate(all="ignore")
def multiply(a: FloatArray, b: FloatArray) -> FloatArray:
    return a * b
