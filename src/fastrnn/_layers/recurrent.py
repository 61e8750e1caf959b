"""The base of the recurrent layers: options, parameters, mode, and the public calls.

Symbols: ``T`` time steps, ``N`` batch rows, ``I`` inputs, ``H`` hidden units, ``G``
gates, ``D`` directions (1 or 2), ``L`` layers.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Literal, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn._cells import CELLS, Cell
from fastrnn._gate.arguments import (
    check_choice,
    check_flag,
    check_number,
    check_size,
    make_generator,
)
from fastrnn._gate.layers import (
    check_call,
    check_layer_dtype,
    check_output_gradient,
    check_states,
)
from fastrnn._layers.base import Layer
from fastrnn._layers.initialise import INITS, initialise
from fastrnn._layers.packed import PackedWeights
from fastrnn._layers.parameters import Shapes, recurrent_shapes
from fastrnn._layers.walk import Record, walk_back, walk_forward
from fastrnn._types import FloatArray

StateT = TypeVar("StateT")
LayerT = TypeVar("LayerT", bound="RecurrentLayer[Any]")

# Where a parameter's name is not that of its field in `fastrnn._types.Sequence`.
FIELDS = {"weight_hr": "projection"}


class RecurrentLayer(Layer, Generic[StateT]):
    """The base class of `RNN`, `GRU` and `LSTM`.

    Attributes
    ----------
    params, grads : dict of str to array
        Views into the flat arrays under PyTorch's names, in PyTorch's order:
        ``weight_ih_l0 [G*H, I]``, ``weight_hh_l0 [G*H, H]``, ``bias_ih_l0 [G*H]``,
        ``bias_hh_l0 [G*H]``, then an LSTM's ``weight_hr_l0 [P, H]`` and ``peephole_l0
        [3, H]``, the same with ``_reverse``, then ``l1``. Write into them.
    rng : numpy.random.Generator
        What dropout and its kin draw from; its ``bit_generator.state`` is all there is
        to save for an exact continuation.
    training : bool
        See ``train`` and ``eval``.

    Notes
    -----
    A layer keeps the tape of a thread's last call (inputs, outputs and gates of every
    layer) until its next call. Copies and pickles are layers of their own, without it.
    """

    __module__ = "fastrnn"

    input_size: int
    output_size: int
    batch_first: bool
    has_state = True
    proj_size = 0  # of an LSTM's h, if not hidden_size
    _gives_dh = True
    wants = ("lengths", "padding", "resets")
    _cell: ClassVar[str]  # its name in the table of cells

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
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
        """Make a layer in training mode; parameters as `fastrnn.LSTM`."""
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.num_layers = check_size("num_layers", num_layers)
        self.bias = check_flag("bias", bias)
        self.batch_first = check_flag("batch_first", batch_first)
        self.dropout = check_number("dropout", dropout, below=1)
        self.recurrent_dropout = check_number(
            "recurrent_dropout", recurrent_dropout, below=1
        )
        self.zoneout = check_number("zoneout", zoneout, below=1)
        self.weight_dropout = check_number("weight_dropout", weight_dropout, below=1)
        self.bidirectional = check_flag("bidirectional", bidirectional)
        check_choice("init", init, INITS)
        dtype = check_layer_dtype(dtype)
        self.rng = make_generator(seed)
        self._directions = 2 if self.bidirectional else 1
        G, H, P = self._row.gates, self.hidden_size, self.proj_size or self.hidden_size
        self._widths = (P, H)[: len(self._row.states)]  # of the arrays of a state
        self.output_size = self._directions * P
        shapes = recurrent_shapes(
            G, self.input_size, (H, P), self.num_layers, self._directions, self.bias,
            self._own_shapes(),
        )  # fmt: skip
        super().__init__(shapes, dtype)
        initialise(self.params, init, H, self._row.forget_gate, self.rng)

    def _make_views(self) -> None:
        super()._make_views()
        params, grads = list(self.params.values()), list(self.grads.values())
        biases = ["b_ih", "b_hh"] if self.bias else []
        own = [FIELDS.get(name, name) for name in self._own_shapes()]
        fields = ["w_ih", "w_hh", *biases, *own]
        # [L*D], each by the names of `fastrnn._types.Sequence`.
        self._weights, self._dweights = (
            [
                dict(zip(fields, arrays[i : i + len(fields)], strict=True))
                for i in range(0, len(arrays), len(fields))
            ]
            for arrays in (params, grads)
        )
        self._packed = PackedWeights()

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_weights"], state["_dweights"], state["_packed"]
        return state

    @property
    def _row(self) -> Cell:
        return CELLS[self._cell]

    def _cell_options(self) -> tuple[str, str, bool]:
        """Return the fields nonlinearity, reset and coupled of a call."""
        return "tanh", "after", False

    def _own_shapes(self) -> Shapes:
        """Return the shapes of the parameters that this cell alone has."""
        return {}

    @property
    def tapes(self) -> list[Any]:
        """The tapes of the last call, ``[L*D]``: ``tapes[0].gates``, ``tapes[0].c``.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        """
        return list(self._recall("tapes").tapes)

    def train(self: LayerT) -> LayerT:
        """Keep a tape at each call, and drop out; the mode of a new layer.

        If a `fastrnn.Stepper` has made the parameters read-only, they can be written
        to again.
        """
        self._packed = PackedWeights()
        return super().train()

    def eval(self: LayerT, weights: str | None = None) -> LayerT:
        """Keep no tape, drop nothing out, and keep packed weights between calls.

        Every call looks whether the parameters are still those that were packed, and
        packs them anew if not.

        Parameters
        ----------
        weights : {None, "bfloat16"}
            ``"bfloat16"``: calls round weight matrices to bfloat16 (8 bits of
            precision, each weight within 0.4 %), which halves what they read where
            reading is all that takes time: few rows, large ``H``. Sums, states and
            biases stay float32, so that results are, bit for bit, those of a layer
            whose matrices hold the rounded values. `params` are as they were.

        Raises
        ------
        TypeError
            ``weights`` is no string.
        ValueError
            ``weights`` is another string, or the layer's dtype is float64.
        """
        if weights is not None:
            check_choice("weights", weights, ("bfloat16",))
            if self.dtype != np.float32:
                raise ValueError(
                    f"weights: 'bfloat16' needs a float32 layer, got {self.dtype}"
                )
        bfloat16 = weights == "bfloat16"
        if bfloat16 != self._packed.bfloat16:
            self._packed = PackedWeights(bfloat16=bfloat16)
        return super().eval()

    def __call__(
        self,
        x: ArrayLike,
        state: StateT | None = None,
        *,
        lengths: ArrayLike | None = None,
        padding: str = "right",
        resets: ArrayLike | None = None,
    ) -> tuple[FloatArray, StateT]:
        """Run all layers over whole sequences.

        Parameters
        ----------
        x : [T, N, I] floating, or [T, N] integer
            Integers are token ids: one-hot rows with ``I`` the size of the vocabulary.
        state : [L*D, N, H], or for LSTM a pair (h, c) of such, optional
            The initial states, layer by layer, each layer's reverse direction after its
            forward one; zeros when left out.
        lengths : [N] integer, optional
            Valid steps of each row, ``0 .. T`` in any order; the others are not read.
        padding : {"right", "left"}
            Where the steps are that are not valid.
        resets : [T, N] bool or integer, optional
            Step ``t`` starts a new sequence: nothing crosses between ``t-1`` and ``t``.

        Returns
        -------
        y : [T, N, D*H]
            The last layer's outputs, 0 on padding.
        state : [L*D, N, H], or for LSTM a pair (h, c) of such
            The final states, laid out as the initial ones.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape or value is wrong.
        """
        call = check_call(
            x, state, lengths, padding, resets,
            sizes=(self.input_size, len(self._weights), self.hidden_size),
            widths=self._widths,
            dtype=self.dtype,
            batch_first=self.batch_first,
        )  # fmt: skip
        self._forget()
        if self._packed.can_run(self, call):
            y, finals = self._packed.run(self, call)
        else:
            y, finals, record = walk_forward(self, call)
            self._remember(record)
        if self.batch_first:
            y = y.swapaxes(0, 1).copy()
        return y, self._join(finals)

    @overload
    def backward(
        self,
        dy: FloatArray | None,
        dstate: StateT | None = None,
        *,
        return_dh: Literal[False] = False,
    ) -> tuple[FloatArray | None, StateT]: ...

    @overload
    def backward(
        self,
        dy: FloatArray | None,
        dstate: StateT | None = None,
        *,
        return_dh: Literal[True],
    ) -> tuple[FloatArray | None, StateT, dict[str, FloatArray]]: ...

    # NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
    @np.errstate(all="ignore")
    def backward(
        self,
        dy: FloatArray | None,
        dstate: StateT | None = None,
        *,
        return_dh: bool = False,
    ) -> Any:
        """Carry gradients back through the last call, and add to `grads`.

        Parameters
        ----------
        dy : [T, N, D*H] or None
            Gradient of ``y``; what it holds on padding is not read. None is zero.
        dstate : [L*D, N, H], or for LSTM a pair (h, c) of such, optional
            Gradient of the final state.
        return_dh : bool
            Whether to return the total gradient that reaches each state as well.

        Returns
        -------
        dx : [T, N, I] or None
            Gradient of ``x``; None for token input.
        dstate : [L*D, N, H], or for LSTM a pair (h, c) of such
            Gradient of the initial state.
        dh : dict of str to [T, N, H]
            With ``return_dh``: by layer and direction, ``"l0"``, ``"l0_reverse"``,
            ``"l1"``. Time comes first, also with ``batch_first``. For a picture of it
            see `fastrnn.plot.gradient_norms`.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape is wrong.
        """
        return_dh = check_flag("return_dh", return_dh)
        record: Record = self._recall("backward")
        dy = check_output_gradient(dy, record.shape, self.dtype, self.batch_first)
        lead = len(record.tapes), record.shape[1]
        upstream = check_states("dstate", dstate, self._widths, lead, self.dtype)
        dh: dict[str, FloatArray] | None = {} if return_dh else None
        dx, dinitials = walk_back(self, record, dy, upstream, dh)
        self._last_calls.here.dh = dh
        if self.batch_first and dx is not None:
            dx = dx.swapaxes(0, 1).copy()
        dinitial = self._join(dinitials)
        return (dx, dinitial, dh) if return_dh else (dx, dinitial)

    def _join(self, arrays: tuple[FloatArray, ...]) -> StateT:
        """Return the arrays [L*D, N, H] of a state as the caller knows it."""
        state: Any = arrays if len(arrays) > 1 else arrays[0]
        joined: StateT = state
        return joined
