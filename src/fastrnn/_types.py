"""Types shared by the compiled functions and the reference. No compiled module here.

Symbols: ``T`` time steps, ``N`` batch rows, ``I`` inputs, ``H`` hidden units,
``G`` gates (1 RNN, 3 GRU, 4 LSTM), ``V`` vocabulary, ``O`` outputs of a linear layer.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
DType: TypeAlias = "np.dtype[np.floating[Any]]"


class Sequence(NamedTuple):
    """The arguments of a forward function after the gate: checked and normalised.

    Every array is aligned and C-contiguous. ``tokens``, ``lengths`` and ``resets``
    are private copies, so that no caller can change an index after it was checked;
    floating arrays are the caller's own unless a copy was needed.
    """

    cell: str  # "rnn", "gru" or "lstm"
    T: int
    N: int
    I: int  # noqa: E741 - the contract's symbol
    H: int
    G: int
    V: int  # rows of the table that tokens index; 0 with a floating x
    dtype: DType
    x: FloatArray | None  # [T, N, I]; None with tokens
    tokens: IntArray | None  # [T, N]; None with a floating x
    w_ih: FloatArray  # [G*H, I]
    w_hh: FloatArray  # [G*H, H]
    b_ih: FloatArray | None  # [G*H]
    b_hh: FloatArray | None  # [G*H]
    h0: FloatArray | None  # [N, H]
    c0: FloatArray | None  # [N, H]
    nonlinearity: str  # "tanh", "relu" or "elu"
    lengths: IntArray | None  # [N], each 0..T
    padding: str  # "right" or "left"
    resets: BoolArray | None  # [T, N]
    reverse: bool
    embedding: FloatArray | None  # [V, I]
    training: bool
    recurrent_mask: FloatArray | None  # [N, H]
    keep_h: BoolArray | None  # [T, N, H]: zoneout of h
    keep_c: BoolArray | None  # [T, N, H]: zoneout of c, together with keep_h
    zoneout_rate: float  # the expectation over masks; 0 with keep_h
    layout: str = "time"  # or "batch": [N, T, ...], or "packed" (fastrnn.torch alone)
    threads: int = 0  # 0: those of set_num_threads


def valid_steps(T: int, N: int, lengths: IntArray | None, padding: str) -> BoolArray:
    """Return bool [T, N]: True where a step is not padding."""
    if lengths is None:
        return np.ones((T, N), dtype=np.bool_)
    t = np.arange(T)[:, None]
    return t < lengths if padding == "right" else t >= T - lengths
