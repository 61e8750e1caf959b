"""Single nodes of ONNX on the kernels.

`fastrnn.load_onnx` makes layers of a model's recurrent part, and `fastrnn.save_onnx`
writes a model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastrnn._cells import CELLS
from fastrnn._convert.onnx_nodes import (
    INPUTS,
    OPERATORS,
    Node,
    is_recurrent,
    name_of,
    read_node,
    read_weights,
)
from fastrnn._functional.recurrent import gru_forward, lstm_forward, rnn_forward
from fastrnn._gate.arguments import (
    check_any_floating,
    check_floating,
    check_rank,
    check_shape,
)
from fastrnn._gate.sequence import check_lengths

__all__ = ["run_node"]

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "rnn": rnn_forward,
    "gru": gru_forward,
    "lstm": lstm_forward,
}


def run_node(node: Any, *inputs: Any) -> tuple[Any, ...]:
    """Run an RNN, GRU or LSTM node as the ONNX standard defines it.

    Parameters
    ----------
    node : onnx.NodeProto
        An operator ``RNN``, ``GRU`` or ``LSTM``, of any direction and layout.
    *inputs : arrays
        One for each input that the node names, in order: ``X``, ``W``, ``R``, ``B``,
        ``sequence_lens``, ``initial_h``, and of an LSTM ``initial_c`` and ``P``. An
        input with an empty name is left out. Floating arrays share one dtype, float32
        or float64.

    Returns
    -------
    outputs : tuple of arrays
        One for each output that the node names: ``Y [T, D, N, H]``, ``Y_h [D, N, H]``,
        ``Y_c [D, N, H]``; with ``layout=1`` ``Y [N, T, D, H]`` and states
        ``[N, D, H]``. ``D`` is the number of directions. ``Y`` is 0 on padding.

    Raises
    ------
    TypeError
        It is no node, or the type or dtype of an input is wrong.
    ValueError
        Another operator, a wrong shape or value, or an option for which there is no
        kernel: ``clip``, and activations other than the defaults. An RNN may have Tanh,
        Relu, or Elu with alpha 1.

    Notes
    -----
    With ``input_forget=1`` the forget gate of an LSTM is ``f = 1 - i``; its weights are
    not read.

    References
    ----------
    ONNX Operators, https://onnx.ai/onnx/operators/
    """
    if not hasattr(node, "op_type") or not hasattr(node, "attribute"):
        raise TypeError(f"node: expected an onnx.NodeProto, got {type(node).__name__}")
    if not is_recurrent(node):
        raise ValueError(
            f"node: expected an operator {', '.join(OPERATORS)}, got {node.op_type}"
        )
    given = name_inputs(node, inputs)
    options = read_node(node)
    W, R, B, P = (given.get(name) for name in ("W", "R", "B", "P"))
    weights = read_weights(options, W, R, B, P)
    x, lengths, states = read_inputs(options, given, *weights[0][:2])
    found = [
        run_direction(options, d, x, w, lengths, [s[d] for s in states])
        for d, w in enumerate(weights)
    ]
    y = np.stack([y for y, _ in found], axis=1)
    finals = [np.stack(final) for final in zip(*(f for _, f in found), strict=True)]
    if options.batch_first:
        y = np.ascontiguousarray(y.transpose(2, 0, 1, 3))
        finals = [np.ascontiguousarray(a.swapaxes(0, 1)) for a in finals]
    every = (y, *finals)
    return tuple(a for a, name in zip(every, node.output, strict=False) if name)


def name_inputs(node: Any, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """Return the inputs by the names that they have in the standard."""
    known = INPUTS if node.op_type == "LSTM" else INPUTS[:6]
    if len(node.input) > len(known):
        raise ValueError(
            f"{name_of(node)}: expected at most {len(known)} inputs, "
            f"got {len(node.input)}"
        )
    names = [known for known, own in zip(known, node.input, strict=False) if own]
    if len(inputs) != len(names):
        raise TypeError(
            f"inputs: expected {len(names)} ({', '.join(names)}), got {len(inputs)}"
        )
    for name in INPUTS[:3]:
        if name not in names:
            raise ValueError(f"{name_of(node)}: expected an input {name}, got none")
    return dict(zip(names, inputs, strict=True))


def read_inputs(
    node: Node, given: dict[str, Any], w_ih: Any, w_hh: Any
) -> tuple[Any, Any, list[Any]]:
    """Return x ``[T, N, I]``, the lengths, and initial states ``[D, N, H]``."""
    where = node.where
    x = check_any_floating(f"{where}: X", given["X"])
    symbols = "(N, T, I)" if node.batch_first else "(T, N, I)"
    if check_rank(f"{where}: X", x, symbols, 3)[2] != w_ih.shape[1]:
        raise ValueError(
            f"{where}: X: expected shape {symbols} with I = {w_ih.shape[1]} (that of "
            f"W), got {x.shape}"
        )
    if node.batch_first:
        x = x.swapaxes(0, 1)
    T, N, _ = x.shape
    D, H = len(node.reverse), w_hh.shape[1]
    lengths = given.get("sequence_lens")
    if lengths is not None:
        try:
            lengths = check_lengths(lengths, T, N)
        except (TypeError, ValueError) as error:
            text = str(error).replace("lengths", f"{where}: sequence_lens", 1)
            raise type(error)(text) from None
    states = []
    for state in CELLS[node.cell].states:
        a = given.get(f"initial_{state}")
        if a is None:
            states.append([None] * D)
            continue
        name = f"{where}: initial_{state}"
        a = check_floating(name, a, x.dtype, "X")
        if node.batch_first:
            check_shape(name, a, "(N, D, H)", (N, D, H))
            a = a.swapaxes(0, 1)
        check_shape(name, a, "(D, N, H)", (D, N, H))
        states.append(a)
    return x, lengths, states


def run_direction(
    node: Node, d: int, x: Any, weights: Any, lengths: Any, states: list[Any]
) -> tuple[Any, tuple[Any, ...]]:
    """Return y ``[T, N, H]`` and the final states of one direction."""
    names = [f"{state}0" for state in CELLS[node.cell].states]
    more = {**node.variant, **dict(zip(names, states, strict=True))}
    if node.cell == "rnn":
        more["nonlinearity"] = node.nonlinearities[d]
    if weights.peephole is not None:
        more["peephole"] = weights.peephole
    y, final, _ = FUNCTIONS[node.cell](
        x, *weights[:4], **more,
        lengths=lengths, reverse=node.reverse[d], training=False,
    )  # fmt: skip
    return y, final if isinstance(final, tuple) else (final,)
