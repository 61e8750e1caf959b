"""The mathematics of each cell: one step forward, one step backward.

A step knows nothing of time, lengths or weights. It is given the two parts of its
pre-activation,

    p = W_ih x_t + b_ih        [n, G*H]    from the input
    q = W_hh h_prev + b_hh     [n, G*H]    from the state

for ``n`` rows, and the previous state: ``(h,)``, or ``(h, c)`` for LSTM, each
``[n, H]``; with a projection h is ``[n, P]``. Backward returns the gradients ``dp`` and
``dq``, and the part of the previous state's gradient that does not pass through ``q``.

A cell may have its last block of ``W_hh`` multiply something else than the state: see
`Inner`.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from fastrnn._types import FloatArray, Sequence

State: TypeAlias = tuple[FloatArray, ...]
Activation: TypeAlias = Callable[[FloatArray], FloatArray]
ActivationBack: TypeAlias = Callable[[FloatArray, FloatArray], FloatArray]


class Inner(NamedTuple):
    """The operand of the last block of ``W_hh``, where that is not the state.

    ``h_in`` is what the other blocks multiply: the previous h, under its mask if there
    is one.
    """

    # p, q -> gates; the last block of q is not yet there
    gates: Callable[[FloatArray, FloatArray], FloatArray]
    # gates, h_in -> operand [n, H]
    operand: Callable[[FloatArray, FloatArray], FloatArray]
    # gradient of the operand, gates, h_in -> that of p and q, dh_in
    backward: Callable[
        [FloatArray, FloatArray, FloatArray], tuple[FloatArray, FloatArray]
    ]


class Steps(NamedTuple):
    """A cell's two steps; gates are activated, and joined along the last axis."""

    # p, q, state_prev -> state, gates
    forward: Callable[[FloatArray, FloatArray, State], tuple[State, FloatArray]]
    # dstate, state, state_prev, gates, q -> dp, dq, direct
    backward: Callable[
        [State, State, State, FloatArray, FloatArray],
        tuple[FloatArray, FloatArray, State],
    ]
    inner: Inner | None = None
    # dh, dp, state_prev, gates -> the gradients of the cell's own parameters, by name
    own: (
        Callable[[FloatArray, FloatArray, State, FloatArray], dict[str, FloatArray]]
        | None
    ) = None


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
    .. [2] The form with the reset after the product: cuDNN, PyTorch ``nn.GRU``. That
       before it is the paper's: `GRU_BEFORE`.
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


def gru_before_forward(
    p: FloatArray, q: FloatArray, state_prev: State
) -> tuple[State, FloatArray]:
    """Step a GRU, reset before the product; q's last block is ``W_hn (r h) + b``."""
    (h_prev,) = state_prev
    z_r, z_z, z_n = split(p + q, 3)
    r, z, n = sigmoid(z_r), sigmoid(z_z), np.tanh(z_n)
    return ((1 - z) * n + z * h_prev,), join(r, z, n)


def gru_before_backward(
    dstate: State, state: State, state_prev: State, gates: FloatArray, q: FloatArray
) -> tuple[FloatArray, FloatArray, State]:
    """Leave the gradient of r at 0, which comes through the product."""
    (dh,), (h_prev,) = dstate, state_prev
    r, z, n = split(gates, 3)
    da_n = dh * (1 - z) * (1 - n * n)
    da_z = dh * (h_prev - n) * z * (1 - z)
    da = join(np.zeros_like(r), da_z, da_n)
    return da, da, (dh * z,)


def reset_state(gates: FloatArray, h_in: FloatArray) -> FloatArray:
    operand: FloatArray = split(gates, 3)[0] * h_in
    return operand


def reset_backward(
    d: FloatArray, gates: FloatArray, h_in: FloatArray
) -> tuple[FloatArray, FloatArray]:
    r = split(gates, 3)[0]
    zeros = np.zeros_like(r)
    return join(d * h_in * r * (1 - r), zeros, zeros), d * r


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


def make_lstm(
    peephole: FloatArray | None, coupled: bool, projection: FloatArray | None = None
) -> Steps:
    """Make an LSTM with peepholes [1]_, coupled gates [2]_, a projection [3]_, or all.

    ``i`` and ``f`` see ``c_{t-1}``, ``o`` sees ``c_t``, each through a diagonal matrix;
    coupled, ``f = 1 - i``. With a projection ``h_t = w_hr (o tanh(c_t))``.

    References
    ----------
    .. [1] F. A. Gers, J. Schmidhuber, "Recurrent nets that time and count", IJCNN 2000;
       ONNX's ``LSTM`` with input ``P``.
    .. [2] K. Greff et al., "LSTM: a search space odyssey", IEEE TNNLS 28 (2017): CIFG;
       ONNX's ``input_forget``.
    .. [3] H. Sak, A. Senior, F. Beaufays, "Long short-term memory recurrent neural
       network architectures for large scale acoustic modeling", Interspeech 2014;
       PyTorch's ``proj_size``.
    """

    def peep(z: FloatArray, gate: int, c: FloatArray) -> FloatArray:
        """Add what gate i, f or o sees of c; its own adjoint."""
        return z if peephole is None else z + peephole[gate] * c

    def forward(
        p: FloatArray, q: FloatArray, state_prev: State
    ) -> tuple[State, FloatArray]:
        _, c_prev = state_prev
        z_i, z_f, z_g, z_o = split(p + q, 4)
        i, g = sigmoid(peep(z_i, 0, c_prev)), np.tanh(z_g)
        f = 1 - i if coupled else sigmoid(peep(z_f, 1, c_prev))
        c = f * c_prev + i * g
        o = sigmoid(peep(z_o, 2, c))
        h = o * np.tanh(c)
        return (h if projection is None else h @ projection.T, c), join(i, f, g, o)

    def backward(
        dstate: State, state: State, state_prev: State, gates: FloatArray, q: FloatArray
    ) -> tuple[FloatArray, FloatArray, State]:
        (dh, dc), (_, c_prev) = dstate, state_prev
        no_dh = np.zeros_like(dh)
        dh = dh if projection is None else dh @ projection
        i, f, g, o = split(gates, 4)
        tanh_c = np.tanh(f * c_prev + i * g)
        dz_o = dh * tanh_c * o * (1 - o)
        dc = peep(dc + dh * o * (1 - tanh_c * tanh_c), 2, dz_o)
        dz_i = dc * (g - c_prev if coupled else g) * i * (1 - i)
        dz_f = np.zeros_like(f) if coupled else dc * c_prev * f * (1 - f)
        dz_g = dc * i * (1 - g * g)
        dz = join(dz_i, dz_f, dz_g, dz_o)
        dc_prev = peep(dc * f, 0, dz_i)
        dc_prev = dc_prev if coupled else peep(dc_prev, 1, dz_f)
        return dz, dz, (no_dh, dc_prev)

    def own(
        dh: FloatArray, dz: FloatArray, state_prev: State, gates: FloatArray
    ) -> dict[str, FloatArray]:
        _, c_prev = state_prev
        i, f, g, o = split(gates, 4)
        dz_i, dz_f, _, dz_o = split(dz, 4)
        c = f * c_prev + i * g
        found: dict[str, FloatArray] = {}
        if peephole is not None:
            by_f = dz_f if coupled else dz_f * c_prev
            seen = dz_i * c_prev, by_f, dz_o * c
            found["dpeephole"] = np.stack([a.sum(axis=0) for a in seen])
        if projection is not None:
            found["dprojection"] = dh.T @ (o * np.tanh(c))
        return found

    return Steps(forward, backward, own=own)


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


RNN = {
    "tanh": make_rnn(tanh, tanh_back),
    "relu": make_rnn(relu, relu_back),
    "elu": make_rnn(elu, elu_back),
}
GRU_AFTER = Steps(gru_forward, gru_backward)
GRU_BEFORE = Steps(
    gru_before_forward,
    gru_before_backward,
    Inner(lambda p, q: sigmoid(p + q), reset_state, reset_backward),
)
LSTM = Steps(lstm_forward, lstm_backward)


def lstm_steps(s: Sequence) -> Steps:
    plain = s.peephole is None and s.projection is None and not s.coupled
    return LSTM if plain else make_lstm(s.peephole, s.coupled, s.projection)


# By the cell's name: what makes the steps for the options of a call.
STEPS: dict[str, Callable[[Sequence], Steps]] = {
    "rnn": lambda s: RNN[s.nonlinearity],
    "gru": lambda s: GRU_AFTER if s.reset == "after" else GRU_BEFORE,
    "lstm": lstm_steps,
}
