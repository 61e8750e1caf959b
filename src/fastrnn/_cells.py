"""The table of cells: one row for each, for the compiled functions and the reference.

`docs/adding_a_cell.md` lists what else a cell needs.
"""

import functools
from typing import Any, NamedTuple

from fastrnn._types.results import (
    GRUGrads,
    GRUTape,
    LSTMGrads,
    LSTMTape,
    RNNGrads,
    RNNTape,
    Tape,
)


class Cell(NamedTuple):
    """The facts about a cell that the Python side needs."""

    name: str  # as in csrc/include/fastrnn/cells.h; the layer has it in capitals
    gates: int  # G
    states: tuple[str, ...]  # the arrays of a state; h comes first
    tape: type[Tape]
    grads: type[Any]
    nonlinearities: tuple[str, ...] = ("tanh",)  # that the user may choose from
    resets: tuple[str, ...] = ("after",)  # likewise
    forget_gate: int | None = None  # whose bias_ih starts at 1 with init="keras"


ALL = (
    Cell("rnn", 1, ("h",), RNNTape, RNNGrads, ("tanh", "relu", "elu")),
    Cell("gru", 3, ("h",), GRUTape, GRUGrads, resets=("after", "before")),
    Cell("lstm", 4, ("h", "c"), LSTMTape, LSTMGrads, forget_gate=1),
)
CELLS = {cell.name: cell for cell in ALL}


@functools.cache
def weight_symbols(gates: int) -> tuple[str, str, str]:
    """Return the shapes of w_ih, w_hh and the biases in symbols, for messages."""
    GH = "H" if gates == 1 else f"{gates}*H"
    return f"({GH}, I)", f"({GH}, H)", f"({GH},)"
