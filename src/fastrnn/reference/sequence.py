"""The walk over time, forward and backward, written once for all cells.

Padding is never read: each step takes out its valid rows and puts results back.
"""

from typing import NamedTuple, TypedDict

import numpy as np

from fastrnn._cells import CELLS
from fastrnn._gate.sequence import Upstream
from fastrnn._types import BoolArray, FloatArray, Sequence, valid_steps
from fastrnn.reference.cells import STEPS, State


class Walk(NamedTuple):
    """The order of steps, which of them are valid, and where the state is cut.

    Each row walks its own valid steps only. ``entering`` returns the state that a step
    starts with: that of the previous step, or the initial state at a row's first step.
    """

    order: range  # of t
    valid: BoolArray  # [T, N]
    cut: BoolArray  # [T, N]: step t starts with zeros, and no gradient leaves it

    def entering(self, states: FloatArray, initial: FloatArray, t: int) -> FloatArray:
        """Return [n, H] for the ``n`` rows that are valid at ``t``."""
        rows = self.valid[t]
        before = t - self.order.step
        entered: FloatArray = initial[rows]
        if 0 <= before < len(self.order):
            going = self.valid[before, rows]
            entered[going] = states[before, rows][going]
        entered[self.cut[t, rows]] = 0
        return entered


def make_walk(s: Sequence) -> Walk:
    """Make the walk; a reset at ``t`` cuts between ``t - 1`` and ``t`` either way.

    Forwards, step ``t`` is entered from ``t - 1``, so the cut is at ``t``. In reverse,
    step ``t - 1`` is entered from ``t``, so the cut is at ``t - 1``.
    """
    valid = valid_steps(s.T, s.N, s.lengths, s.padding)
    cut = np.zeros_like(valid)
    if s.resets is not None:
        starts = s.resets & valid
        if s.reverse:
            cut[:-1] = starts[1:]
        else:
            cut = starts
    order = range(s.T - 1, -1, -1) if s.reverse else range(s.T)
    return Walk(order, valid, cut)


def affine(x: FloatArray, w: FloatArray, b: FloatArray | None) -> FloatArray:
    """Return ``x w' + b``: [n, K] by [M, K] is [n, M]."""
    z: FloatArray = x @ w.T
    return z if b is None else z + b


def input_rows(s: Sequence, valid: BoolArray) -> FloatArray | None:
    """Return the valid inputs, [n, I] in C order of (t, n); None for one-hot tokens."""
    if s.x is not None:
        return s.x[valid]
    assert s.tokens is not None
    return None if s.embedding is None else s.embedding[s.tokens[valid]]


def input_product(s: Sequence, valid: BoolArray) -> FloatArray:
    """Return ``p`` of every valid step; a one-hot row picks a column of ``w_ih``."""
    x = input_rows(s, valid)
    if x is not None:
        return affine(x, s.w_ih, s.b_ih)
    assert s.tokens is not None
    p: FloatArray = s.w_ih.T[s.tokens[valid]]
    return p if s.b_ih is None else p + s.b_ih


def initial_state(s: Sequence) -> State:
    h0 = np.zeros((s.N, s.width), s.dtype) if s.h0 is None else s.h0
    c0 = np.zeros((s.N, s.H), s.dtype) if s.c0 is None else s.c0
    return (h0, c0)[: len(CELLS[s.cell].states)]


def recurrent_input(s: Sequence, h_prev: FloatArray, rows: BoolArray) -> FloatArray:
    """Return ``mask * h_prev``, which ``w_hh`` multiplies: [n, H]."""
    return h_prev if s.recurrent_mask is None else h_prev * s.recurrent_mask[rows]


def zoneout_masks(s: Sequence, t: int, rows: BoolArray) -> list[BoolArray]:
    """Return the masks at ``t`` of each array of the state, [n, H]; or none."""
    return [a[t, rows] for a in (s.zoneout_h, s.zoneout_c) if a is not None]


def zone_out(
    s: Sequence, state: State, state_prev: State, t: int, rows: BoolArray
) -> State:
    """Restore the old state where a mask says so, or mix it in at the given rate."""
    if s.zoneout_rate > 0:
        p = s.dtype.type(s.zoneout_rate)
        pairs = zip(state_prev, state, strict=True)
        return tuple(p * old + (1 - p) * new for old, new in pairs)
    masks = zoneout_masks(s, t, rows)
    return put_where(masks, state_prev, state) if masks else state


def put_where(masks: list[BoolArray], there: State, elsewhere: State) -> State:
    return tuple(map(np.where, masks, there, elsewhere))


# NaN and Inf in the data pass through as in IEEE arithmetic, without a warning.
@np.errstate(all="ignore")
def walk_forward(s: Sequence) -> tuple[State, State, FloatArray]:
    """Walk forward.

    Returns
    -------
    states : tuple of [T, N, H]
        ``(y,)`` or ``(y, c)``; 0 on padding.
    finals : tuple of [N, H]
        The state after each row's last step.
    gates : [T, N, G*H]
        0 on padding.
    """
    steps = STEPS[s.cell](s)
    walk = make_walk(s)
    initial = initial_state(s)
    states = tuple(np.zeros((s.T, *a.shape), s.dtype) for a in initial)
    finals = tuple(a.copy() for a in initial)
    gates = np.zeros((s.T, s.N, s.G * s.H), s.dtype)
    p = np.zeros_like(gates)
    p[walk.valid] = input_product(s, walk.valid)
    for t in walk.order:
        rows = walk.valid[t]
        state_prev = tuple(
            walk.entering(a, a0, t) for a, a0 in zip(states, initial, strict=True)
        )
        h_in = recurrent_input(s, state_prev[0], rows)
        q = affine(h_in, s.w_hh, s.b_hh)
        if steps.inner is not None:
            operand = steps.inner.operand(steps.inner.gates(p[t, rows], q), h_in)
            q[:, -s.H :] = last_block(s, operand)
        state, gates[t, rows] = steps.forward(p[t, rows], q, state_prev)
        state = zone_out(s, state, state_prev, t, rows)
        for a, a_n, a_t in zip(states, finals, state, strict=True):
            a[t, rows] = a_t
            a_n[rows] = a_t
    return states, finals, gates


def last_block(s: Sequence, operand: FloatArray) -> FloatArray:
    b = None if s.b_hh is None else s.b_hh[-s.H :]
    return affine(operand, s.w_hh[-s.H :], b)


class Adjoint(NamedTuple):
    """The gradients of a whole sequence; arrays over time are 0 on padding."""

    dp: FloatArray  # [T, N, G*H]
    dq: FloatArray  # [T, N, G*H]
    h_in: FloatArray  # [T, N, H], multiplied by w_hh at each step
    dh: FloatArray  # [T, N, H], the total gradient that reaches h_t
    dinitial: State  # each [N, H]
    last_in: FloatArray  # h_in, or what the last block of w_hh multiplied instead
    own: dict[str, FloatArray]  # gradients of parameters that this cell alone has


@np.errstate(all="ignore")
def walk_back(
    s: Sequence, states: State, gates: FloatArray, upstream: Upstream
) -> Adjoint:
    """Walk backward: the steps of forward in the opposite order."""
    steps = STEPS[s.cell](s)
    walk = make_walk(s)
    initial = initial_state(s)
    dp, dq = np.zeros_like(gates), np.zeros_like(gates)
    h_in, dh = np.zeros_like(states[0]), np.zeros_like(states[0])
    last_in: FloatArray = np.zeros_like(states[0])
    own: dict[str, FloatArray] = {}
    # The gradient of the state, carried back; at first, that of the final state.
    carried = tuple(
        np.zeros_like(a0) if a is None else a.copy()
        for a, a0 in zip((upstream.dh_n, upstream.dc_n), initial, strict=False)
    )
    for t in reversed(walk.order):
        rows = walk.valid[t]
        dstate = tuple(a[rows] for a in carried)
        if upstream.dy is not None:
            dstate = (dstate[0] + upstream.dy[t, rows], *dstate[1:])
        dh[t, rows] = dstate[0]
        state = tuple(a[t, rows] for a in states)
        state_prev = tuple(
            walk.entering(a, a0, t) for a, a0 in zip(states, initial, strict=True)
        )
        h_in[t, rows] = recurrent_input(s, state_prev[0], rows)
        q = affine(h_in[t, rows], s.w_hh, s.b_hh)
        # The gradient of a kept state bypasses the cell.
        zeros = tuple(np.zeros_like(a) for a in dstate)
        masks = zoneout_masks(s, t, rows)
        kept = put_where(masks, dstate, zeros) if masks else zeros
        dstate = put_where(masks, zeros, dstate) if masks else dstate
        dp_t, dq_t, direct = steps.backward(
            dstate, state, state_prev, gates[t, rows], q
        )
        last_in[t, rows] = h_in[t, rows]
        dh_in: FloatArray
        if steps.inner is None:
            dh_in = dq_t @ s.w_hh
        else:
            last_in[t, rows] = steps.inner.operand(gates[t, rows], h_in[t, rows])
            d = dq_t[:, -s.H :] @ s.w_hh[-s.H :]
            through, dh_in = steps.inner.backward(d, gates[t, rows], h_in[t, rows])
            dp_t, dq_t = dp_t + through, dq_t + through
            dh_in = dh_in + dq_t[:, : -s.H] @ s.w_hh[: -s.H]
        dp[t, rows], dq[t, rows] = dp_t, dq_t
        if steps.own is not None:
            for name, a in steps.own(
                dstate[0], dp_t, state_prev, gates[t, rows]
            ).items():
                own[name] = own.get(name, 0) + a
        through = recurrent_input(s, dh_in, rows)  # the mask is its own adjoint
        dprev = (direct[0] + through, *direct[1:])
        for a, a_t, kept_t in zip(carried, dprev, kept, strict=True):
            a[rows] = np.where(
                walk.cut[t, rows, None], np.zeros_like(a_t), a_t + kept_t
            )
    return Adjoint(dp, dq, h_in, dh, carried, last_in, own)


class WeightGrads(TypedDict):
    """The fields that the gradients of all cells share; see `RNNGrads`."""

    dx: FloatArray | None
    dw_ih: FloatArray
    dw_hh: FloatArray
    db_ih: FloatArray | None
    db_hh: FloatArray | None
    dembedding: FloatArray | None


@np.errstate(all="ignore")
def weight_grads(s: Sequence, adjoint: Adjoint) -> WeightGrads:
    """Return the gradients of input, weights and biases from those of p and q."""
    valid = valid_steps(s.T, s.N, s.lengths, s.padding)
    dp, dq, h_in = adjoint.dp[valid], adjoint.dq[valid], adjoint.h_in[valid]
    dw_hh = dq.T @ h_in
    dw_hh[-s.H :] = dq[:, -s.H :].T @ adjoint.last_in[valid]
    dx, dembedding = None, None
    x = input_rows(s, valid)
    if x is not None:
        dw_ih = dp.T @ x
        dx_rows = dp @ s.w_ih
        if s.tokens is None:
            dx = np.zeros((s.T, s.N, s.I), s.dtype)
            dx[valid] = dx_rows
        else:
            dembedding = np.zeros((s.V, s.I), s.dtype)
            np.add.at(dembedding, s.tokens[valid], dx_rows)
    else:
        assert s.tokens is not None
        dw_ih = np.zeros_like(s.w_ih)
        np.add.at(dw_ih.T, s.tokens[valid], dp)
    return {
        "dx": dx,
        "dw_ih": dw_ih,
        "dw_hh": dw_hh,
        "db_ih": None if s.b_ih is None else dp.sum(axis=0),
        "db_hh": None if s.b_hh is None else dq.sum(axis=0),
        "dembedding": dembedding,
    }
