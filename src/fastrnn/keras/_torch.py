"""A layer's whole sequence, on tensors of PyTorch.

Keras's layers hold a state over masked steps, wherever they are. So each row's valid
steps are moved to its front, in their order; that is a sequence with lengths. Its
outputs are then picked for each step from there.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastrnn.keras._options import mode_of, why_left
from fastrnn.torch._dispatch import RUNNERS, choose

Results = tuple[Tensor, Tensor, list[Tensor]]  # last output, outputs, states


class Steps(NamedTuple):
    """A mask, as what the kernels need of it."""

    valid: Tensor  # bool [N, T]
    lengths: Tensor  # [N]: how many steps are valid
    order: Tensor  # [N, T]: the valid steps, then the masked ones


def run(
    layer: Any, sequences: Any, initial_state: Any, mask: Any, training: Any
) -> Results | None:
    """Return what ``layer.inner_loop`` is to return; None if that is left to Keras."""
    if why_left(layer, bool(training)) or is_exporting():
        return None
    nested = isinstance(initial_state, (list, tuple))
    states = list(initial_state) if nested else [initial_state]
    mask = mask[0] if isinstance(mask, (list, tuple)) and mask else mask
    weights = weights_of(layer.cell)
    if not fit(sequences, states, mask, weights):
        return None
    x = sequences if sequences.is_floating_point() else sequences.to(weights[0].dtype)
    given = [a for a in weights if a is not None]
    runner = RUNNERS[choose((x, *states, *given), () if mask is None else (mask,))]
    if runner is None:
        return None
    if training and layer.cell.dropout:
        x = x * layer.cell.get_dropout_mask(x[:, 0, :])[:, None]
    if layer.stateful:  # Keras writes into these
        states = [a.clone() for a in states]
    steps = None if mask is None else sort_steps(mask)
    lengths = None
    if steps is not None:
        x, lengths = pick(x, steps.order), steps.lengths
    h0, c0 = (*(a[None] for a in states), None)[:2]
    y, h_n, c_n, *_ = runner(
        mode_of(layer), "batch", bool(layer.go_backwards), False,
        x, *weights, h0, c0, lengths, None,
    )  # fmt: skip
    last, outputs = arrange(layer, y, h_n[0], steps)
    return last, outputs, [h_n[0]] if c0 is None else [h_n[0], c_n[0]]


def is_exporting() -> bool:
    """Whether a graph is recorded for programs that may have no fastrnn."""
    found: bool = getattr(torch.compiler, "is_exporting", bool)()
    return found


def weights_of(cell: Any) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Return a cell's weights as PyTorch has them: ``w_ih, w_hh, b_ih, b_hh``."""
    w_ih = turn(cell, cell.kernel.value.t())
    w_hh = turn(cell, cell.recurrent_kernel.value.t())
    if cell.bias is None:
        return w_ih, w_hh, None, None
    bias = cell.bias.value
    if bias.ndim == 1:
        return w_ih, w_hh, turn(cell, bias), None
    return w_ih, w_hh, turn(cell, bias[0]), turn(cell, bias[1])


def turn(cell: Any, a: Tensor) -> Tensor:
    """Return ``a`` with its gates in PyTorch's order: for a GRU z, r, n to r, z, n."""
    if not hasattr(cell, "reset_after"):
        return a.contiguous()
    z, r, n = a.chunk(3)
    return torch.cat((r, z, n))


def fit(x: Any, states: list[Any], mask: Any, weights: tuple[Any, ...]) -> bool:
    """Whether types and shapes are as they should be; Keras says what is not."""
    if not isinstance(x, Tensor) or x.ndim != 3 or 0 in x.shape:
        return False
    if x.shape[2] != weights[0].shape[1] or x.is_complex():
        return False
    state = x.shape[0], weights[1].shape[1]
    if not all(isinstance(a, Tensor) and a.shape == state for a in states):
        return False
    return mask is None or (isinstance(mask, Tensor) and mask.shape == x.shape[:2])


def sort_steps(mask: Tensor) -> Steps:
    valid = mask.bool()
    order = torch.argsort(~valid, dim=1, stable=True)
    return Steps(valid, valid.sum(1), order)


def pick(a: Tensor, steps: Tensor) -> Tensor:
    """Return ``a[n, steps[n, t]]`` for each row n and step t: [N, T, ...]."""
    N, T = steps.shape
    rows = steps + torch.arange(N, device=a.device)[:, None] * T
    return a.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, (N, T))


def arrange(
    layer: Any, y: Tensor, h_n: Tensor, steps: Steps | None
) -> tuple[Tensor, Tensor]:
    """Return the last output and all of them, in the order of processing.

    A masked step repeats the output before it, or is 0; so is one with none before it.
    """
    backwards, zero = layer.go_backwards, layer.zero_output_for_mask
    if not layer.return_sequences:
        if steps is not None:
            end = steps.valid[:, 0 if backwards else -1]
            kept = end if zero else steps.lengths > 0
            h_n = torch.where(kept[:, None], h_n, 0)
        return h_n, h_n[:, None]
    if steps is not None:
        y = pick(y, sources(steps, backwards, zero))
    outputs = y.flip(1) if backwards else y
    return outputs[:, -1], outputs


def sources(steps: Steps, backwards: bool, zero: bool) -> Tensor:
    """Return for each step where among the sorted ones its output is.

    A row with a masked step ends in padding, whose outputs are 0.
    """
    valid, T = steps.valid, steps.valid.shape[1]
    until = valid.cumsum(1)
    # Backwards in time, the step before a masked one is the next valid one.
    source = until - valid.long() if backwards else until - 1
    return torch.where(valid if zero else source >= 0, source, T - 1)
