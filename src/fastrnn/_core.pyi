"""The compiled part. Arguments are checked by the callers, not here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import BoolArray, FloatArray, IntArray, Sequence

def isa() -> str: ...
def available_isas() -> list[str]: ...
def select_isa(name: str) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def limit_threads(n: int) -> int: ...
def shrink_teams(members: int) -> None: ...
def use_openmp_of(path: str) -> bool: ...
def build_info() -> dict[str, Any]: ...
def draw_flags(state: NDArray[np.uint32], threshold: int, count: int) -> BoolArray: ...
def apply_math(name: str, x: FloatArray) -> FloatArray: ...
def set_sharing(way: str) -> None: ...

stepper_api: Any

class PackedLayers:
    def __init__(
        self,
        cell: str,
        *,
        nonlinearity: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        directions: int,
        bias: bool,
        bfloat16: bool,
        flat_params: FloatArray,
    ) -> None: ...
    def is_current(self) -> bool: ...
    def forward(
        self,
        T: int,
        N: int,
        x: FloatArray | None,
        tokens: IntArray | None,
        h0: FloatArray | None,
        c0: FloatArray | None,
        /,
    ) -> tuple[Any, Any, Any] | None: ...

# y, h_n, c_n, gates, and c (LSTM) or w_hn h + b_hn (GRU); None where there is none.
def rnn_forward(
    sequence: Sequence,
    packed: PackedLayers | None = None,
    layer_and_direction: int = 0,
) -> tuple[Any, Any, Any, Any, Any]: ...
def gru_forward(
    sequence: Sequence,
    packed: PackedLayers | None = None,
    layer_and_direction: int = 0,
) -> tuple[Any, Any, Any, Any, Any]: ...
def lstm_forward(
    sequence: Sequence,
    packed: PackedLayers | None = None,
    layer_and_direction: int = 0,
) -> tuple[Any, Any, Any, Any, Any]: ...

# The packed weights of a layer and direction; forward with others returns None.
class KeptLayer: ...

def rnn_keep(sequence: Sequence) -> KeptLayer: ...
def gru_keep(sequence: Sequence) -> KeptLayer: ...
def lstm_keep(sequence: Sequence) -> KeptLayer: ...
def rnn_forward_kept(
    sequence: Sequence, kept: KeptLayer
) -> tuple[Any, Any, Any, Any, Any] | None: ...
def gru_forward_kept(
    sequence: Sequence, kept: KeptLayer
) -> tuple[Any, Any, Any, Any, Any] | None: ...
def lstm_forward_kept(
    sequence: Sequence, kept: KeptLayer
) -> tuple[Any, Any, Any, Any, Any] | None: ...

# dx, dw_ih, dw_hh, db_ih, db_hh, dh0, dc0, dembedding, dh; None where there is none.
def rnn_backward(
    sequence: Sequence,
    y: FloatArray,
    gates: None,
    c: None,
    dy: FloatArray | None,
    dh_n: FloatArray | None,
    dc_n: None,
    dc: None,
    return_dh: bool,
    wanted: int,
) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]: ...
def gru_backward(
    sequence: Sequence,
    y: FloatArray,
    gates: FloatArray,
    c: FloatArray,
    dy: FloatArray | None,
    dh_n: FloatArray | None,
    dc_n: None,
    dc: None,
    return_dh: bool,
    wanted: int,
) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]: ...
def lstm_backward(
    sequence: Sequence,
    y: FloatArray,
    gates: FloatArray,
    c: FloatArray,
    dy: FloatArray | None,
    dh_n: FloatArray | None,
    dc_n: FloatArray | None,
    dc: FloatArray | None,
    return_dh: bool,
    wanted: int,
) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]: ...
def linear_forward(
    rows: int,
    I: int,
    O: int,
    x: FloatArray,
    w: FloatArray,
    b: FloatArray | None,
) -> FloatArray: ...
def linear_backward(
    rows: int,
    I: int,
    O: int,
    x: FloatArray,
    w: FloatArray,
    dy: FloatArray | None,
    bias: bool,
) -> tuple[FloatArray, FloatArray, FloatArray | None]: ...
def linear_cross_entropy(
    rows: int,
    H: int,
    V: int,
    y: FloatArray,
    w: FloatArray,
    b: FloatArray | None,
    targets: IntArray,
    scale: float,
    want_dy: bool,
    want_dw: bool,
    want_db: bool,
    threads: int,
) -> tuple[FloatArray, Any, Any, Any]: ...

# u, m, v and the rule's constants by name, as in register_optim.cpp.
def optimizer_step(rule: str, **arguments: Any) -> None: ...
def sum_of_squares(a: FloatArray) -> float: ...
def scale(a: FloatArray, factor: float) -> None: ...
def clip(a: FloatArray, bound: float) -> None: ...
