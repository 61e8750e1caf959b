"""The walk over layers and directions, forward and back.

Symbols: ``T`` time steps, ``N`` batch rows, ``H`` hidden units, ``D`` directions, ``L``
layers. Direction ``d`` of layer ``k`` is number ``i = k*D + d``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn._functional.recurrent import run_backward, run_forward
from fastrnn._gate.arguments import contiguous
from fastrnn._gate.layers import LayerCall
from fastrnn._gate.sequence import Upstream
from fastrnn._layers.masks import draw_mask, multiply
from fastrnn._layers.parameters import DIRECTIONS
from fastrnn._layers.regularisers import Rates, draw_call
from fastrnn._runtime import get_num_threads, run_side_by_side
from fastrnn._types import FloatArray, Sequence

if TYPE_CHECKING:
    from fastrnn._layers.recurrent import RecurrentLayer

# With fewer rows per thread than this, threads would have to meet at every step of a
# direction. If a direction has this many multiply-adds (half a millisecond's worth),
# handing it to another thread costs nothing in comparison, and each direction takes
# half of the threads.
ROWS_PER_THREAD = 4
WORTH_A_THREAD = 2e7


# The parameters that a layer may have beside its matrices.
MAY_BE_THERE = ("b_ih", "b_hh", "peephole", "projection")


class Record(NamedTuple):
    """The part of a call that backward needs."""

    tapes: list[Any]  # [L*D]
    weight_masks: list[FloatArray | None]  # [L*D]: factors of w_hh
    dropout_masks: list[FloatArray]  # [L-1] of [T, N, D*H]; empty without dropout
    shape: tuple[int, int, int]  # T, N, D*H (D*P with a projection)


def walk_forward(
    layer: RecurrentLayer[Any], call: LayerCall
) -> tuple[FloatArray, tuple[FloatArray, ...], Record]:
    """Return y, the final states [L*D, N, H], and the record."""
    T, N, D = call.T, call.N, layer._directions
    packed = None if layer.training else layer._packed.current(layer)
    rates = Rates(layer.recurrent_dropout, layer.zoneout, layer.weight_dropout)
    states = dict(zip(layer._row.states, layer._widths, strict=True))
    finals, tapes, dropout_masks, weight_masks = [], [], [], []
    x: Any = call.x
    tokens = call.tokens
    for k in range(layer.num_layers):
        if k > 0 and layer.training and layer.dropout > 0:
            mask = draw_mask(layer.rng, x.shape, layer.dropout, layer.dtype)
            dropout_masks.append(mask)
            x = multiply(x, mask)
        runs: list[Callable[[], Any]] = []
        for d in range(D):
            i = k * D + d
            drawn = draw_call(
                layer.rng, rates, layer._weights[i], (T, N), states, layer.training
            )
            weight_masks.append(drawn.weight_mask)
            s = describe(layer, call, x, tokens, i, drawn.weights, drawn.fields)
            runs.append(partial(run_forward, s, packed, i))
        outputs = []
        for y, final, tape in run_directions(layer, runs, T, N):
            outputs.append(y)
            finals.append(final)
            tapes.append(tape)
        x = outputs[0] if D == 1 else np.concatenate(outputs, axis=2)
        tokens = None
    return x, stack(finals), Record(tapes, weight_masks, dropout_masks, x.shape)


def describe(
    layer: RecurrentLayer[Any],
    call: LayerCall,
    x: FloatArray | None,
    tokens: Any,
    i: int,
    weights: dict[str, FloatArray],
    regularisers: dict[str, Any],
) -> Sequence:
    """Return the call of layer and direction ``i``."""
    h0, c0 = (*(None if a is None else a[i] for a in call.initial), None)[:2]
    T, N, H = call.T, call.N, layer.hidden_size
    w_ih, w_hh = weights["w_ih"], weights["w_hh"]
    b_ih, b_hh, peephole, projection = map(weights.get, MAY_BE_THERE)
    I = w_ih.shape[1]  # noqa: E741
    cell, G, dtype = layer._cell, layer._row.gates, layer.dtype
    V = 0 if tokens is None else I
    reverse = i % layer._directions == 1
    (nonlinearity, reset, coupled), P = layer._cell_options(), layer._widths[0]
    # By position, as in `fastrnn._gate.sequence.check_forward`.
    s = Sequence(
        cell, T, N, I, H, G, V, dtype, x, tokens, w_ih, w_hh, b_ih, b_hh, h0, c0,
        nonlinearity, reset, coupled, peephole, projection, P,
        call.lengths, call.padding, call.resets, reverse, None, layer.training,
    )  # fmt: skip
    return s._replace(**regularisers) if regularisers else s


def walk_back(
    layer: RecurrentLayer[Any],
    record: Record,
    dy: FloatArray | None,
    upstream: list[FloatArray | None],
    dh: dict[str, FloatArray] | None = None,
) -> tuple[FloatArray | None, tuple[FloatArray, ...]]:
    """Add to the layer's gradients; return dx and those of the initial states.

    Gradients are added when all are there: what is interrupted adds nothing. ``dh``, if
    given, is filled with the gradients that reach the states.
    """
    P, D = layer._widths[0], layer._directions
    T, N, _ = record.shape
    dinitials: list[tuple[FloatArray, ...]] = [()] * len(record.tapes)
    dweights: list[dict[str, Any]] = [{}] * len(record.tapes)
    for k in reversed(range(layer.num_layers)):
        dx: Any = None
        runs: list[Callable[[], Any]] = []
        for d in range(D):
            i = k * D + d
            dy_d = None if dy is None else contiguous(dy[:, :, d * P : (d + 1) * P])
            dh_n, dc_n = (*(None if a is None else a[i] for a in upstream), None)[:2]
            up = Upstream(dy_d, dh_n, dc_n, dh is not None)
            runs.append(partial(run_backward, record.tapes[i], up))
        for d, g in enumerate(run_directions(layer, runs, T, N)):
            i = k * D + d
            dinitials[i] = tuple(getattr(g, f"d{s}0") for s in layer._row.states)
            if dh is not None:
                dh[f"l{k}{DIRECTIONS[d]}"] = g.dh
            weight_mask = record.weight_masks[i]
            if weight_mask is not None:
                np.multiply(g.dw_hh, weight_mask, out=g.dw_hh)
            dweights[i] = {name: getattr(g, f"d{name}") for name in layer._dweights[i]}
            dx = g.dx if dx is None else np.add(dx, g.dx, out=dx)
        if k > 0 and record.dropout_masks:
            dx *= record.dropout_masks[k - 1]
        dy = dx
    with layer._adding:
        for totals, new in zip(layer._dweights, dweights, strict=True):
            for name, total in totals.items():
                total += new[name]
    return dy, stack(dinitials)


def run_directions(
    layer: RecurrentLayer[Any], runs: list[Callable[[], Any]], T: int, N: int
) -> list[Any]:
    """Return the results of the runs of one layer's directions.

    Two directions run side by side, with half of the threads each, if the rows do not
    fill the threads; the bits are the same, as for every number of threads.
    """
    if len(runs) == 2:
        threads = get_num_threads()
        work = T * N * layer._row.gates * layer.hidden_size**2  # about, per direction
        few = threads > 1 and threads * ROWS_PER_THREAD > N
        if few and work > WORTH_A_THREAD:
            return run_side_by_side(*runs)
    return [run() for run in runs]


def stack(states: list[tuple[FloatArray, ...]]) -> tuple[FloatArray, ...]:
    """Return the states [N, H] of all layers and directions as [L*D, N, H]."""
    return tuple(
        a[0][np.newaxis] if len(a) == 1 else np.stack(a)
        for a in zip(*states, strict=True)
    )
