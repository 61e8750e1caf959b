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
    """A forward call after the gate: every argument checked and normalised.

    Fields go by name everywhere, in C++ too (csrc/bindings). Arrays are aligned and
    C-contiguous. ``tokens``, ``lengths`` and ``resets`` are private copies, so that no
    caller can change an index after its check; the floating arrays are the caller's
    own unless a copy was needed. `fastrnn.torch` puts addresses in place of arrays.
    """

    cell: str  # a name of fastrnn._cells.CELLS
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
    b_ih: FloatArray | None = None  # [G*H]
    b_hh: FloatArray | None = None  # [G*H]
    h0: FloatArray | None = None  # [N, H]
    c0: FloatArray | None = None  # [N, H]
    nonlinearity: str = "tanh"  # or "relu" or "elu" (RNN)
    reset: str = "after"  # or "before" (GRU)
    coupled: bool = False  # f = 1 - i (LSTM)
    peephole: FloatArray | None = None  # [3, H] (LSTM)
    projection: FloatArray | None = None  # [P, H] (LSTM)
    P: int = 0  # the width of h, with a projection; else it is H
    lengths: IntArray | None = None  # [N], each 0..T
    padding: str = "right"  # or "left"
    resets: BoolArray | None = None  # [T, N]
    reverse: bool = False
    embedding: FloatArray | None = None  # [V, I]
    training: bool = True
    recurrent_mask: FloatArray | None = None  # [N, H]
    zoneout_h: BoolArray | None = None  # [T, N, H]: where h keeps its old value
    zoneout_c: BoolArray | None = None  # [T, N, H]: the same for c, with zoneout_h
    zoneout_rate: float = 0.0  # the expectation instead of masks
    layout: str = "time"  # or "batch": [N, T, ...], or "packed" (fastrnn.torch only)
    threads: int = 0  # 0: as many as set_num_threads allows

    @property
    def width(self) -> int:
        """That of h: H, or P with a projection."""
        return self.H if self.projection is None else self.P


def valid_steps(T: int, N: int, lengths: IntArray | None, padding: str) -> BoolArray:
    """Return bool [T, N]: True where a step is not padding."""
    if lengths is None:
        return np.ones((T, N), dtype=np.bool_)
    t = np.arange(T)[:, None]
    return t < lengths if padding == "right" else t >= T - lengths
