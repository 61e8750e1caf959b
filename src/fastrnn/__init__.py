"""Recurrent networks on a CPU: fused kernels, forward and backward.

Functions take NumPy arrays and keep no state: `rnn_forward`, `gru_forward`,
`lstm_forward` and their ``_backward``, `linear_forward`, `linear_backward`,
`linear_cross_entropy`. Layers keep parameters and gradients: `RNN`, `GRU`, `LSTM`.
Training needs `clip_grad_norm`, `clip_grad_value` and one of `SGD`, `RMSprop`,
`Adagrad`, `Adam`, `AdamW`. `fastrnn.reference` is the same in plain NumPy.

``python -m fastrnn`` prints the build, the instruction set and the threads in use.
"""

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

__version__ = build_info()["version"]

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "RMSprop",
    "available_isas",
    "build_info",
    "clip_grad_norm",
    "clip_grad_value",
    "get_num_threads",
    "gru_backward",
    "gru_forward",
    "isa",
    "linear_backward",
    "linear_cross_entropy",
    "linear_forward",
    "lstm_backward",
    "lstm_forward",
    "rnn_backward",
    "rnn_forward",
    "set_num_threads",
]
