"""The same functions as `fastrnn`, in plain NumPy, written from the equations.

The oracle of the tests, and code to be read: clear, not fast. It does not import the
compiled module. `cells` holds each cell's mathematics, ``sequence`` the walk over time,
written once for all cells, ``functions`` the six public functions, ``linear`` the
linear layer and the cross-entropy, ``losses`` the other losses.

The symbols of courses and textbooks, and those used here:

- ``W_ax`` or ``W_xh``, from input to hidden, is ``w_ih``;
- ``W_aa`` or ``W_hh``, from hidden to hidden, is ``w_hh``;
- ``b_a`` or ``b_h`` is ``b_ih + b_hh``;
- ``a<t>`` or ``h_t`` is ``y[t]``, and ``a<0>`` is ``h0``;
- a gate's joint matrix, ``W_f [a<t-1>, x<t>]``, is ``[w_hh, w_ih]`` at its gate's rows.

The course places an example in each column, ``W x``; here it is a row, ``x W'``.
"""

from fastrnn.reference.functions import (
    gru_backward,
    gru_forward,
    lstm_backward,
    lstm_forward,
    rnn_backward,
    rnn_forward,
)
from fastrnn.reference.linear import (
    linear_backward,
    linear_cross_entropy,
    linear_forward,
)
from fastrnn.reference.losses import (
    binary_cross_entropy,
    ctc_loss,
    huber,
    log_softmax,
    mean_absolute_error,
    mean_squared_error,
    quantile_loss,
    softmax,
)

__all__ = [
    "binary_cross_entropy",
    "ctc_loss",
    "gru_backward",
    "gru_forward",
    "huber",
    "linear_backward",
    "linear_cross_entropy",
    "linear_forward",
    "log_softmax",
    "lstm_backward",
    "lstm_forward",
    "mean_absolute_error",
    "mean_squared_error",
    "quantile_loss",
    "rnn_backward",
    "rnn_forward",
    "softmax",
]
