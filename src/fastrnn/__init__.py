"""Recurrent networks on a CPU: fused kernels, forward and backward.

Functions take NumPy arrays and keep no state: `rnn_forward`, `gru_forward`,
`lstm_forward` and their ``_backward``, `linear_forward`, `linear_backward`,
`linear_cross_entropy`, `mean_squared_error` and its kin, `ctc_loss`, `softmax`. Layers
keep parameters and gradients: `RNN`, `GRU`, `LSTM`, `Embedding`, `Linear`,
`Activation`, `Dropout`, `LayerNorm`, `BatchNorm`, `Last`, `MeanOverTime`,
`MaxOverTime`, `Attention`, and `Heads` and `Sequential` of them. `Stepper` runs a
recurrent layer one step at a time and keeps its state. `fit` trains a model on batches,
with one of `SGD`, `RMSprop`, `Adagrad`, `Adam`, `AdamW`, and `predict` runs it; a loop
of your own uses `clip_grad_norm` and `clip_grad_value`, a layer of your own
`check_gradients`. `perplexity`, `bits_per_character` and `accuracy` measure the result.
`save` and `load` write and read files; `load_torch`, `load_keras` and `load_onnx` make
layers of other libraries' models, and `save_onnx` writes a model for them.

`fastrnn.data` makes batches of sequences and texts, `fastrnn.schedules` has learning
rates that change, `fastrnn.text` has vocabularies and sampling, and `fastrnn.plot`
draws pictures (with matplotlib). `fastrnn.sklearn` has estimators for scikit-learn;
`fastrnn.torch` and `fastrnn.keras` speed up models of PyTorch and Keras; `fastrnn.jax`
has functions of JAX arrays, and `fastrnn.onnx` runs single nodes of ONNX.
`fastrnn.reference` has the functions in plain NumPy.

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
from fastrnn._training.optim.clip import clip_grad_norm, clip_grad_value
from fastrnn._training.optim.rules import SGD, Adagrad, Adam, AdamW, RMSprop

if TYPE_CHECKING:
    from fastrnn import data, plot, reference, schedules, text
    from fastrnn import jax as jax  # not in __all__: it needs JAX
    from fastrnn import keras as keras  # not in __all__: it needs Keras
    from fastrnn import onnx as onnx  # not in __all__: it needs onnx
    from fastrnn import sklearn as sklearn  # not in __all__: it needs scikit-learn
    from fastrnn import torch as torch  # not in __all__: it needs PyTorch
    from fastrnn._convert.files import load, save
    from fastrnn._convert.keras import load_keras
    from fastrnn._convert.onnx_load import load_onnx
    from fastrnn._convert.onnx_save import save_onnx
    from fastrnn._convert.torch import load_torch
    from fastrnn._functional.ctc import ctc_loss
    from fastrnn._functional.losses import accuracy, bits_per_character, perplexity
    from fastrnn._functional.regression import (
        binary_cross_entropy,
        huber,
        mean_absolute_error,
        mean_squared_error,
        quantile_loss,
    )
    from fastrnn._functional.softmax import log_softmax, softmax
    from fastrnn._layers.activation import Activation
    from fastrnn._layers.attention import Attention
    from fastrnn._layers.base import Layer
    from fastrnn._layers.differences import check_gradients
    from fastrnn._layers.dropout import Dropout
    from fastrnn._layers.embedding import Embedding
    from fastrnn._layers.heads import Heads
    from fastrnn._layers.linear import Linear
    from fastrnn._layers.normalise import BatchNorm, LayerNorm
    from fastrnn._layers.pooling import Last, MaxOverTime, MeanOverTime
    from fastrnn._layers.sequential import Sequential
    from fastrnn._training.fit import fit
    from fastrnn._training.history import History
    from fastrnn._training.predict import predict
    from fastrnn.stepper import Stepper
else:
    # The same names, imported on first use: a program that needs one layer does not
    # wait for the rest.
    LAZY = {
        "Activation": "_layers.activation",
        "Attention": "_layers.attention",
        "BatchNorm": "_layers.normalise",
        "Dropout": "_layers.dropout",
        "Embedding": "_layers.embedding",
        "Heads": "_layers.heads",
        "History": "_training.history",
        "Last": "_layers.pooling",
        "Layer": "_layers.base",
        "LayerNorm": "_layers.normalise",
        "Linear": "_layers.linear",
        "MaxOverTime": "_layers.pooling",
        "MeanOverTime": "_layers.pooling",
        "Sequential": "_layers.sequential",
        "Stepper": "stepper",
        "accuracy": "_functional.losses",
        "binary_cross_entropy": "_functional.regression",
        "bits_per_character": "_functional.losses",
        "check_gradients": "_layers.differences",
        "ctc_loss": "_functional.ctc",
        "data": "data",
        "fit": "_training.fit",
        "huber": "_functional.regression",
        "jax": "jax",
        "keras": "keras",
        "load": "_convert.files",
        "load_keras": "_convert.keras",
        "load_onnx": "_convert.onnx_load",
        "load_torch": "_convert.torch",
        "log_softmax": "_functional.softmax",
        "mean_absolute_error": "_functional.regression",
        "mean_squared_error": "_functional.regression",
        "onnx": "onnx",
        "perplexity": "_functional.losses",
        "plot": "plot",
        "predict": "_training.predict",
        "quantile_loss": "_functional.regression",
        "reference": "reference",
        "save": "_convert.files",
        "save_onnx": "_convert.onnx_save",
        "schedules": "schedules",
        "sklearn": "sklearn",
        "softmax": "_functional.softmax",
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
        # Without their libraries, these would raise in help(fastrnn).
        hidden = {"jax", "keras", "onnx", "sklearn", "torch"}
        return sorted({*globals(), *LAZY} - hidden)


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
    "Attention",
    "BatchNorm",
    "Dropout",
    "Embedding",
    "Heads",
    "History",
    "Last",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxOverTime",
    "MeanOverTime",
    "RMSprop",
    "Sequential",
    "Stepper",
    "accuracy",
    "available_isas",
    "binary_cross_entropy",
    "bits_per_character",
    "build_info",
    "check_gradients",
    "clip_grad_norm",
    "clip_grad_value",
    "ctc_loss",
    "data",
    "fit",
    "get_num_threads",
    "gru_backward",
    "gru_forward",
    "huber",
    "isa",
    "linear_backward",
    "linear_cross_entropy",
    "linear_forward",
    "load",
    "load_keras",
    "load_onnx",
    "load_torch",
    "log_softmax",
    "lstm_backward",
    "lstm_forward",
    "mean_absolute_error",
    "mean_squared_error",
    "perplexity",
    "plot",
    "predict",
    "quantile_loss",
    "reference",
    "rnn_backward",
    "rnn_forward",
    "save",
    "save_onnx",
    "schedules",
    "set_num_threads",
    "softmax",
    "text",
    "trim_memory",
]
