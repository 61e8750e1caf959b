"""Gradient clipping, in place."""

from __future__ import annotations

import math

from fastrnn import _core
from fastrnn._gate.arguments import check_flag, check_number
from fastrnn._gate.memory import Apart
from fastrnn._gate.training import check_arrays
from fastrnn._training.optim.targets import LayersOrArrays, arrays_of

APART = Apart()


def clip_grad_norm(
    grads: LayersOrArrays, max_norm: float, *, error_if_nonfinite: bool = True
) -> float:
    """Scale gradients so that their norm is at most ``max_norm``.

    The norm is that of all arrays together, as if they were one vector:
    ``sqrt(sum of squares)``. If ``max_norm / (norm + 1e-6)`` is below 1, every gradient
    is multiplied by it.

    Parameters
    ----------
    grads : layer, array, or sequence of layers and arrays
        Changed in place. A layer stands for its `flat_grads`. Arrays are float32 or
        float64, one dtype, C-contiguous, of any shape; no two of them share memory.
    max_norm : float
        At least 0; with infinity, the norm is only measured.
    error_if_nonfinite : bool
        Raise if the norm is NaN or infinite. If False, gradients are then scaled as in
        IEEE arithmetic: by NaN, or by 0 (infinity times 0 is NaN).

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        The norm is not finite, an array is read-only or strided, two share memory, or
        ``max_norm`` is negative. Then nothing is changed.
    RuntimeError
        An array that its layer has left, since the layer moved into a `Sequential`.

    Notes
    -----
    Squares are summed in float64, in an order that depends on the sizes alone, so the
    bits are the same for every instruction set and number of threads. The norm of
    float64 gradients overflows beyond 1e154.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural
    networks", 2013; the 1e-6 is that of ``torch.nn.utils.clip_grad_norm_``.

    Examples
    --------
    >>> grad = np.array([3.0, 4.0])
    >>> fastrnn.clip_grad_norm(grad, 1.0)
    5.0
    >>> grad.round(6)
    array([0.6, 0.8])
    """
    names, arrays, _ = check_arrays("grads", arrays_of("grads", grads, "flat_grads"))
    if len(arrays) > 1:
        APART.require(names, arrays, "", [])
    max_norm = check_number("max_norm", max_norm, infinite=True)
    error_if_nonfinite = check_flag("error_if_nonfinite", error_if_nonfinite)
    total = 0.0
    for name, a in zip(names, arrays, strict=True):
        squares = _core.sum_of_squares(a)
        total += squares
        if error_if_nonfinite and not math.isfinite(total):
            raise ValueError(f"{name}: expected a finite norm, got {squares**0.5}")
    norm = math.sqrt(total)
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:
        for a in arrays:
            _core.scale(a, factor)
    return norm


def clip_grad_value(grads: LayersOrArrays, clip_value: float) -> None:
    """Limit every gradient to ``[-clip_value, clip_value]``; NaN stays NaN.

    Parameters
    ----------
    grads : layer, array, or sequence of layers and arrays
        Changed in place. A layer stands for its `flat_grads`. Arrays are float32 or
        float64, one dtype, C-contiguous, of any shape; no two of them share memory.
    clip_value : float
        At least 0.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        An array is read-only or strided, two share memory, or ``clip_value`` is
        negative.
    RuntimeError
        An array that its layer has left, since the layer moved into a `Sequential`.

    Examples
    --------
    >>> grad = np.array([3.0, -0.5])
    >>> fastrnn.clip_grad_value(grad, 1.0)
    >>> grad
    array([ 1. , -0.5])
    """
    names, arrays, _ = check_arrays("grads", arrays_of("grads", grads, "flat_grads"))
    if len(arrays) > 1:
        APART.require(names, arrays, "", [])
    bound = check_number("clip_value", clip_value, infinite=True)
    for a in arrays:
        _core.clip(a, bound)
