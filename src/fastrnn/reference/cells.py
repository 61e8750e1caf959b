"""The mathematics of each cell: one step forward, one step backward.

A step knows nothing of time, lengths or weights. It is given the two parts of its
pre-activation,

    p = W_ih x_t + b_ih        [n, G*H]    from the input
    q = W_hh h_prev + b_hh     [n, G*H]    from the state

for ``n`` rows, and the previous state: ``(h,)``, or ``(h, c)`` for LSTM, each
``[n, H]``. Backward returns the gradients ``dp`` and ``dq``, and the part of the
previous state's gradient that does not pass through ``q``.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from fastrnn._types import FloatArray

State: TypeAlias = tuple[FloatArray, ...]
Activation: TypeAlias = Callable[[FloatArray], FloatArray]
ActivationBack: TypeAlias = Callable[[FloatArray, FloatArray], FloatArray]


class Steps(NamedTuple):
    """A cell's two steps; gates are activated, and joined along the last axis."""

    # p, q, state_prev -> state, gates
    forward: Callable[[FloatArray, FloatArray, State], tuple[State, FloatArray]]
    # dstate, state, state_prev, gates, q -> dp, dq, direct
    backward: Callable[
        [State, State, State, FloatArray, FloatArray],
        tuple[FloatArray, FloatArray, State],
    ]


def sigmoid(z: FloatArray) -> FloatArray:
    """Return the logistic function; neither exponential can overflow."""
    s: FloatArray = np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))
    return s


def split(a: FloatArray, G: int) -> list[FloatArray]:
    return np.split(a, G, axis=-1)


def join(*gates: FloatArray) -> FloatArray:
    return np.concatenate(gates, axis=-1)


def make_rnn(act: Activation, act_back: ActivationBack) -> Steps:
    """Make ``h = act(p + q)``; ``act_back`` takes dh, and the result h.

    In the course's notation ``a<t> = tanh(W_aa a<t-1> + W_ax x<t> + b_a)``, in the
    textbooks' ``h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h)`` [1]_.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).
    """

    def forward(
        p: FloatArray, q: FloatArray, state_prev: State
    ) -> tuple[State, FloatArray]:
        h = act(p + q)
        return (h,), h

    def backward(
        dstate: State, state: State, state_prev: State, gates: FloatArray, q: FloatArray
    ) -> tuple[FloatArray, FloatArray, State]:
        (dh,), (h,) = dstate, state
        dz = act_back(dh, h)
        return dz, dz, (np.zeros_like(dh),)

    return Steps(forward, backward)


def gru_forward(
    p: FloatArray, q: FloatArray, state_prev: State
) -> tuple[State, FloatArray]:
    """Step a GRU, reset after the matrix product (gates r, z, n) [1]_ [2]_.

    The course's update gate is the complement (``Gamma_u = 1 - z``), and its reset is
    applied to the state before the product.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder
       for statistical machine translation", EMNLP 2014.
    .. [2] The form with the reset after the product: cuDNN, PyTorch ``nn.GRU``.
    """
    (h_prev,) = state_prev
    (p_r, p_z, p_n), (q_r, q_z, q_n) = split(p, 3), split(q, 3)
    r = sigmoid(p_r + q_r)
    z = sigmoid(p_z + q_z)
    n = np.tanh(p_n + r * q_n)
    h = (1 - z) * n + z * h_prev
    return (h,), join(r, z, n)


def gru_backward(
    dstate: State, state: State, state_prev: State, gates: FloatArray, q: FloatArray
) -> tuple[FloatArray, FloatArray, State]:
    (dh,), (h_prev,) = dstate, state_prev
    (r, z, n), (_, _, q_n) = split(gates, 3), split(q, 3)
    da_n = dh * (1 - z) * (1 - n * n)
    da_z = dh * (h_prev - n) * z * (1 - z)
    da_r = da_n * q_n * r * (1 - r)
    return join(da_r, da_z, da_n), join(da_r, da_z, da_n * r), (dh * z,)


def lstm_forward(
    p: FloatArray, q: FloatArray, state_prev: State
) -> tuple[State, FloatArray]:
    """Step an LSTM (gates i, f, g, o) [1]_ [2]_.

    In the course's notation ``i`` is ``Gamma_i`` (or ``Gamma_u``), ``f`` and ``o`` are
    ``Gamma_f`` and ``Gamma_o``, ``g`` is the candidate ``c~``, and ``h`` is ``a``.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation
       9 (1997).
    .. [2] The forget gate: F. A. Gers, J. Schmidhuber, F. Cummins, "Learning to
       forget", Neural Computation 12 (2000).
    """
    _, c_prev = state_prev
    z_i, z_f, z_g, z_o = split(p + q, 4)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    return (h, c), join(i, f, g, o)


def lstm_backward(
    dstate: State, state: State, state_prev: State, gates: FloatArray, q: FloatArray
) -> tuple[FloatArray, FloatArray, State]:
    (dh, dc), (_, c_prev) = dstate, state_prev
    i, f, g, o = split(gates, 4)
    tanh_c = np.tanh(f * c_prev + i * g)  # of c before zoneout
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    dz_i = dc * g * i * (1 - i)
    dz_f = dc * c_prev * f * (1 - f)
    dz_g = dc * i * (1 - g * g)
    dz_o = dh * tanh_c * o * (1 - o)
    dz = join(dz_i, dz_f, dz_g, dz_o)
    return dz, dz, (np.zeros_like(dh), dc * f)


def tanh(z: FloatArray) -> FloatArray:
    return np.tanh(z)


def tanh_back(dh: FloatArray, h: FloatArray) -> FloatArray:
    return dh * (1 - h * h)


def relu(z: FloatArray) -> FloatArray:
    return np.maximum(z, 0)


def relu_back(dh: FloatArray, h: FloatArray) -> FloatArray:
    """Select instead of multiplying, so that an infinite ``dh`` cannot pass as NaN."""
    return np.where(h <= 0, np.zeros_like(dh), dh)


def elu(z: FloatArray) -> FloatArray:
    """Return ``z`` above 0 and ``exp(z) - 1`` below (alpha = 1)."""
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


def elu_back(dh: FloatArray, h: FloatArray) -> FloatArray:
    dz: FloatArray = dh * (1 + np.minimum(h, 0))
    return dz


# By the cell's name and its nonlinearity, which the user chooses for an RNN only.
STEPS = {
    ("rnn", "tanh"): make_rnn(tanh, tanh_back),
    ("rnn", "relu"): make_rnn(relu, relu_back),
    ("rnn", "elu"): make_rnn(elu, elu_back),
    ("gru", "tanh"): Steps(gru_forward, gru_backward),
    ("lstm", "tanh"): Steps(lstm_forward, lstm_backward),
}
