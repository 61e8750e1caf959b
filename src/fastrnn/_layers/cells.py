"""The recurrent layers `RNN`, `GRU` and `LSTM`."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from fastrnn._cells import CELLS
from fastrnn._gate.arguments import MOST_SIZE, check_choice, check_flag, check_integer
from fastrnn._layers.parameters import Shapes
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

    def _cell_options(self) -> tuple[str, str, bool]:
        return self.nonlinearity, "after", False

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

    reset = "after"

    def _cell_options(self) -> tuple[str, str, bool]:
        return "tanh", self.reset, False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        reset: str = "after",
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
        """Make a layer in training mode; parameters as `LSTM`, and reset.

        ``reset`` is ``"after"`` the matrix product, as in PyTorch, or ``"before"`` it,
        as in the paper and by default in ONNX.
        """
        check_choice("reset", reset, CELLS["gru"].resets)
        self.reset = reset
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

    peephole = False
    proj_size = 0
    coupled = False

    def _cell_options(self) -> tuple[str, str, bool]:
        return "tanh", "after", self.coupled

    def _own_shapes(self) -> Shapes:
        shapes: Shapes = {}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        if self.peephole:
            shapes["peephole"] = (3, self.hidden_size)
        return shapes

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        peephole: bool = False,
        proj_size: int = 0,
        coupled: bool = False,
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
        """Make a layer in training mode.

        Parameters
        ----------
        input_size : int
            ``I``.
        hidden_size : int
            ``H``.
        num_layers : int
            ``L``; each layer but the first reads the outputs of the one before.
        peephole : bool
            The gates i, f and o see the cell state through diagonal weights, the
            parameters ``peephole_l0 [3, H]``.
        proj_size : int
            ``P``: h is a projection of this many numbers, by ``weight_hr_l0 [P, H]``,
            as in PyTorch. ``weight_hh`` is ``[4*H, P]``, outputs and h have ``P`` in
            place of ``H``. 0 is without.
        coupled : bool
            The forget gate is ``1 - i``. Parameters keep their shapes; those of f are
            not read, and their gradients are 0.
        bias : bool
            False: no ``bias_ih``, ``bias_hh``.
        batch_first : bool
            ``x``, ``resets``, ``y`` and gradients are ``[N, T, ...]``; states are not.
        dropout : float
            ``0 <= dropout < 1``. In training mode each output between two layers is
            zeroed with this probability, drawn anew for every step, row and unit, and
            what is kept is divided by ``1 - dropout``.
        recurrent_dropout : float
            ``0 <= p < 1``. In training mode what ``w_hh`` reads of the state is
            multiplied by a mask of 0 with probability ``p`` and ``1 / (1 - p)`` else,
            one for each row and unit, the same at every step of the call.
        zoneout : float
            ``0 <= p < 1``. In training mode a unit keeps its old state with probability
            ``p``, drawn anew for every step, row and unit (for LSTM, for h and for c).
            In eval mode states are the expectation, ``p`` old + ``(1 - p)`` new.
        weight_dropout : float
            ``0 <= p < 1``. In training mode each weight of ``weight_hh`` is 0 with
            probability ``p`` and divided by ``1 - p`` else, drawn anew at every call.
            For the exact definitions of these three see `fastrnn._layers.regularisers`.
        bidirectional : bool
            ``D = 2``: a second direction reads time backwards, and the outputs of both
            lie side by side, ``y [T, N, 2*H]``.
        init : {"uniform", "keras", "identity"}
            First values; see `fastrnn._layers.initialise.initialise`.
        dtype : float32 or float64
            Of parameters, inputs and outputs.
        seed : int, optional
            All randomness comes from it: first the initial values, then what each call
            draws, layer by layer. None takes fresh entropy; a
            ``numpy.random.Generator`` is used as it is.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A value is out of its range.
        """
        self.peephole = check_flag("peephole", peephole)
        self.proj_size = check_integer("proj_size", proj_size, 0, MOST_SIZE)
        self.coupled = check_flag("coupled", coupled)
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
