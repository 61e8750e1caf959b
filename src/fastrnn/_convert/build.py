"""What both conversions share: layers from arrays, and a model from layers.

Arrays have PyTorch's names and shapes here. ``where`` begins every message: the name of
the module or layer that something is wrong with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from fastrnn._gate.arguments import FLOATS, check_several, shown
from fastrnn._gate.layers import check_layer_dtype
from fastrnn._gate.training import as_array
from fastrnn._layers.base import Layer
from fastrnn._layers.cells import GRU, LSTM, RNN
from fastrnn._layers.embedding import Embedding
from fastrnn._layers.linear import Linear
from fastrnn._layers.parameters import Shapes, recurrent_shapes
from fastrnn._layers.sequential import Sequential
from fastrnn._types import DType

CELLS: dict[int, type[Any]] = {1: RNN, 3: GRU, 4: LSTM}  # by the number of gates
RECURRENT = re.compile(
    r"(?:(?:weight|bias)_(?:ih|hh|hr)|peephole)_l(0|[1-9][0-9]{0,8})(?:_reverse)?"
)
MOST_TRIES = 10_000  # of orders; a chain of layers takes a few
Arrays = dict[str, Any]


class Weights(NamedTuple):
    """The arrays of a layer, and what it is as far as they tell."""

    kind: str  # "recurrent", "linear", "embedding" or, one of the two, "matrix"
    arrays: Arrays
    reset: str = "after"  # of a GRU


def as_floating(where: str, value: Any, dtype: DType | None) -> Any:
    """Return an array, of ``dtype`` if that is given."""
    a = as_array(where, value)
    if dtype is not None and (a.dtype.kind == "f" or a.dtype.name == "bfloat16"):
        return a.astype(dtype)
    if a.dtype not in FLOATS:
        raise TypeError(f"{where}: expected float32 or float64, got {a.dtype}")
    return a


def check_target(dtype: Any) -> DType | None:
    return None if dtype is None else check_layer_dtype(dtype)


def refuse(
    where: str, option: str, expected: Any, got: Any, hint: str = ""
) -> NoReturn:
    """Raise for an option that cannot be honoured."""
    raise ValueError(f"{where}: {option}: expected {expected!r}, got {got}{hint}")


def recurrent(where: str, arrays: Arrays, **options: Any) -> Layer:
    """Return the layer that has these arrays, with the given options."""
    found = {name: RECURRENT.fullmatch(name) for name in arrays}
    for name, match in found.items():
        if not match:
            raise ValueError(
                f"{where}: expected weights of one recurrent module, "
                f"got {name} beside them"
            )
    w_ih, w_hh = arrays.get("weight_ih_l0"), arrays.get("weight_hh_l0")
    if w_ih is None or w_ih.ndim != 2 or w_hh is None or w_hh.ndim != 2:
        raise ValueError(f"{where}: expected weight_ih and weight_hh, both matrices")
    P = w_hh.shape[1]
    w_hr = arrays.get("weight_hr_l0")
    H = P if w_hr is None or w_hr.ndim != 2 else w_hr.shape[1]
    G, rest = divmod(len(w_hh), H) if H else (0, 0)
    if rest or G not in CELLS:
        raise ValueError(
            f"{where}: expected weight_hh (G*H, H) of 1, 3 or 4 gates, got {w_hh.shape}"
        )
    own: Shapes = {}
    if w_hr is not None and G == 4:
        own["weight_hr"] = (P, H)
        options["proj_size"] = P
    if options.get("peephole"):
        own["peephole"] = (3, H)
    layers = {int(match[1]) for match in found.values() if match}
    for k in range(len(layers)):
        if k not in layers:
            missing = f"weight_ih_l{k}"
            raise ValueError(f"{where}: expected {missing} too, got none")
    both = any(name.endswith("_reverse") for name in arrays)
    bias = any(name.startswith("bias") for name in arrays)
    shapes = recurrent_shapes(
        G, w_ih.shape[1], (H, P), len(layers), 1 + both, bias, own
    )
    check_arrays(where, arrays, shapes)
    if G != 1:
        options.pop("nonlinearity", None)
    if G != 3:
        options.pop("reset", None)
    if not w_ih.shape[1]:
        raise ValueError(f"{where}: expected inputs, got shape {w_ih.shape}")
    layer = CELLS[G](
        w_ih.shape[1],
        H,
        len(layers),
        bias=bias,
        bidirectional=both,
        dtype=w_ih.dtype,
        **options,
    )
    layer.load_state_dict(arrays)
    return layer  # type: ignore[no-any-return]


def feedforward(where: str, arrays: Arrays, *, embedding: bool = False) -> Layer:
    """Return `Linear`, or `Embedding`."""
    w = arrays.get("weight")
    if w is None or w.ndim != 2 or not w.size or arrays.keys() - {"weight", "bias"}:
        raise ValueError(
            f"{where}: expected weights of an RNN, GRU, LSTM, Linear or Embedding, "
            f"got {', '.join(arrays)}"
        )
    if embedding:
        check_arrays(where, arrays, {"weight": w.shape})
        layer: Layer = Embedding(*w.shape, dtype=w.dtype, seed=0)
    else:
        bias = "bias" in arrays
        shapes = {"weight": w.shape} | ({"bias": w.shape[:1]} if bias else {})
        check_arrays(where, arrays, shapes)
        layer = Linear(*w.shape[::-1], bias=bias, dtype=w.dtype, seed=0)
    layer.load_state_dict(arrays)
    return layer


def check_arrays(
    where: str, arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Check names, shapes and dtypes of a layer's arrays."""
    like = next(iter(shapes))
    for name, shape in shapes.items():
        if name not in arrays:
            raise ValueError(f"{where}: expected {name} too, got none")
        a = arrays[name]
        if a.shape != shape:
            raise ValueError(f"{where}: {name}: expected shape {shape}, got {a.shape}")
        if a.dtype != arrays[like].dtype:
            raise TypeError(
                f"{where}: {name}: expected dtype {arrays[like].dtype} (that of "
                f"{like}), got {a.dtype}"
            )
    for name in arrays:
        if name not in shapes:
            raise ValueError(f"{where}: expected no {name}, got one")


def assemble(layers: Sequence[tuple[str, Layer]]) -> Layer:
    """Return the only layer if it has no name, else a model under the layers' names."""
    if [name for name, _ in layers] == [""]:
        return layers[0][1]
    named: dict[str, Layer] = {}
    origins: dict[str, str] = {}
    for name, layer in layers:
        plain = name.replace(".", "_")
        if plain in named:
            raise ValueError(
                f"{plain}: expected one module of that name, got {origins[plain]} "
                f"and {name}"
            )
        named[plain], origins[plain] = layer, name
    try:
        return Sequential(**named)
    except (TypeError, ValueError) as error:
        raise type(error)(f"source: {error}") from None


def put_in_order(names: Sequence[str], order: Sequence[str] | None) -> list[str]:
    """Return the names in the order that the user gives, or as they are."""
    if order is None:
        return list(names)
    if isinstance(order, (str, bytes)) or not isinstance(order, Sequence):
        kind = type(order).__name__
        raise TypeError(f"order: expected a sequence of names, got {kind}")
    order = check_several("order", order, "names")
    if not all(isinstance(name, str) for name in order) or sorted(order) != sorted(
        names
    ):
        raise ValueError(
            f"order: expected the names {', '.join(names)}, each once, "
            f"got {shown(order)}"
        )
    return list(order)


def order_by_widths(where: str, found: Mapping[str, Weights]) -> list[str]:
    """Return the only order of layers in which each takes what the one before gives.

    Names that differ in numbers alone, such as ``layers.9.weight`` and ``layers.10``,
    or ``lstm`` and ``lstm_1``, are in the order of the numbers.

    Raises
    ------
    ValueError
        There is none, or more than one.
    """
    groups: dict[str, list[str]] = {}
    for name in found:
        groups.setdefault(re.sub(r"_?\d+", "", name), []).append(name)
    for names in groups.values():
        names.sort(
            key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)]
        )
    orders: list[list[str]] = []
    tries = 0

    def extend(order: list[str], width: int | None) -> None:
        nonlocal tries
        tries += 1
        if len(order) == len(found):
            orders.append(order)
        for names in groups.values():
            left = [name for name in names if name not in order]
            if not left or len(orders) > 1 or tries > MOST_TRIES:
                continue
            takes, gives = widths(found[left[0]], first=not order)
            if width is None or takes == width:
                extend([*order, left[0]], gives)

    extend([], None)
    if len(orders) != 1 or tries > MOST_TRIES:
        raise ValueError(
            f"{where}: expected order=, the names in the order in which data goes "
            f"through them, since the file does not keep it and sizes do not tell; "
            f"got {', '.join(found)}"
        )
    return orders[0]


def widths(weights: Weights, first: bool) -> tuple[int | None, int]:
    """Return how many inputs a step has, None for a token, and how many outputs."""
    arrays = weights.arrays
    if weights.kind == "recurrent" and "weight_hh_l0" in arrays:
        both = any(name.endswith("_reverse") for name in arrays)
        H = arrays["weight_hh_l0"].shape[-1]
        return arrays["weight_ih_l0"].shape[-1], H * (1 + both)
    w = arrays.get("weight", np.zeros((0, 0)))
    if weights.kind == "embedding" or (weights.kind == "matrix" and first):
        return None, w.shape[-1]
    return w.shape[-1], w.shape[0]
