"""Layers from modules, state dicts and files of PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastrnn._convert.build import (
    RECURRENT,
    Arrays,
    Weights,
    assemble,
    check_target,
    feedforward,
    order_by_widths,
    put_in_order,
    recurrent,
)
from fastrnn._convert.files.safetensors import decode
from fastrnn._convert.files.whole import check_path, check_readable, read_whole
from fastrnn._convert.tensors import as_weight
from fastrnn._convert.torch_modules import ModuleReader, is_module
from fastrnn._gate.arguments import check_choice, check_flag, make_generator
from fastrnn._layers.base import Layer
from fastrnn._types import DType

WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
CELL_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def load_torch(
    source: Any,
    *,
    key: str | None = None,
    nonlinearity: str | None = None,
    batch_first: bool | None = None,
    order: Sequence[str] | None = None,
    dtype: DTypeLike | None = None,
    seed: int | np.random.Generator | None = None,
) -> Any:
    """Make layers from a PyTorch module, state dict or file.

    Parameters
    ----------
    source : module, mapping of str to tensor, or path
        A module: ``nn.RNN``, ``nn.GRU``, ``nn.LSTM`` and their ``Cell``, ``nn.Linear``,
        ``nn.Embedding``, ``nn.Dropout``, ``nn.Identity``, ``nn.ReLU``, ``nn.Tanh``,
        ``nn.Sigmoid``, ``nn.GELU``, or ``nn.Sequential`` of such. Its options are
        honoured.

        A state dict of the modules among these that have weights, in the order in which
        data goes through them: it holds neither options nor activations.

        A file of ``torch.save``, which takes PyTorch to read, or a ``.safetensors``
        file, which does not.
    key : str, optional
        Where in a checkpoint the state dict is: ``"state_dict"``, or with a dot for
        each step inwards, ``"state.model"``.
    nonlinearity : {"tanh", "relu"}, optional
        Of every RNN, as a state dict does not say; ``"tanh"`` if left out.
    batch_first : bool, optional
        Of every recurrent layer, as a state dict does not say; False if left out.
    order : sequence of str, optional
        The names of all modules, in the order in which data goes through them, where
        that is not the order of the state dict. Most ``.safetensors`` files list
        modules by name; without ``order``, sizes must then leave one order only.
    dtype : float32 or float64, optional
        Convert weights to it; bfloat16 and float16 need that.
    seed : int or numpy.random.Generator, optional
        What dropout draws from.

    Returns
    -------
    layer
        A layer for one module, else a `Sequential` of layers under the modules' names,
        with ``_`` for each dot. From a state dict, sizes and directions are those of
        the weights, a matrix without bias before all recurrent layers is an
        `Embedding`, and everything is in training mode, without dropout. From a module,
        each layer is in the mode of its module.

    Raises
    ------
    ImportError
        PyTorch is needed to read the file, and not installed.
    OSError
        The file cannot be read.
    TypeError
        An argument or a tensor has a wrong type or dtype.
    ValueError
        A module, an option, a name or a shape for which there is no layer. A module
        with a ``forward`` of its own is one: what it does between its parts cannot be
        seen. If it only calls them one after another, pass its ``state_dict()``.

    Notes
    -----
    Parameters are copied, and all of them can be trained, whatever their
    ``requires_grad``. ``padding_idx`` changes no output; its row gets no gradient if
    `lengths` are given.
    """
    target = check_target(dtype)
    if key is not None and not isinstance(key, str):
        raise TypeError(f"key: expected a str, got {type(key).__name__}")
    if nonlinearity is not None:
        check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    if batch_first is not None:
        check_flag("batch_first", batch_first)
    rng = make_generator(seed)
    where, by_name = "source", False
    if not is_module(source) and not isinstance(source, Mapping):
        try:
            where = check_path("source", source)
        except TypeError:
            kind = type(source).__name__
            raise TypeError(
                f"source: expected a module, a state dict or a path, got {kind}"
            ) from None
        source, by_name = read_torch(where)
    if isinstance(source, Mapping):
        source = choose(where, source, key)
    elif key is not None:
        raise ValueError(f"key: expected None with a module, got {key!r}")
    if is_module(source):
        if order is not None:
            raise ValueError("order: expected None with a module, which has its own")
        return ModuleReader(target, nonlinearity, batch_first, rng).read(source)
    found = read_state_dict(where, source, target)
    if order is None and by_name and len(found) > 1:
        names = order_by_widths(where, found)
    else:
        names = put_in_order(list(found), order)
    options = {
        "nonlinearity": nonlinearity or "tanh",
        "batch_first": bool(batch_first),
        "seed": rng,
    }
    return from_state_dict({name: found[name] for name in names}, options)


def from_state_dict(found: dict[str, Weights], options: dict[str, Any]) -> Layer:
    layers: list[tuple[str, Layer]] = []
    started = False  # there was a recurrent layer
    for name, weights in found.items():
        where = name or "source"
        if weights.kind == "recurrent":
            layers.append((name, recurrent(where, weights.arrays, **options)))
            started = True
        else:
            embedding = weights.kind == "matrix" and not started
            layer = feedforward(where, weights.arrays, embedding=embedding)
            layers.append((name, layer))
    return assemble(layers)


def read_state_dict(
    where: str, d: Mapping[str, Any], dtype: DType | None
) -> dict[str, Weights]:
    """Return the weights of each module, by its name."""
    for name in d:
        if not isinstance(name, str):
            kind = type(name).__name__
            raise TypeError(f"{where}: expected names of weights, got {kind} {name!r}")
    strip = 0
    while d and (
        prefix := next(
            (p for p in WRAPPERS if all(n.startswith(p, strip) for n in d)), None
        )
    ):
        strip += len(prefix)
    modules: dict[str, Arrays] = {}
    for name, tensor in d.items():
        module, _, key = name[strip:].rpartition(".")
        if key in CELL_NAMES:
            key += "_l0"  # a cell
        arrays = modules.setdefault(module, {})
        if key in arrays:
            raise ValueError(f"{module or where}: expected one {key}, got two")
        arrays[key] = as_weight(where, name, tensor, dtype)
    if not modules:
        raise ValueError(f"{where}: expected weights, got none")
    if "" in modules and len(modules) > 1:
        names = ", ".join(modules[""])
        raise ValueError(f"{where}: expected weights of modules, got {names} of none")
    return {name: Weights(kind_of(arrays), arrays) for name, arrays in modules.items()}


def kind_of(arrays: Arrays) -> str:
    if any(RECURRENT.fullmatch(name) for name in arrays):
        return "recurrent"
    return "matrix" if "bias" not in arrays else "linear"


def choose(where: str, found: Mapping[Any, Any], key: str | None) -> Any:
    """Return the state dict, or module, that lies in a checkpoint."""
    keys = keys_of_states(found)
    listed = " or ".join(map(repr, keys))
    if key is None:
        if keys:
            raise ValueError(
                f"{where}: expected key={listed}, where the weights of this "
                f"checkpoint are, got none"
            )
        return found
    value: Any = found
    if key in found:
        value = found[key]
    else:
        for step in key.split("."):
            if not isinstance(value, Mapping) or step not in value:
                expected = listed or "None, since there is no checkpoint"
                raise ValueError(f"key: expected {expected}, got {key!r}")
            value = value[step]
    if not isinstance(value, Mapping) and not is_module(value):
        kind = type(value).__name__
        raise TypeError(f"{where}[{key!r}]: expected a state dict, got {kind}")
    return value


def keys_of_states(found: Mapping[Any, Any], depth: int = 3) -> list[str]:
    """Return the keys, with a dot for each step, under which modules' weights lie."""
    keys = []
    for key, value in found.items():
        if not isinstance(key, str):
            continue
        if is_module(value):
            keys.append(key)
        elif isinstance(value, Mapping) and value:
            if all(
                isinstance(name, str) and hasattr(a, "shape") and hasattr(a, "dtype")
                for name, a in value.items()
            ):
                keys.append(key)
            elif depth:
                keys += [f"{key}.{inner}" for inner in keys_of_states(value, depth - 1)]
    return keys


def read_torch(path: str) -> tuple[Mapping[str, Any], bool]:
    """Return what a file holds, and whether it lists arrays by name alone."""
    if path.endswith(".safetensors"):
        tensors, _ = decode(path, read_whole(path))
        by_dtype: dict[str, list[str]] = {}
        for name, tensor in tensors.items():
            by_dtype.setdefault(tensor.dtype, []).append(name)
        return tensors, all(names == sorted(names) for names in by_dtype.values())
    check_readable(path)
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"{path}: expected PyTorch to read it, which is not installed: "
            f"pip install torch, or save it as .safetensors"
        ) from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of pickle, zipfile, torch and others
        raise ValueError(
            f"{path}: expected a state dict that torch.save wrote, got a file that "
            f"torch.load(weights_only=True) refuses ({type(error).__name__})"
        ) from None
    if not isinstance(found, Mapping):
        kind = type(found).__name__
        raise TypeError(f"{path}: expected a state dict, got {kind}")
    return found, False
