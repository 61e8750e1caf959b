"""Layers from models, layers, files and arrays of Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastrnn._cells import CELLS
from fastrnn._convert.build import (
    Weights,
    as_floating,
    assemble,
    check_target,
    feedforward,
    order_by_widths,
    put_in_order,
    recurrent,
)
from fastrnn._convert.files.whole import check_path
from fastrnn._convert.keras_arrays import from_arrays
from fastrnn._convert.keras_files import read_model, read_weights
from fastrnn._convert.keras_layers import LayerReader
from fastrnn._gate.arguments import check_choice, check_flag, make_generator, shown
from fastrnn._layers.base import Layer
from fastrnn._types import DType


def load_keras(
    source: Any,
    *,
    bidirectional: bool | None = None,
    nonlinearity: str | None = None,
    batch_first: bool = True,
    logits: bool = False,
    order: Sequence[str] | None = None,
    dtype: DTypeLike | None = None,
    seed: int | np.random.Generator | None = None,
) -> Any:
    """Make layers from a Keras model, layer, file or arrays.

    Parameters
    ----------
    source : Keras model or layer, path, or sequence of arrays
        A layer: ``SimpleRNN``, ``GRU``, ``LSTM``, ``Bidirectional`` of these,
        ``Dense``, ``Embedding``, ``Dropout``, ``Activation``, ``ReLU``, ``Identity``,
        ``TimeDistributed`` of ``Dense`` or ``Activation``. A model: a ``Sequential`` or
        functional one of such layers, one after another. Their options are honoured;
        ``return_sequences=False`` becomes a layer `Last`, under the name with
        ``_last``.

        A ``.keras`` file, which takes Keras to read, stands for its model.

        A ``.weights.h5`` file, which takes h5py to read, or the arrays of
        ``get_weights()`` hold neither options nor activations: the layers are then
        ``SimpleRNN``, ``GRU`` (whose bias tells ``reset_after``) and ``LSTM``,
        ``Bidirectional``, ``Dense`` and, first of all perhaps, ``Embedding``, without
        activations, with the outputs of all steps. Arrays need biases.
    bidirectional : bool, optional
        Arrays do not always tell a ``Bidirectional`` layer from two layers, one after
        the other: then this has to.
    nonlinearity : {"tanh", "relu", "elu"}, optional
        Of every SimpleRNN, as arrays and ``.weights.h5`` files do not say; ``"tanh"``
        if left out.
    batch_first : bool
        Keras's layout ``[N, T, ...]`` of inputs and outputs.
    logits : bool
        Leave off the softmax or sigmoid that the model ends with: cross-entropies take
        logits. Without it, a softmax is refused.
    order : sequence of str, optional
        The names of all layers of a ``.weights.h5`` file, such as ``"lstm_1"``, in the
        order in which data goes through them. The file lists them by name; without
        ``order``, sizes must leave one order only.
    dtype : float32 or float64, optional
        Convert weights to it; bfloat16 and float16 need that.
    seed : int or numpy.random.Generator, optional
        What dropout draws from.

    Returns
    -------
    layer
        A layer for one layer that gives all steps, else a `Sequential`, in training
        mode; under the names of Keras's layers, or under numbers where there are arrays
        only.

    Raises
    ------
    ImportError
        Keras or h5py is needed to read the file, and not installed.
    OSError
        The file cannot be read.
    TypeError
        An argument or an array has a wrong type or dtype.
    ValueError
        A layer, an option or a shape for which there is no layer here: one with
        ``stateful=True``, for example, a mask, or a regularizer. The message names it.
        To convert without it, change it in the Keras layer: ``layer.mask_zero =
        False``.

    Notes
    -----
    Keras has matrices the other way round, one bias where PyTorch has two (two for a
    GRU with ``reset_after=True``), and the gates of a GRU in the order z, r, n. What it
    calls ``Bidirectional`` is one layer in each direction with outputs side by side.

    Options that change how first values are drawn or how a computation is carried out
    (initializers, ``seed``, ``unroll``, a policy of mixed precision) have no effect
    here. The state is always returned.
    """
    target = check_target(dtype)
    check_flag("batch_first", batch_first)
    check_flag("logits", logits)
    if bidirectional is not None:
        check_flag("bidirectional", bidirectional)
    if nonlinearity is not None:
        check_choice("nonlinearity", nonlinearity, CELLS["rnn"].nonlinearities)
    rng = make_generator(seed)
    path = None
    if isinstance(source, (str, bytes, os.PathLike)):
        path = check_path("source", source)
        if not path.endswith(".weights.h5"):
            source = read_model(path)
    if hasattr(source, "get_weights") and hasattr(source, "get_config"):
        for name, value in (("bidirectional", bidirectional), ("order", order)):
            if value is not None:
                raise ValueError(f"{name}: expected None with a model, got {value!r}")
        reader = LayerReader(target, nonlinearity, batch_first, logits, rng)
        return reader.read(source)
    options = {
        "nonlinearity": nonlinearity or "tanh",
        "batch_first": batch_first,
        "seed": rng,
    }
    if path is None:
        if order is not None:
            raise ValueError(f"order: expected None with arrays, got {shown(order)}")
        found = from_arrays(check_weights(source, target), bidirectional)
        layers = [make(f"source[{name}]", found[name], options) for name in found]
        names = list(map(str, range(len(layers))))
    else:
        if bidirectional is not None:
            raise ValueError("bidirectional: expected None with a file, which tells")
        found = read_weights(path, target)
        names = put_in_order(list(found), order)
        if order is None:
            names = order_by_widths(path, found)
        layers = [make(name, found[name], options) for name in names]
    if not layers:
        raise ValueError(f"{path or 'source'}: expected weights, got none")
    if len(layers) == 1:
        return layers[0]
    return assemble(list(zip(names, layers, strict=True)))


def check_weights(source: Any, dtype: DType | None) -> list[Any]:
    if isinstance(source, Mapping) or not isinstance(source, Sequence):
        raise TypeError(
            f"source: expected a Keras model or layer, a path or a sequence of arrays, "
            f"got {type(source).__name__}"
        )
    return [as_floating(f"source[{i}]", a, dtype) for i, a in enumerate(source)]


def make(where: str, weights: Weights, options: dict[str, Any]) -> Layer:
    if weights.kind == "recurrent":
        return recurrent(where, weights.arrays, reset=weights.reset, **options)
    embedding = weights.kind == "embedding"
    return feedforward(where, weights.arrays, embedding=embedding)
