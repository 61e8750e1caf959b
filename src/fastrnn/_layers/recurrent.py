"""What the recurrent layers share: the walk over layers and directions, and back.

Symbols: ``T`` time steps, ``N`` batch rows, ``I`` inputs, ``H`` hidden units, ``G``
gates, ``D`` directions (1 or 2), ``L`` layers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn import _core
from fastrnn._gate.arguments import check_choice, check_flag, contiguous
from fastrnn._gate.layers import (
    check_input,
    check_layer_dtype,
    check_output_gradient,
    check_resets_by_row,
    check_size,
    check_states,
    make_generator,
)
from fastrnn._gate.sequence import GATES, PADDINGS, check_tokens
from fastrnn._gate.training import check_number
from fastrnn._layers.base import Layer
from fastrnn._layers.initialise import INITS, initialise
from fastrnn._layers.masks import draw_mask, multiply
from fastrnn._layers.parameters import recurrent_shapes
from fastrnn._layers.regularisers import Rates, draw_call
from fastrnn._runtime import get_num_threads, run_side_by_side
from fastrnn._types import FloatArray

# With fewer rows than this for a thread, threads would have to meet at every step of a
# direction. If a direction has so many multiply-adds (half a millisecond's worth) that
# handing it to another thread does not matter, it has half of the threads for itself.
ROWS_A_THREAD = 4
WORTH_A_THREAD = 2e7

StateT = TypeVar("StateT")
LayerT = TypeVar("LayerT", bound="RecurrentLayer[Any]")
States: TypeAlias = list[FloatArray | None]  # h [N, H], for LSTM h and c


class Call(NamedTuple):
    """What backward needs of the last call."""

    tapes: list[Any]  # [L*D]
    weight_masks: list[FloatArray | None]  # [L*D]: factors of w_hh
    masks: list[FloatArray]  # [L-1] of [T, N, D*H], or empty: what dropout multiplied
    shape: tuple[int, int, int]  # T, N, D*H


class RecurrentLayer(Layer, Generic[StateT]):
    """What the layers `RNN`, `LSTM` and `GRU` share.

    Attributes
    ----------
    params, grads : dict of str to array
        Views into the flat arrays under PyTorch's names, in PyTorch's order:
        ``weight_ih_l0 [G*H, I]``, ``weight_hh_l0 [G*H, H]``, ``bias_ih_l0 [G*H]``,
        ``bias_hh_l0 [G*H]``, the same with ``_reverse``, then ``l1``. Write into them.
    rng : numpy.random.Generator
        What dropout and its kin draw from; its ``bit_generator.state`` is all there is
        to save for an exact continuation.
    training : bool
        See `train` and `eval`.

    Notes
    -----
    A layer keeps the tape of its last call (inputs, outputs and gates of every layer)
    until the next call. Deep copies and pickles are layers of their own, without it.
    """

    _cell: ClassVar[str]
    _states: ClassVar[int] = 1  # arrays in a state

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
        """Make a layer in training mode.

        Parameters
        ----------
        input_size : int
            ``I``.
        hidden_size : int
            ``H``.
        num_layers : int
            ``L``; each layer but the first reads the outputs of the one before.
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
        self._bfloat16 = False
        self._directions = 2 if self.bidirectional else 1
        G, H = GATES[self._cell], self.hidden_size
        super().__init__(
            recurrent_shapes(
                G, self.input_size, H, self.num_layers, self._directions, self.bias
            ),
            dtype,
        )
        initialise(self.params, init, H, self.rng)

    def _make_views(self) -> None:
        super()._make_views()
        params, grads = list(self.params.values()), list(self.grads.values())
        count = 4 if self.bias else 2
        # [L*D] of w_ih, w_hh and, where there are biases, b_ih, b_hh.
        self._weights = [params[i : i + count] for i in range(0, len(params), count)]
        self._dweights = [grads[i : i + count] for i in range(0, len(grads), count)]
        self._packed: _core.PackedLayers | None = None

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_weights"], state["_dweights"], state["_packed"]
        return state

    @property
    def tapes(self) -> list[Any]:
        """The tapes of the last call, ``[L*D]``: ``tapes[0].gates``, ``tapes[0].c``.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        """
        return list(self._kept("tapes").tapes)

    def train(self: LayerT) -> LayerT:
        """Keep a tape at each call, and drop out; the mode of a new layer.

        The parameters may be written again, should a `fastrnn.Stepper` have made them
        read-only.
        """
        self._packed, self._bfloat16 = None, False
        self._unlock()
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
        if self._bfloat16 != (weights == "bfloat16"):
            self._packed = None
        self._bfloat16 = weights == "bfloat16"
        return super().eval()

    def _pack(self) -> _core.PackedLayers:
        """Pack the weights of all layers and directions, and keep them."""
        self._packed = _core.PackedLayers(
            self._cell,
            nonlinearity=getattr(self, "nonlinearity", "tanh"),
            input_size=self.input_size,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            directions=self._directions,
            bias=self.bias,
            bfloat16=self._bfloat16,
            flat_params=self._flat_params,
        )
        return self._packed

    def _packed_now(self) -> _core.PackedLayers:
        """Return the kept weights, packed anew if the parameters have changed."""
        packed = self._packed
        return packed if packed and packed.is_current() else self._pack()

    def _run_packed(self, x: Any, initial: States) -> tuple[FloatArray, StateT]:
        """Run one direction over whole sequences out of packed weights, in one call."""
        T, N = x.shape[:2]
        tokens = None
        if x.dtype.kind != "f":
            x, tokens = None, check_tokens(x, self.input_size, None, "right")
        elif not x.flags.c_contiguous or not x.flags.aligned:
            x = contiguous(x)
        c0 = initial[1] if self._states == 2 else None
        packed, found = self._packed or self._pack(), None
        while found is None:  # twice at most, unless another thread goes on writing
            found = packed.forward(T, N, x, tokens, initial[0], c0)
            if found is None:
                packed = self._pack()
        y, h_n, c_n = found
        if self.batch_first:
            y = y.swapaxes(0, 1).copy()
        state: Any = h_n if c_n is None else (h_n, c_n)
        return y, state

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
        y = check_input(x, self.input_size, self.dtype, self.batch_first)
        T, N = y.shape[:2]
        count = self.num_layers * self._directions
        initial = check_states(
            "state", state, self._states, (count, N, self.hidden_size), self.dtype
        )
        if self.batch_first and resets is not None:
            resets = check_resets_by_row(resets, N, T)
        self._begin()
        if not self.training:
            plain = lengths is None and resets is None and self.zoneout == 0
            if plain and self._directions == 1:
                check_choice("padding", padding, PADDINGS)
                found = self._run_packed(y, initial)
                self._keep(None)
                return found
        options: dict[str, Any] = {
            "lengths": lengths,
            "padding": padding,
            "resets": resets,
            "training": self.training,
        }
        if not self.training:
            options["packed"] = self._packed_now()
        rates = Rates(self.recurrent_dropout, self.zoneout, self.weight_dropout)
        finals, tapes, masks, weight_masks = [], [], [], []
        for k in range(self.num_layers):
            if k > 0 and self.training and self.dropout > 0:
                masks.append(draw_mask(self.rng, y.shape, self.dropout, self.dtype))
                y = multiply(y, masks[-1])
            calls: list[Callable[[], Any]] = []
            for d in range(self._directions):
                i = k * self._directions + d
                drawn = draw_call(
                    self.rng, rates, self._weights[i], (T, N), self._states,
                    self.training,
                )  # fmt: skip
                weight_masks.append(drawn.weight_mask)
                run = partial(self._forward, i, y, drawn.weights, at(initial, i))
                calls.append(partial(run, reverse=d == 1, **options, **drawn.options))
            outputs = []
            for output, final, tape in self._run(calls, T, N):
                outputs.append(output)
                finals.append(final)
                tapes.append(tape)
            y = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=2)
        self._keep(Call(tapes, weight_masks, masks, y.shape))
        if self.batch_first:
            y = y.swapaxes(0, 1).copy()
        return y, self._join(finals)

    # NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
    @np.errstate(all="ignore")
    def backward(
        self, dy: FloatArray | None, dstate: StateT | None = None
    ) -> tuple[FloatArray | None, StateT]:
        """Carry gradients back through the last call, and add to `grads`.

        Parameters
        ----------
        dy : [T, N, D*H] or None
            Gradient of ``y``; what it holds on padding is not read. None is zero.
        dstate : [L*D, N, H], or for LSTM a pair (h, c) of such, optional
            Gradient of the final state.

        Returns
        -------
        dx : [T, N, I] or None
            Gradient of ``x``; None for token input.
        dstate : [L*D, N, H], or for LSTM a pair (h, c) of such
            Gradient of the initial state.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape is wrong.
        """
        last: Call = self._kept("backward")
        H, D = self.hidden_size, self._directions
        dy = check_output_gradient(dy, last.shape, self.dtype, self.batch_first)
        upstream = check_states(
            "dstate", dstate, self._states, (len(last.tapes), last.shape[1], H),
            self.dtype,
        )  # fmt: skip
        dinitials: list[tuple[FloatArray, ...]] = [()] * len(last.tapes)
        for k in reversed(range(self.num_layers)):
            dx: Any = None
            calls: list[Callable[[], Any]] = []
            for d in range(D):
                i = k * D + d
                dy_d = dy if D == 1 or dy is None else dy[:, :, d * H : (d + 1) * H]
                tape, state = last.tapes[i], at(upstream, i)
                calls.append(partial(self._backward, tape, dy_d, state))
            for d, (g, dinitial) in enumerate(self._run(calls, *last.shape[:2])):
                i = k * D + d
                dinitials[i] = dinitial
                weight_mask = last.weight_masks[i]
                if weight_mask is not None:
                    np.multiply(g.dw_hh, weight_mask, out=g.dw_hh)
                found = (g.dw_ih, g.dw_hh, g.db_ih, g.db_hh)
                for total, a in zip(self._dweights[i], found, strict=False):
                    total += a
                dx = g.dx if dx is None else np.add(dx, g.dx, out=dx)
            if k > 0 and last.masks:
                dx *= last.masks[k - 1]
            dy = dx
        if self.batch_first and dy is not None:
            dy = dy.swapaxes(0, 1).copy()
        return dy, self._join(dinitials)

    def _run(self, calls: list[Callable[[], Any]], T: int, N: int) -> list[Any]:
        """Return what the calls of one layer's directions return.

        Two directions run side by side, with half the threads each, where the rows do
        not fill the threads; the bits are the same, as for every number of threads.
        """
        H, threads = self.hidden_size, get_num_threads()
        work = T * N * GATES[self._cell] * H * H  # about, for a direction
        few = threads > 1 and threads * ROWS_A_THREAD > N
        if len(calls) == 2 and few and work > WORTH_A_THREAD:
            return run_side_by_side(*calls)
        return [call() for call in calls]

    def _join(self, states: list[tuple[FloatArray, ...]]) -> StateT:
        """Return the states [N, H] of all layers and directions as the caller's."""
        joined: Any = tuple(
            a[0][np.newaxis] if len(a) == 1 else np.stack(a)
            for a in zip(*states, strict=True)
        )
        found: StateT = joined if len(joined) > 1 else joined[0]
        return found

    def _forward(
        self,
        i: int,
        x: Any,
        weights: list[FloatArray],
        initial: States,
        packed: Any = None,
        **options: Any,
    ) -> tuple[FloatArray, tuple[FloatArray, ...], Any]:
        """Run layer and direction ``i``: y, the final states, and the tape."""
        raise NotImplementedError

    def _backward(
        self, tape: Any, dy: FloatArray | None, upstream: States
    ) -> tuple[Any, tuple[FloatArray, ...]]:
        """Return the gradients, and among them those of the initial states."""
        raise NotImplementedError


def at(states: States, i: int) -> States:
    """Return the states of one layer and direction."""
    return [None if a is None else a[i] for a in states]
