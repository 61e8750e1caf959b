"""The public functions: gate, walk, named results."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._cells import CELLS
from fastrnn._gate.sequence import Upstream, check_backward, check_forward
from fastrnn._types import BoolArray, FloatArray, Sequence
from fastrnn._types.results import (
    GRUGrads,
    GRUTape,
    LSTMGrads,
    LSTMTape,
    RNNGrads,
    RNNTape,
    Tape,
)
from fastrnn.reference.sequence import walk_back, walk_forward, weight_grads


def rnn_forward(
    x: ArrayLike,
    w_ih: FloatArray,
    w_hh: FloatArray,
    b_ih: FloatArray | None = None,
    b_hh: FloatArray | None = None,
    *,
    h0: FloatArray | None = None,
    nonlinearity: str = "tanh",
    lengths: ArrayLike | None = None,
    padding: str = "right",
    resets: ArrayLike | None = None,
    reverse: bool = False,
    embedding: FloatArray | None = None,
    training: bool = True,
    recurrent_mask: FloatArray | None = None,
    zoneout: BoolArray | float | None = None,
) -> tuple[FloatArray, FloatArray, RNNTape | None]:
    """Run a simple recurrent layer over whole sequences.

    ``h_t = act(w_ih x_t + b_ih + w_hh h_{t-1} + b_hh)`` for ``T`` steps, ``N`` rows,
    ``I`` inputs and ``H`` units. All floating arrays, given and returned, share one
    dtype, float32 or float64.

    Parameters
    ----------
    x : [T, N, I] floating, or [T, N] integer
        Integers are token ids: rows of ``embedding``, or one-hot inputs without it.
    w_ih : [H, I]
        The course's ``W_ax``.
    w_hh : [H, H]
        The course's ``W_aa``.
    b_ih, b_hh : [H], optional
        Their sum is the course's ``b_a``. None is zero.
    h0 : [N, H], optional
        The initial state; zeros if omitted.
    nonlinearity : {"tanh", "relu", "elu"}
        ``elu`` has alpha 1.
    lengths : [N] integer, optional
        Number of valid steps of each row, ``0 .. T`` in any order; the other steps are
        padding and are not read.
    padding : {"right", "left"}
        On which side the padding is.
    resets : [T, N] bool or integer, optional
        Where True, step ``t`` starts a new sequence: neither state nor gradient crosses
        between ``t-1`` and ``t``.
    reverse : bool
        Process time backwards, each row within its own valid steps.
    embedding : [V, I], optional
        With integer ``x``, the input is ``embedding[x]``.
    training : bool
        Whether to return a tape for backward.
    recurrent_mask : [N, H], optional
        A factor of ``h_{t-1}`` before it is multiplied by ``w_hh``, the same at every
        step of a row, across resets: recurrent dropout with zeros and ``1 / (1 - p)``
        [1]_.
    zoneout : [T, N, H] bool, or a number, optional
        Where True, a unit keeps its state from before the step (0 after a reset), and
        its gradient passes unchanged [2]_. A number ``0 <= p < 1`` gives the
        expectation, ``p h_{t-1} + (1-p) h_t``; only with ``training=False``.

    Returns
    -------
    y : [T, N, H]
        The state at every step, 0 on padding.
    h_n : [N, H]
        The state after each row's last step; the initial state if the row is empty.
    tape : RNNTape or None
        None with ``training=False``.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong.

    References
    ----------
    .. [1] Y. Gal, Z. Ghahramani, "A theoretically grounded application of dropout in
       recurrent neural networks", NIPS 2016.
    .. [2] D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden
       activations", ICLR 2017.
    """
    s = check_forward(
        "rnn", x, w_ih, w_hh, b_ih, b_hh, h0=h0,
        own=(nonlinearity, "after", False, None, None),
        lengths=lengths, padding=padding, resets=resets, reverse=reverse,
        embedding=embedding, training=training,
        recurrent_mask=recurrent_mask, zoneout=zoneout,
    )  # fmt: skip
    y, (h_n,), tape = run_forward(s)
    return y, h_n, tape


def gru_forward(
    x: ArrayLike,
    w_ih: FloatArray,
    w_hh: FloatArray,
    b_ih: FloatArray | None = None,
    b_hh: FloatArray | None = None,
    *,
    h0: FloatArray | None = None,
    reset: str = "after",
    lengths: ArrayLike | None = None,
    padding: str = "right",
    resets: ArrayLike | None = None,
    reverse: bool = False,
    embedding: FloatArray | None = None,
    training: bool = True,
    recurrent_mask: FloatArray | None = None,
    zoneout: BoolArray | float | None = None,
) -> tuple[FloatArray, FloatArray, GRUTape | None]:
    """Run a GRU over whole sequences.

    Parameters and returns are those of `rnn_forward`, with ``w_ih [3*H, I]``,
    ``w_hh [3*H, H]`` and biases ``[3*H]`` in the gate order r, z, n. ``reset`` is
    ``"after"`` the matrix product, as in PyTorch, or ``"before"`` it. For the equations
    see `fastrnn.reference.cells.gru_forward`.
    """
    s = check_forward(
        "gru", x, w_ih, w_hh, b_ih, b_hh, h0=h0,
        own=("tanh", reset, False, None, None),
        lengths=lengths, padding=padding, resets=resets, reverse=reverse,
        embedding=embedding, training=training,
        recurrent_mask=recurrent_mask, zoneout=zoneout,
    )  # fmt: skip
    y, (h_n,), tape = run_forward(s)
    return y, h_n, tape


def lstm_forward(
    x: ArrayLike,
    w_ih: FloatArray,
    w_hh: FloatArray,
    b_ih: FloatArray | None = None,
    b_hh: FloatArray | None = None,
    *,
    h0: FloatArray | None = None,
    c0: FloatArray | None = None,
    peephole: FloatArray | None = None,
    projection: FloatArray | None = None,
    coupled: bool = False,
    lengths: ArrayLike | None = None,
    padding: str = "right",
    resets: ArrayLike | None = None,
    reverse: bool = False,
    embedding: FloatArray | None = None,
    training: bool = True,
    recurrent_mask: FloatArray | None = None,
    zoneout: tuple[BoolArray, BoolArray] | float | None = None,
) -> tuple[FloatArray, tuple[FloatArray, FloatArray], LSTMTape | None]:
    """Run an LSTM over whole sequences.

    Parameters and returns are those of `rnn_forward`, with ``w_ih [4*H, I]``,
    ``w_hh [4*H, H]`` and biases ``[4*H]`` in the gate order i, f, g, o, an initial cell
    state ``c0 [N, H]``, and ``(h_n, c_n)`` for the final state. ``zoneout`` is a pair
    of masks, for h and for c; a unit of h that is not kept is computed from c without
    zoneout.

    ``peephole [3, H]`` holds diagonal weights of c in the gates i, f and o, in that
    order. With ``coupled`` the forget gate is ``f = 1 - i``; the arrays have four gates
    all the same, those of f are not read, and their gradients are 0. With ``projection
    [P, H]``, PyTorch's ``proj_size``, h is the projection of ``o tanh(c)``: h and all
    that belongs to it (``y``, ``h0``, ``h_n``, ``recurrent_mask``, the mask of zoneout,
    gradients) have ``P`` numbers in place of ``H``, and ``w_hh`` is ``[4*H, P]``. For
    the equations see `fastrnn.reference.cells.lstm_forward` and ``make_lstm`` there.
    """
    s = check_forward(
        "lstm", x, w_ih, w_hh, b_ih, b_hh, h0=h0, c0=c0,
        own=("tanh", "after", coupled, peephole, projection),
        lengths=lengths, padding=padding, resets=resets, reverse=reverse,
        embedding=embedding, training=training,
        recurrent_mask=recurrent_mask, zoneout=zoneout,
    )  # fmt: skip
    y, (h_n, c_n), tape = run_forward(s)
    return y, (h_n, c_n), tape


def rnn_backward(
    tape: RNNTape,
    dy: FloatArray | None = None,
    dh_n: FloatArray | None = None,
    *,
    return_dh: bool = False,
) -> RNNGrads:
    """Propagate gradients back through `rnn_forward`.

    Parameters
    ----------
    tape : RNNTape
        The tape of the forward call; it can be used again.
    dy : [T, N, H], optional
        Gradient of ``y``; its values on padding are not read.
    dh_n : [N, H], optional
        Gradient of ``h_n``.
    return_dh : bool
        Whether to return the total gradient that reaches each ``h_t`` as well.

    Returns
    -------
    RNNGrads
        Upstream gradients that were omitted count as zero.

    Raises
    ------
    TypeError
        A type or dtype is wrong, or the tape is of another cell.
    ValueError
        A shape is wrong.
    """
    up = check_backward("rnn", tape, dy, dh_n, return_dh=return_dh)
    grads: RNNGrads = run_backward(tape, up)
    return grads


def gru_backward(
    tape: GRUTape,
    dy: FloatArray | None = None,
    dh_n: FloatArray | None = None,
    *,
    return_dh: bool = False,
) -> GRUGrads:
    """Propagate gradients back through `gru_forward`; parameters as `rnn_backward`."""
    up = check_backward("gru", tape, dy, dh_n, return_dh=return_dh)
    grads: GRUGrads = run_backward(tape, up)
    return grads


def lstm_backward(
    tape: LSTMTape,
    dy: FloatArray | None = None,
    dh_n: FloatArray | None = None,
    dc_n: FloatArray | None = None,
    *,
    return_dh: bool = False,
) -> LSTMGrads:
    """Propagate gradients back through `lstm_forward`; parameters as `rnn_backward`.

    ``dc_n [N, H]`` is the gradient of ``c_n``; ``dc0`` is returned as well as ``dh0``.
    """
    up = check_backward("lstm", tape, dy, dh_n, dc_n, return_dh=return_dh)
    grads: LSTMGrads = run_backward(tape, up)
    return grads


def run_forward(s: Sequence) -> tuple[FloatArray, tuple[FloatArray, ...], Any]:
    """Run a checked call: return y, the final state's arrays, and the tape or None."""
    s = without_unread(s)
    (y, *c), finals, gates = walk_forward(s)
    return y, finals, CELLS[s.cell].tape(s, y, gates, *c) if s.training else None


def run_backward(tape: Tape, up: Upstream) -> Any:
    """Run a checked backward call; return the cell's gradients."""
    s = tape.sequence
    cell = CELLS[s.cell]
    states = tape.y, *(getattr(tape, name) for name in cell.states[1:])
    a = walk_back(s, states, tape.gates, up)
    initial = {f"d{k}0": da for k, da in zip(cell.states, a.dinitial, strict=True)}
    dh = a.dh if up.return_dh else None
    weights = {"dpeephole": s.peephole, "dprojection": s.projection}
    own = {  # zeros where there are no steps
        name: a.own.get(name, np.zeros_like(w))
        for name, w in weights.items()
        if w is not None
    }
    shared = weight_grads(s, a)
    if s.coupled:
        for g in (shared["dw_ih"], shared["dw_hh"], shared["db_ih"], shared["db_hh"]):
            if g is not None:
                g[s.H : 2 * s.H] = 0  # NaN in x is none of theirs
    return cell.grads(**shared, **initial, **own, dh=dh)


def without_unread(s: Sequence) -> Sequence:
    """Return the call with zeros in what is not read: f's weights if it is coupled."""
    if not s.coupled:
        return s
    weights = {"w_ih": s.w_ih, "w_hh": s.w_hh, "b_ih": s.b_ih, "b_hh": s.b_hh}
    copies = {k: a.copy() for k, a in weights.items() if a is not None}
    for a in copies.values():
        a[s.H : 2 * s.H] = 0
    return s._replace(**copies)
