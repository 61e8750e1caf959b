"""Nodes RNN, GRU and LSTM of ONNX: what they ask for, and their weights as ours.

ONNX keeps the gates of an LSTM in the order i, o, f, c and those of a GRU in z, r, h.
Its directions are one axis ``D`` of every array.

References
----------
ONNX Operators, https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._cells import CELLS
from fastrnn._convert.build import refuse
from fastrnn._gate.arguments import (
    check_any_floating,
    check_floating,
    check_rank,
    check_shape,
    require_positive,
)

INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
OPERATORS = {"RNN": "rnn", "GRU": "gru", "LSTM": "lstm"}
DIRECTIONS = {
    "forward": (False,),
    "reverse": (True,),
    "bidirectional": (False, True),
}
# The places of our gates in ONNX's order.
ORDERS = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 2, 3, 1)}
ACTIVATIONS = {"rnn": ("tanh",), "gru": ("sigmoid", "tanh")}
ACTIVATIONS["lstm"] = ("sigmoid", "tanh", "tanh")
PEEPHOLES = (0, 2, 1)  # i, o, f in ONNX; to ours and back


class Node(NamedTuple):
    """The options of a node."""

    where: str  # begins messages
    cell: str
    reverse: tuple[bool, ...]  # of each direction
    nonlinearities: tuple[str, ...]  # of each direction
    batch_first: bool
    variant: dict[str, Any]  # further options, of functions and layers alike


def attributes_of(node: Any) -> dict[str, Any]:
    """Return the attributes of a ``NodeProto`` by name; bytes become text."""
    found: dict[str, Any] = {}
    for a in node.attribute:
        fields = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}
        value = getattr(a, fields[a.type]) if a.type in fields else a
        if a.type in (6, 7, 8):
            value = list(value)
        if a.type in (3, 8):
            value = value.decode() if a.type == 3 else [text.decode() for text in value]
        found[a.name] = value
    return found


def name_of(node: Any) -> str:
    return str(node.name or node.op_type)


def is_recurrent(node: Any) -> bool:
    return node.op_type in OPERATORS and node.domain in ("", "ai.onnx")


def read_node(node: Any) -> Node:
    """Return the options of a node; refuse those that there is no kernel for."""
    where, cell = name_of(node), OPERATORS[node.op_type]
    given = attributes_of(node)
    direction = given.get("direction", "forward")
    if direction not in DIRECTIONS:
        refuse(where, "direction", tuple(DIRECTIONS), repr(direction))
    if (layout := given.get("layout", 0)) not in (0, 1):
        refuse(where, "layout", (0, 1), layout)
    reverse = DIRECTIONS[direction]
    nonlinearities = read_activations(where, cell, given, len(reverse))
    if "clip" in given:
        refuse(where, "clip", "none", given["clip"])
    variant: dict[str, Any] = {}
    if cell == "lstm" and given.get("input_forget", 0):
        variant["coupled"] = True
    if cell == "gru" and not given.get("linear_before_reset", 0):
        variant["reset"] = "before"
    return Node(where, cell, reverse, nonlinearities, layout == 1, variant)


def read_activations(
    where: str, cell: str, given: dict[str, Any], directions: int
) -> tuple[str, ...]:
    """Return the nonlinearity of each direction."""
    defaults = ACTIVATIONS[cell]
    names = [name.lower() for name in given.get("activations", ())]
    names = names or list(defaults) * directions
    n = len(defaults)
    if len(names) != n * directions:
        raise ValueError(
            f"{where}: activations: expected {n * directions} names, got {len(names)}"
        )
    if cell == "rnn":
        choices: tuple[str, ...] = CELLS["rnn"].nonlinearities
        for name in names:
            if name not in choices:
                refuse(where, "activations", choices, repr(name))
        if "elu" in names and any(a != 1 for a in given.get("activation_alpha", ())):
            refuse(where, "activation_alpha", 1.0, given["activation_alpha"])
        return tuple(names)
    for k in range(directions):
        if tuple(names[k * n : k * n + n]) != defaults:
            refuse(where, "activations", defaults, names)
    return ("tanh",) * directions


class Weights(NamedTuple):
    """The weights of one direction, as the functions take them."""

    w_ih: Any
    w_hh: Any
    b_ih: Any
    b_hh: Any
    peephole: Any = None


def read_weights(node: Node, W: Any, R: Any, B: Any, P: Any = None) -> list[Weights]:
    """Return the weights of each direction."""
    where, D, G = node.where, len(node.reverse), CELLS[node.cell].gates
    W = check_any_floating(f"{where}: W", W)
    R = check_floating(f"{where}: R", R, W.dtype, "W")
    _, _, I = check_rank(f"{where}: W", W, "(D, G*H, I)", 3)  # noqa: E741
    _, _, H = check_rank(f"{where}: R", R, "(D, G*H, H)", 3)
    require_positive(f"{where}: W", "(D, G*H, I)", "I", I, W)
    require_positive(f"{where}: R", "(D, G*H, H)", "H", H, R)
    check_shape(f"{where}: W", W, "(D, G*H, I)", (D, G * H, I))
    check_shape(f"{where}: R", R, "(D, G*H, H)", (D, G * H, H))
    if B is not None:
        B = check_floating(f"{where}: B", B, W.dtype, "W")
        check_shape(f"{where}: B", B, "(D, 2*G*H)", (D, 2 * G * H))
    if P is not None:
        P = check_floating(f"{where}: P", P, W.dtype, "W")
        check_shape(f"{where}: P", P, "(D, 3*H)", (D, 3 * H))

    def ordered(a: Any) -> Any:
        gates = a.reshape(G, H, *a.shape[1:])[list(ORDERS[node.cell])]
        return np.ascontiguousarray(gates.reshape(a.shape))

    return [
        Weights(
            ordered(W[d]),
            ordered(R[d]),
            None if B is None else ordered(B[d, : G * H]),
            None if B is None else ordered(B[d, G * H :]),
            None if P is None else P[d].reshape(3, H)[list(PEEPHOLES)],
        )
        for d in range(D)
    ]
