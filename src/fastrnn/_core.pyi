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
def heed(flag: StopFlag | None) -> None: ...

# Handlers for XLA, by the names that fastrnn.jax registers them under.
def xla_handlers() -> dict[str, Any]: ...
def trim_memory() -> None: ...
def shrink_teams(members: int) -> None: ...
def take_largest_team() -> int: ...
def use_openmp_of(path: str) -> bool: ...
def build_info() -> dict[str, Any]: ...
def draw_flags(state: NDArray[np.uint32], threshold: int, count: int) -> BoolArray: ...
def apply_math(name: str, x: FloatArray) -> FloatArray: ...
def set_sharing(way: str) -> None: ...

# The table of cells: gates, and whether the state has c, by name.
def cells() -> dict[str, tuple[int, bool]]: ...

class StopFlag:
    def set(self) -> None: ...

# A context for sums of our own, whatever the caller's floating-point mode; not nested.
class RoundingToNearest:
    def __enter__(self) -> None: ...
    def __exit__(self, type: object, error: object, traceback: object) -> None: ...

rounding_to_nearest: RoundingToNearest

# For stepper.pyx: C++ enums as integers. ValueError for an unknown name.
def cell_kind(name: str) -> int: ...
def activation(name: str) -> int: ...

stepper_api: Any

class PackedLayers:
    def __init__(
        self,
        cell: str,
        *,
        nonlinearity: str = "tanh",
        reset: str = "after",
        coupled: bool = False,
        peephole: bool = False,
        proj_size: int = 0,
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

# y, h_n, c_n, gates and c (LSTM: the cell state; GRU: w_hn h + b_hn, or r h); None
# where a cell has none. ``sequence`` may be a plain tuple of the fields, arrays may be
# addresses.
def forward(
    sequence: Sequence | tuple[Any, ...],
    packed: PackedLayers | None = None,
    layer_and_direction: int = 0,
) -> tuple[Any, Any, Any, Any, Any]: ...

# The packed weights of one layer and direction. forward returns None if those of the
# sequence are others.
class PackedLayer:
    def __init__(self, sequence: Sequence | tuple[Any, ...], /) -> None: ...
    def forward(
        self, sequence: Sequence | tuple[Any, ...], /
    ) -> tuple[Any, Any, Any, Any, Any] | None: ...

# dx, dw_ih, dw_hh, db_ih, db_hh, dh0, dc0, dembedding, dh, dpeephole, dprojection; None
# where there is none. The bits of ``wanted`` ask for the first five.
def backward(
    sequence: Sequence | tuple[Any, ...],
    wanted: int,
    return_dh: bool,
    y: FloatArray | int,
    gates: FloatArray | int | None,
    c: FloatArray | int | None,
    dy: FloatArray | int | None,
    dh_n: FloatArray | int | None,
    dc_n: FloatArray | int | None,
    dc: FloatArray | int | None,
    /,
) -> tuple[Any, ...]: ...
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
    weights: FloatArray | None,
    smoothing: FloatArray | None,
    shares: FloatArray | None,
) -> tuple[FloatArray, Any, Any, Any]: ...

# The sum of weighted losses, and the gradient of y. Each weight is that of ``width``
# numbers.
def loss(
    rule: str,
    y: FloatArray,
    targets: FloatArray,
    weights: FloatArray | None,
    width: int,
    scale: float,
    parameter: float,
    /,
) -> tuple[float, FloatArray]: ...
def softmax(x: FloatArray, rows: int, width: int, log: bool, /) -> FloatArray: ...

# An id of each row of logits [N, V]; an int instead is the first row whose largest
# logit is not finite.
def draw_ids(
    logits: FloatArray,
    uniforms: NDArray[np.float64],
    temperature: float,
    top_k: int,
    top_p: float,
    /,
) -> IntArray | int: ...

# The loss of each row, and the gradient of the logits, times scale.
def ctc(
    logits: FloatArray,
    targets: IntArray,
    lengths: IntArray,
    target_lengths: IntArray,
    blank: int,
    scale: FloatArray,
    /,
) -> tuple[NDArray[np.float64], FloatArray]: ...

# u, m, v and the rule's constants by name, as in register_optim.cpp.
def optimizer_step(rule: str, *arguments: Any) -> None: ...
def sum_of_squares(a: FloatArray) -> float: ...
def scale(a: FloatArray, factor: float) -> None: ...
def clip(a: FloatArray, bound: float) -> None: ...
