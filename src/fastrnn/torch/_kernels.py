"""From tensors to the compiled functions and back, by address: nothing is copied.

One layer, one direction. ``mode`` is PyTorch's: RNN_TANH, RNN_RELU, GRU, LSTM; or
GRU_BEFORE, a GRU with the reset before the matrix product, as Keras has it.
``layout`` says what the leading sizes of ``x``, ``y`` and all between them are:

========  =============  ===========================================================
"time"    ``[T, N, …]``  ``lengths [N]`` or None
"batch"   ``[N, T, …]``  ``lengths [N]`` or None
"packed"  ``[rows, …]``  ``lengths`` is PyTorch's ``batch_sizes [T]``
========  =============  ===========================================================

States are ``[1, N, H]``. ``resets`` has the leading sizes of ``x``. The callers have
checked devices, dtypes and the shapes of floating tensors. What the kernels index by
(``lengths``, ``batch_sizes``, ``resets``) is copied and checked here, every time, and
so is whether tensors still have their memory.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, from_numpy, get_num_threads

from fastrnn import _core
from fastrnn._cells import CELLS, Cell
from fastrnn._gate.sequence import check_lengths
from fastrnn._types import DType, Sequence
from fastrnn._types.results import clear_padding
from fastrnn.torch import _weight_cache


class Mode(NamedTuple):
    """The cell and its options that a mode stands for."""

    cell: Cell
    nonlinearity: str = "tanh"
    reset: str = "after"

    @property
    def gated(self) -> bool:
        """Whether the tape has gates and c."""
        return self.cell.gates > 1


MODES = {
    "RNN_TANH": Mode(CELLS["rnn"]),
    "RNN_RELU": Mode(CELLS["rnn"], "relu"),
    "GRU": Mode(CELLS["gru"]),
    "GRU_BEFORE": Mode(CELLS["gru"], reset="before"),
    "LSTM": Mode(CELLS["lstm"]),
}
DTYPES: dict[torch.dtype, DType] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}

LOW = 1 << 32  # addresses below it are looked at


def forward(
    mode: str,
    layout: str,
    reverse: bool,
    training: bool,
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    h0: Tensor | None,
    c0: Tensor | None,
    lengths: Tensor | None,
    resets: Tensor | None,
    cache: _weight_cache.Cache | None = None,
    k: int = 0,
) -> tuple[Any, ...]:
    """Return y, h_n, c_n, gates and c; None where there is none.

    ``training`` asks for gates and c, which `backward` needs. c is LSTM's cell state at
    every step, and for GRU ``w_hn h + b_hn`` (``r h`` with the reset before).
    ``cache[k]`` may hold packed weights.
    """
    sequence, _alive = describe(
        mode,
        layout,
        reverse,
        training,
        x,
        w_ih,
        w_hh,
        b_ih,
        b_hh,
        h0,
        c0,
        lengths,
        resets,
    )
    y, h_n, c_n, gates, c = (
        _core.forward(sequence)
        if cache is None
        else _weight_cache.forward(sequence, cache, k)
    )
    if lengths is not None and layout != "packed":
        for a in (gates, c):
            if a is not None:
                clear_padding(a, sequence)
    return (
        from_numpy(y),
        from_numpy(h_n[None]),
        None if c_n is None else from_numpy(c_n[None]),
        None if gates is None else from_numpy(gates),
        None if c is None else from_numpy(c),
    )


def backward(
    mode: str,
    layout: str,
    reverse: bool,
    wanted: int,
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    h0: Tensor | None,
    c0: Tensor | None,
    lengths: Tensor | None,
    resets: Tensor | None,
    y: Tensor,
    gates: Tensor | None,
    c: Tensor | None,
    dy: Tensor | None,
    dh_n: Tensor | None,
    dc_n: Tensor | None,
    dc: Tensor | None,
) -> tuple[Any, ...]:
    """Return dx, dw_ih, dw_hh, db_ih, db_hh, dh0, dc0; None where there is none.

    The bits of ``wanted`` ask for the first five, in that order; the others are not
    computed.
    """
    sequence, _alive = describe(
        mode, layout, reverse, True, x, w_ih, w_hh, b_ih, b_hh, h0, c0, lengths, resets
    )
    if layout == "packed":
        require_rows(sequence.N, dh_n=dh_n, dc_n=dc_n)
    # What came back may be a negated view; what forward got or made is none.
    dy, dh_n, dc_n, dc = (
        None if a is None else a.resolve_neg() for a in (dy, dh_n, dc_n, dc)
    )
    addresses, _others = locate(
        y=y, gates=gates, c=c, dy=dy, dh_n=dh_n, dc_n=dc_n, dc=dc
    )
    dx, dw_ih, dw_hh, db_ih, db_hh, dh0, dc0, *_ = _core.backward(
        sequence, wanted, False, *addresses
    )
    return (
        None if dx is None else from_numpy(dx),
        None if dw_ih is None else from_numpy(dw_ih),
        None if dw_hh is None else from_numpy(dw_hh),
        None if db_ih is None else from_numpy(db_ih),
        None if db_hh is None else from_numpy(db_hh),
        from_numpy(dh0[None]),
        None if dc0 is None else from_numpy(dc0[None]),
    )


def describe(
    mode: str,
    layout: str,
    reverse: bool,
    training: bool,
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    h0: Tensor | None,
    c0: Tensor | None,
    lengths: Any,
    resets: Any,
) -> tuple[Sequence, list[Tensor | None]]:
    """Return the call, with addresses for arrays, and the tensors that own them."""
    cell, nonlinearity, reset = MODES[mode]
    at, alive = locate(x=x, w_ih=w_ih, w_hh=w_hh, b_ih=b_ih, b_hh=b_hh, h0=h0, c0=c0)
    if layout == "packed":
        lengths = check_batch_sizes(lengths, x.shape[0])
    T, N, I = sizes(layout, x, lengths)  # noqa: E741
    if layout == "packed":
        require_rows(N, h0=h0, c0=c0)
    elif lengths is not None:
        lengths = check_lengths(lengths.detach().cpu().numpy(), T, N)
    if resets is not None:
        resets = check_resets(resets, x)
    sequence = Sequence(
        cell=cell.name, T=T, N=N, I=I, H=w_hh.shape[1], G=cell.gates, V=0,
        dtype=DTYPES[x.dtype], x=at[0], tokens=None,
        w_ih=at[1], w_hh=at[2], b_ih=at[3], b_hh=at[4], h0=at[5], c0=at[6],
        nonlinearity=nonlinearity, reset=reset, lengths=lengths, resets=resets,
        reverse=reverse, training=training, layout=layout, threads=get_num_threads(),
    )  # fmt: skip
    return sequence, alive


def locate(**tensors: Tensor | None) -> tuple[list[Any], list[Tensor | None]]:
    """Return addresses of contiguous tensors, and these tensors; None for None."""
    at: list[Any] = []
    alive: list[Tensor | None] = []
    for name, a in tensors.items():
        if a is None:
            at.append(None)
        else:
            # Without memory, an offset is all that is left of an address.
            if a.data_ptr() < LOW:
                require_storage(name, a)
            a = a.contiguous()
            at.append(a.data_ptr())
        alive.append(a)
    return at, alive


def require_storage(name: str, a: Tensor) -> None:
    """Refuse a tensor whose memory was given back, as sharded training does."""
    needed = 0
    if a.numel() > 0:
        last = sum((n - 1) * step for n, step in zip(a.shape, a.stride(), strict=True))
        needed = (a.storage_offset() + last + 1) * a.element_size()
    found = a.untyped_storage().nbytes()
    if found < needed:
        raise RuntimeError(
            f"{name}: expected a tensor that has its memory, got {found} of {needed} "
            f"bytes"
        )


def require_rows(N: int, **states: Tensor | None) -> None:
    """Refuse batch sizes that were changed after the states were made."""
    for name, a in states.items():
        if a is not None and a.shape[1] != N:
            raise ValueError(
                f"batch_sizes: expected those of {name}, {a.shape[1]} rows, got {N}"
            )


def sizes(layout: str, x: Tensor, lengths: Any) -> tuple[int, int, int]:
    """Return T, N, I."""
    if layout == "time":
        T, N, I = x.shape  # noqa: E741
    elif layout == "batch":
        N, T, I = x.shape  # noqa: E741
    else:
        assert lengths is not None
        T, N, I = lengths.shape[0], int(lengths[0]), x.shape[1]  # noqa: E741
    return T, N, I


def check_batch_sizes(batch_sizes: Tensor, rows: int) -> Any:
    """Return a private copy."""
    found = batch_sizes.detach().cpu().numpy()
    if found.dtype.kind != "i" or found.ndim != 1:
        raise TypeError(
            f"batch_sizes: expected shape (T,) of a signed integer dtype, got shape "
            f"{found.shape} of {found.dtype}"
        )
    a = found.astype(np.int64)
    if not (
        a.size
        and a[0] <= rows  # then the sum cannot overflow
        and (a[1:] <= a[:-1]).all()
        and a[-1] >= 1
        and a.sum() == rows
    ):
        raise ValueError(
            "batch_sizes: expected positive, not increasing sizes whose sum is the "
            f"number of rows, {rows}, got {a.tolist()}"
        )
    return a


def check_resets(resets: Tensor, x: Tensor) -> Any:
    if resets.is_floating_point() or resets.is_complex():
        raise TypeError(f"resets: expected a bool or integer dtype, got {resets.dtype}")
    if resets.shape != x.shape[:-1]:
        raise ValueError(
            f"resets: expected the leading sizes of x, {tuple(x.shape[:-1])}, "
            f"got shape {tuple(resets.shape)}"
        )
    return np.array(resets.detach().cpu().numpy(), dtype=np.bool_, order="C")
