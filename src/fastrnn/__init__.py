"""Recurrent networks on a CPU: fused kernels, forward and backward.

Functions take NumPy arrays and keep no state: `rnn_forward`, `gru_forward`,
`lstm_forward` and their ``_backward``, `linear_forward`, `linear_backward`,
`linear_cross_entropy`, `mean_squared_error`. Layers keep parameters and gradients:
`RNN`, `GRU`, `LSTM`, `Embedding`, `Linear`, `Activation`, `Dropout`, and `Sequential`
of them. `Stepper` runs a recurrent layer one step at a time and keeps its state.
Training uses `clip_grad_norm`, `clip_grad_value` and one of `SGD`, `RMSprop`,
`Adagrad`, `Adam`, `AdamW`; `perplexity`, `bits_per_character` and `accuracy` measure
the result. `save` and `load` write and read files; `load_torch` and `load_keras` make
layers of other libraries' models.

`fastrnn.data` makes batches of sequences and texts, `fastrnn.text` has vocabularies and
sampling, and `fastrnn.plot` draws pictures (with matplotlib). `fastrnn.reference` has
the recurrent and linear functions in plain NumPy.

``python -m fastrnn`` prints the build, the instruction set and the threads in use.
"""

from typing import TYPE_CHECKING, Any

from fastrnn._runtime import (  # ahead of NumPy: this refuses subinterpreters
    available_isas,
    build_info,
    get_num_threads,
    isa,
    set_num_threads,
    trim_memory,
)

# isort: split
from fastrnn._functional.linear import (
    linear_backward,
    linear_cross_entropy,
    linear_forward,
)
from fastrnn._functional.recurrent import (
    gru_backward,
    gru_forward,
    lstm_backward,
    lstm_forward,
    rnn_backward,
    rnn_forward,
)
from fastrnn._layers.cells import GRU, LSTM, RNN
from fastrnn._optim.clip import clip_grad_norm, clip_grad_value
from fastrnn._optim.rules import SGD, Adagrad, Adam, AdamW, RMSprop

if TYPE_CHECKING:
    from fastrnn import data, plot, reference, text
    from fastrnn import torch as torch  # not in __all__: it needs PyTorch
    from fastrnn._convert import load_keras, load_torch
    from fastrnn._files import load, save
    from fastrnn._functional.losses import (
        accuracy,
        bits_per_character,
        mean_squared_error,
        perplexity,
    )
    from fastrnn._layers.activation import Activation
    from fastrnn._layers.base import Layer
    from fastrnn._layers.dropout import Dropout
    from fastrnn._layers.embedding import Embedding
    from fastrnn._layers.linear import Linear
    from fastrnn._layers.sequential import Sequential
    from fastrnn.stepper import Stepper
else:
    # The same names, imported on first use: a program that needs one layer does not
    # wait for the rest.
    LAZY = {
        "Activation": "_layers.activation",
        "Dropout": "_layers.dropout",
        "Embedding": "_layers.embedding",
        "Layer": "_layers.base",
        "Linear": "_layers.linear",
        "Sequential": "_layers.sequential",
        "Stepper": "stepper",
        "accuracy": "_functional.losses",
        "bits_per_character": "_functional.losses",
        "data": "data",
        "load": "_files",
        "load_keras": "_convert",
        "load_torch": "_convert",
        "mean_squared_error": "_functional.losses",
        "perplexity": "_functional.losses",
        "plot": "plot",
        "reference": "reference",
        "save": "_files",
        "text": "text",
        "torch": "torch",
    }

    def __getattr__(name: str) -> Any:
        """Import a name of `LAZY`."""
        if name not in LAZY:
            raise AttributeError(f"module 'fastrnn' has no attribute {name!r}")
        from importlib import import_module

        module = import_module(f"fastrnn.{LAZY[name]}")
        value = module if name == LAZY[name] else getattr(module, name)
        globals()[name] = value  # later accesses do not come here
        return value

    def __dir__() -> list[str]:
        # Without PyTorch, fastrnn.torch would raise in help(fastrnn).
        return sorted({*globals(), *LAZY} - {"torch"})


__version__ = build_info()["version"]

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "Dropout",
    "Embedding",
    "Layer",
    "Linear",
    "RMSprop",
    "Sequential",
    "Stepper",
    "accuracy",
    "available_isas",
    "bits_per_character",
    "build_info",
    "clip_grad_norm",
    "clip_grad_value",
    "data",
    "get_num_threads",
    "gru_backward",
    "gru_forward",
    "isa",
    "linear_backward",
    "linear_cross_entropy",
    "linear_forward",
    "load",
    "load_keras",
    "load_torch",
    "lstm_backward",
    "lstm_forward",
    "mean_squared_error",
    "perplexity",
    "plot",
    "reference",
    "rnn_backward",
    "rnn_forward",
    "save",
    "set_num_threads",
    "text",
    "trim_memory",
]
