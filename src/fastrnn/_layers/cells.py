"""The recurrent layers `RNN`, `GRU` and `LSTM`."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from fastrnn._cells import CELLS
from fastrnn._gate.arguments import check_choice
from fastrnn._layers.recurrent import RecurrentLayer
from fastrnn._types import FloatArray

Pair: TypeAlias = tuple[FloatArray, FloatArray]


class RNN(RecurrentLayer[FloatArray]):
    """Simple recurrent layers, ``h_t = act(w_ih x_t + b_ih + w_hh h_{t-1} + b_hh)``.

    ``nonlinearity`` is ``act``: ``"tanh"``, ``"relu"`` or ``"elu"`` (of alpha 1).
    ``G = 1``; a state is one array.

    Examples
    --------
    A sequence in two pieces, with the state carried over, has the bits of the whole:

    >>> rnn = fastrnn.RNN(3, 8, nonlinearity="relu", init="identity", seed=0)
    >>> x = np.ones((6, 1, 3), np.float32)
    >>> y, h = rnn(x)
    >>> first, state = rnn(x[:4])
    >>> second, state = rnn(x[4:], state)
    >>> bool((np.concatenate([first, second]) == y).all())
    True
    """

    __module__ = "fastrnn"

    _cell = "rnn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        weight_dropout: float = 0.0,
        bidirectional: bool = False,
        init: str = "uniform",
        dtype: DTypeLike = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Make a layer in training mode; parameters as `LSTM`, and nonlinearity."""
        check_choice("nonlinearity", nonlinearity, CELLS["rnn"].nonlinearities)
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            weight_dropout=weight_dropout,
            bidirectional=bidirectional,
            init=init,
            dtype=dtype,
            seed=seed,
        )


class GRU(RecurrentLayer[FloatArray]):
    """GRU layers; for the equations see `fastrnn.reference.cells.gru_forward`.

    ``G = 3``, the gates in the order r, z, n; a state is one array.

    Examples
    --------
    Rows of unequal lengths, in both directions:

    >>> gru = fastrnn.GRU(3, 8, bidirectional=True, seed=0)
    >>> y, h = gru(np.ones((5, 2, 3), np.float32), lengths=[5, 2])
    >>> y.shape, h.shape
    ((5, 2, 16), (2, 2, 8))
    >>> bool((y[2:, 1] == 0).all())  # padding
    True
    """

    __module__ = "fastrnn"

    _cell = "gru"


class LSTM(RecurrentLayer[Pair]):
    """LSTM layers; for the equations see `fastrnn.reference.cells.lstm_forward`.

    ``G = 4``, the gates in the order i, f, g, o; a state is a pair (h, c).

    Examples
    --------
    >>> lstm = fastrnn.LSTM(3, 8, num_layers=2, seed=0)
    >>> x = np.ones((5, 4, 3), np.float32)  # 5 steps of 4 rows
    >>> y, (h, c) = lstm(x)
    >>> y.shape, h.shape
    ((5, 4, 8), (2, 4, 8))
    >>> dx, dstate = lstm.backward(np.ones_like(y))
    >>> dx.shape, lstm.grads["weight_ih_l0"].shape
    ((5, 4, 3), (32, 3))
    """

    __module__ = "fastrnn"

    _cell = "lstm"
