"""Recurrent networks on a CPU: fused kernels, forward and backward.

Functions take NumPy arrays and keep no state: `rnn_forward`, `gru_forward`,
`lstm_forward` and their ``_backward``, `linear_forward`, `linear_backward`,
`linear_cross_entropy`, `mean_squared_error`. Layers keep parameters and gradients:
`RNN`, `GRU`, `LSTM`, `Embedding`, `Linear`, `Dropout`, and `Sequential` of them.
`Stepper` takes one step at a time with a recurrent layer and keeps its state.
Training needs `clip_grad_norm`, `clip_grad_value` and one of `SGD`, `RMSprop`,
`Adagrad`, `Adam`, `AdamW`; `perplexity`, `bits_per_character` and `accuracy` say how
good the result is. `save` and `load` write and read files; `load_torch` and
`load_keras` take over weights.

`fastrnn.data` makes batches of sequences and texts, `fastrnn.text` has vocabularies and
sampling, `fastrnn.plot` pictures (with matplotlib). `fastrnn.reference` is the
recurrent and linear functions in plain NumPy.

``python -m fastrnn`` prints the build, the instruction set and the threads in use.
"""

from typing import TYPE_CHECKING, Any

from fastrnn._clip import clip_grad_norm, clip_grad_value
from fastrnn._functions import (
    gru_backward,
    gru_forward,
    lstm_backward,
    lstm_forward,
    rnn_backward,
    rnn_forward,
)
from fastrnn._layers import GRU, LSTM, RNN
from fastrnn._linear import linear_backward, linear_cross_entropy, linear_forward
from fastrnn._optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from fastrnn._runtime import (
    available_isas,
    build_info,
    get_num_threads,
    isa,
    set_num_threads,
)

if TYPE_CHECKING:
    from fastrnn import data, plot, text
    from fastrnn._convert import load_keras, load_torch
    from fastrnn._dropout import Dropout
    from fastrnn._feedforward import Embedding, Linear
    from fastrnn._files import load, save
    from fastrnn._losses import (
        accuracy,
        bits_per_character,
        mean_squared_error,
        perplexity,
    )
    from fastrnn._sequential import Sequential
    from fastrnn.stepper import Stepper
else:
    # The same by name, imported when first used: who needs one layer does not wait.
    LATER = {
        "Dropout": "_dropout",
        "Embedding": "_feedforward",
        "Linear": "_feedforward",
        "Sequential": "_sequential",
        "Stepper": "stepper",
        "accuracy": "_losses",
        "bits_per_character": "_losses",
        "data": "data",
        "load": "_files",
        "load_keras": "_convert",
        "load_torch": "_convert",
        "mean_squared_error": "_losses",
        "perplexity": "_losses",
        "plot": "plot",
        "save": "_files",
        "text": "text",
    }

    def __getattr__(name: str) -> Any:
        """Import a name of `LATER`."""
        if name not in LATER:
            raise AttributeError(f"module 'fastrnn' has no attribute {name!r}")
        from importlib import import_module

        module = import_module(f"fastrnn.{LATER[name]}")
        found = module if name == LATER[name] else getattr(module, name)
        globals()[name] = found  # so that this is asked once
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *LATER})


__version__ = build_info()["version"]

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Dropout",
    "Embedding",
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
    "rnn_backward",
    "rnn_forward",
    "save",
    "set_num_threads",
    "text",
]
