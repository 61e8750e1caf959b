"""Make layers from the weights of PyTorch and Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn._files import load
from fastrnn._gate.arguments import FLOATS
from fastrnn._gate.training import as_array
from fastrnn._layers.base import Layer
from fastrnn._layers.cells import GRU, LSTM, RNN
from fastrnn._layers.embedding import Embedding
from fastrnn._layers.linear import Linear
from fastrnn._layers.sequential import Sequential

CELLS: dict[int, type[Any]] = {1: RNN, 3: GRU, 4: LSTM}  # by the number of gates
Arrays = dict[str, Any]


def load_torch(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    nonlinearity: str = "tanh",
    batch_first: bool = False,
) -> Any:
    """Make layers from a PyTorch state dict.

    Parameters
    ----------
    source : path, or mapping of str to tensor
        A file of ``torch.save(module.state_dict(), path)``, which needs PyTorch to be
        read, a ``.safetensors`` file, which does not, or a state dict. Its modules are
        ``nn.RNN``, ``nn.GRU``, ``nn.LSTM`` (and their ``Cell``), ``nn.Linear`` and
        ``nn.Embedding``, in the order in which data passes through them.
    nonlinearity : {"tanh", "relu"}
        The activation of every RNN: the weights do not tell.
    batch_first : bool
        As given to the recurrent modules: the weights do not tell this either.

    Returns
    -------
    layer
        A layer if the state dict is that of one module, otherwise a `Sequential` whose
        layers have the modules' names. Sizes, directions and dtype follow from the
        weights; a matrix without bias before all recurrent layers becomes an
        `Embedding`. In training mode, without dropout.

    Raises
    ------
    ImportError
        The library that reads the file is not installed.
    OSError
        The file cannot be read.
    TypeError
        ``source`` is not a mapping of tensors, or a dtype is not float32 or float64.
    ValueError
        A name or shape that none of these modules has.
    """
    d = source if isinstance(source, Mapping) else read_torch(source)
    modules: dict[str, Arrays] = {}
    for name, tensor in d.items():
        module, _, key = str(name).rpartition(".")
        a = as_array(name, detached(tensor))
        if a.dtype not in FLOATS:
            raise TypeError(f"{name}: expected float32 or float64, got {a.dtype}")
        if key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            key += "_l0"  # a cell
        modules.setdefault(module, {})[key] = a
    if not modules:
        raise ValueError("source: expected weights, got none")
    layers: dict[str, Layer] = {}
    started = False  # whether a recurrent layer has been seen
    for module, arrays in modules.items():
        where = module or "source"
        if "weight_ih_l0" in arrays:
            options = {"nonlinearity": nonlinearity, "batch_first": batch_first}
            layers[module] = recurrent(where, arrays, **options)
            started = True
        else:
            layers[module] = feedforward(where, arrays, embedding=not started)
    if list(layers) == [""]:
        return layers[""]
    return Sequential(**{name.replace(".", "_"): a for name, a in layers.items()})


def load_keras(
    weights: Any,
    *,
    bidirectional: bool | None = None,
    nonlinearity: str = "tanh",
    batch_first: bool = True,
) -> Any:
    """Make layers from the weights of a Keras model.

    Parameters
    ----------
    weights : Keras model or layer, or the sequence of arrays of its ``get_weights()``
        Its layers with weights are ``SimpleRNN``, ``GRU`` (with ``reset_after``, the
        default) and ``LSTM``, with biases, in one direction or ``Bidirectional``;
        ``Dense`` with bias; and, as the first layer only, ``Embedding``.
    bidirectional : bool, optional
        Needed where the arrays do not show whether they are a ``Bidirectional`` layer
        or two layers, one after the other.
    nonlinearity : {"tanh", "relu", "elu"}
        The activation of every SimpleRNN: the weights do not tell.
    batch_first : bool
        Whether inputs and outputs are ``[N, T, ...]``, as in Keras.

    Returns
    -------
    layer
        A layer if the weights are those of one layer, otherwise a `Sequential`. It
        returns the outputs of all steps, as with ``return_sequences=True``, and those
        of ``Dense`` without its activation. In training mode, without dropout.

    Raises
    ------
    TypeError
        ``weights`` is not a sequence of arrays, or a dtype is not float32 or float64.
    ValueError
        The shapes are not those of such layers, one after another.

    Notes
    -----
    Keras transposes the matrices, has one bias where PyTorch has two (but two for GRU),
    and orders the gates of a GRU z, r, n. Its ``Bidirectional`` is one layer in each
    direction, with the outputs side by side.
    """
    options = {"nonlinearity": nonlinearity, "batch_first": batch_first}
    layers: list[Layer] = []
    if hasattr(weights, "get_weights"):
        for layer in getattr(weights, "layers", [weights]):
            both = type(layer).__name__ == "Bidirectional"
            layers += from_keras(layer.get_weights(), both, options)
    else:
        if isinstance(weights, (str, bytes, Mapping)) or not isinstance(
            weights, Sequence
        ):
            kind = type(weights).__name__
            raise TypeError(f"weights: expected a sequence of arrays, got {kind}")
        layers = from_keras(weights, bidirectional, options)
    if not layers:
        raise ValueError("weights: expected arrays, got none")
    return layers[0] if len(layers) == 1 else Sequential(*layers)


def from_keras(
    weights: Sequence[Any], bidirectional: bool | None, options: dict[str, Any]
) -> list[Layer]:
    """Return the layers that the arrays belong to, from the first to the last."""
    rest = [as_array(f"weights[{i}]", a) for i, a in enumerate(weights)]
    for i, a in enumerate(rest):
        if a.dtype not in FLOATS:
            raise TypeError(f"weights[{i}]: expected float32 or float64, got {a.dtype}")
    layers: list[Layer] = []
    at = 0
    while at < len(rest):
        where = f"weights[{at}]"
        w, b = rest[at], rest[at + 1] if at + 1 < len(rest) else None
        if cell := keras_cell(rest, at):
            at += 3
            if is_second_direction(rest, at, cell, bidirectional):
                second = keras_cell(rest, at)
                cell |= {f"{name}_reverse": a for name, a in second.items()}
                at += 3
            layers.append(recurrent(where, cell, **options))
        elif w.ndim == 2 and b is not None and b.shape == w.shape[1:]:
            layers.append(feedforward(where, {"weight": w.T, "bias": b}))
            at += 2
        elif w.ndim == 2 and at == 0:
            layers.append(feedforward(where, {"weight": w}, embedding=True))
            at += 1
        else:
            raise ValueError(
                f"{where}: expected the first weight of an RNN, GRU, LSTM or Dense "
                f"layer with bias, got shape {w.shape}"
            )
    return layers


def read_torch(path: str | os.PathLike[str]) -> Any:
    if Path(path).suffix == ".safetensors":
        return load(path)[0]
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"{path}: reading it needs PyTorch, which is not installed: "
            f"pip install torch, or save the model as .safetensors"
        ) from None
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, Mapping):
        kind = type(found).__name__
        raise TypeError(f"{path}: expected a state dict, got {kind}")
    return found


def detached(tensor: Any) -> Any:
    """Return a tensor that NumPy can read: a parameter has to be detached first."""
    return tensor.detach() if hasattr(tensor, "detach") else tensor


def recurrent(where: str, arrays: Arrays, **options: Any) -> Layer:
    """Return the recurrent layer with weights of PyTorch's names and shapes."""
    w_ih, w_hh = arrays["weight_ih_l0"], arrays.get("weight_hh_l0")
    if w_ih.ndim != 2 or w_hh is None or w_hh.ndim != 2 or not w_hh.size:
        raise ValueError(f"{where}: expected weight_ih and weight_hh, both matrices")
    H = w_hh.shape[1]
    G, rest = divmod(len(w_hh), H)
    if rest or G not in CELLS:
        raise ValueError(
            f"{where}: expected weight_hh (G*H, H) of 1, 3 or 4 gates, got {w_hh.shape}"
        )
    if G != 1:
        del options["nonlinearity"]
    directions = 2 if "weight_ih_l0_reverse" in arrays else 1
    layers = sum(k.startswith("weight_ih_l") for k in arrays) // directions
    layer = CELLS[G](
        w_ih.shape[1],
        H,
        layers,
        bias="bias_ih_l0" in arrays,
        bidirectional=directions == 2,
        dtype=w_ih.dtype,
        seed=0,
        **options,
    )
    return fill(where, layer, arrays)


def feedforward(where: str, arrays: Arrays, *, embedding: bool = False) -> Layer:
    """Return a `Linear`, or an `Embedding` if it may be one and there is no bias."""
    w = arrays.get("weight")
    if w is None or w.ndim != 2 or not w.size:
        raise ValueError(
            f"{where}: expected weights of an RNN, GRU, LSTM, Linear or Embedding, "
            f"got {', '.join(arrays)}"
        )
    if embedding and "bias" not in arrays:
        return fill(where, Embedding(*w.shape, dtype=w.dtype, seed=0), arrays)
    layer = Linear(*w.shape[::-1], bias="bias" in arrays, dtype=w.dtype, seed=0)
    return fill(where, layer, arrays)


def fill(where: str, layer: Layer, arrays: Arrays) -> Layer:
    try:
        layer.load_state_dict(arrays)
    except KeyError as error:
        raise ValueError(f"{where}: {error.args[0]}") from None
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from None
    return layer


def keras_cell(rest: list[Any], at: int) -> Arrays:
    """Return one direction of a recurrent layer by PyTorch's names, or no arrays."""
    if len(rest) < at + 3:
        return {}
    kernel, recurrent_kernel, bias = rest[at : at + 3]
    if kernel.ndim != 2 or recurrent_kernel.ndim != 2 or not recurrent_kernel.size:
        return {}
    H, width = recurrent_kernel.shape
    G, remainder = divmod(width, H)
    shape = (2, width) if G == 3 else (width,)
    if remainder or G not in CELLS or kernel.shape[1] != width:
        return {}
    if G == 3 and bias.shape == (width,):
        raise ValueError(
            f"weights[{at + 2}]: expected the two biases (2, 3*H) = {shape} of a GRU "
            f"with reset_after=True, got {bias.shape}"
        )
    if bias.shape != shape:
        return {}
    biases = bias if G == 3 else np.stack([bias, np.zeros_like(bias)])
    arrays = {
        "weight_ih_l0": kernel.T,
        "weight_hh_l0": recurrent_kernel.T,
        "bias_ih_l0": biases[0],
        "bias_hh_l0": biases[1],
    }
    return {k: swap_gates(a, H) for k, a in arrays.items()} if G == 3 else arrays


def swap_gates(a: Any, H: int) -> Any:
    """Reorder the gates z, r, n as r, z, n."""
    return np.concatenate([a[H : 2 * H], a[:H], a[2 * H :]])


def is_second_direction(
    rest: list[Any], at: int, first: Arrays, bidirectional: bool | None
) -> bool:
    """Return whether a cell's weights are followed by those of its other direction."""
    second = keras_cell(rest, at)
    if not second or any(second[name].shape != a.shape for name, a in first.items()):
        return False
    if bidirectional is not None:
        return bidirectional
    GH, width = first["weight_ih_l0"].shape
    H = first["weight_hh_l0"].shape[1]
    if width != H:
        return True  # a second layer would have H inputs
    follows = rest[at + 3].shape[0] if at + 3 < len(rest) else None
    if follows not in (H, 2 * H):
        raise ValueError(
            f"weights[{at}]: expected bidirectional=True or False, since a second "
            f"array of shape {(width, GH)} may be a direction or another layer"
        )
    return bool(follows == 2 * H)
