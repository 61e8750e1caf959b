"""Results of the functions: gradients, and the tapes that backward needs."""

from typing import NamedTuple

from fastrnn._types import FloatArray, Sequence, valid_steps


class RNNGrads(NamedTuple):
    """Gradients of ``rnn_backward``, or of another cell whose state is ``h``.

    Each has the dtype of the forward call.

    Attributes
    ----------
    dx : [T, N, I] or None
        None for token input.
    dw_ih : [H, I]
    dw_hh : [H, H]
    db_ih, db_hh : [H] or None
        None for a bias that was not given.
    dh0 : [N, H]
        Also when the initial state was left out.
    dembedding : [V, I] or None
        None without ``embedding``.
    dh : [T, N, H] or None
        The total gradient that reaches ``h_t``; None without ``return_dh=True``.
    """

    dx: FloatArray | None
    dw_ih: FloatArray
    dw_hh: FloatArray
    db_ih: FloatArray | None
    db_hh: FloatArray | None
    dh0: FloatArray
    dembedding: FloatArray | None
    dh: FloatArray | None


class GRUGrads(RNNGrads):
    """Gradients of ``gru_backward``: as `RNNGrads`, weights with ``3*H`` rows."""

    __slots__ = ()


class LSTMGrads(NamedTuple):
    """Gradients of ``lstm_backward``, or of another cell whose state is ``(h, c)``.

    As `RNNGrads`; those of an LSTM's weights have ``4*H`` rows.

    Attributes
    ----------
    dc0 : [N, H]
        Gradient of the initial cell state.
    dpeephole : [3, H] or None
        None without ``peephole``.
    dprojection : [P, H] or None
        None without ``projection``.
    """

    dx: FloatArray | None
    dw_ih: FloatArray
    dw_hh: FloatArray
    db_ih: FloatArray | None
    db_hh: FloatArray | None
    dh0: FloatArray
    dc0: FloatArray
    dembedding: FloatArray | None
    dh: FloatArray | None
    dpeephole: FloatArray | None = None
    dprojection: FloatArray | None = None


class LinearGrads(NamedTuple):
    """Gradients of ``linear_backward``.

    Attributes
    ----------
    dx : [..., I]
    dw : [O, I]
    db : [O] or None
        None without a bias.
    """

    dx: FloatArray
    dw: FloatArray
    db: FloatArray | None


class CrossEntropyGrads(NamedTuple):
    """Gradients of ``linear_cross_entropy``.

    Attributes
    ----------
    dy : [..., H] or None
    dw : [V, H] or None
    db : [V] or None
        None if not requested; ``db`` also without a bias.
    """

    dy: FloatArray | None
    dw: FloatArray | None
    db: FloatArray | None


class Tape:
    """The part of a forward call that its backward function needs, and does not change.

    The tape of a cell whose state is ``h``.

    Parameters
    ----------
    sequence : Sequence
        The checked arguments.
    y : [T, N, H]
        The output itself, not a copy.
    gates : [T, N, G*H], optional
        Activated; None where they are ``y``, as for an RNN.
    extra : [T, N, H], optional
        One more array over all steps: the cell state of an LSTM; of a GRU
        ``w_hn h + b_hn`` or, with the reset before the product, ``r h``, which the
        reference does without.

    Attributes
    ----------
    y, gates
        Read-only views, 0 on padding.

    Notes
    -----
    On padding ``gates`` and ``extra`` are cleared when they are first looked at, not
    in the forward call.
    """

    __slots__ = ("_extra", "_gates", "_sequence", "_y")

    def __init__(
        self,
        sequence: Sequence,
        y: FloatArray,
        gates: FloatArray | None = None,
        extra: FloatArray | None = None,
    ) -> None:
        self._sequence = sequence
        self._y = y
        self._gates = gates
        self._extra = extra

    @property
    def sequence(self) -> Sequence:
        """The checked arguments of the forward call."""
        return self._sequence

    @property
    def y(self) -> FloatArray:
        """The output, ``[T, N, H]``."""
        return read_only(self._y)

    @property
    def gates(self) -> FloatArray:
        """The activated gates in the cell's order, ``[T, N, G*H]``."""
        assert self._gates is not None
        return read_only(clear_padding(self._gates, self._sequence))

    def __repr__(self) -> str:
        s = self._sequence
        return f"{type(self).__name__}(T={s.T}, N={s.N}, I={s.I}, H={s.H}, {s.dtype})"


class RNNTape(Tape):
    """The tape of ``rnn_forward``."""

    __slots__ = ()

    @property
    def gates(self) -> FloatArray:
        """The output: an RNN's one gate."""
        return self.y


class GRUTape(Tape):
    """The tape of ``gru_forward``, with gates in the order r, z, n."""

    __slots__ = ()


class LSTMTape(Tape):
    """The tape of ``lstm_forward``, or of another cell whose state is ``(h, c)``.

    An LSTM's gates are in the order i, f, g, o.
    """

    __slots__ = ()

    @property
    def c(self) -> FloatArray:
        """The cell state after every step, ``[T, N, H]``, 0 on padding."""
        assert self._extra is not None
        return read_only(clear_padding(self._extra, self._sequence))


def clear_padding(a: FloatArray, s: Sequence) -> FloatArray:
    """Set ``a`` [T, N, ...] to 0 on padding; ``a`` may be batch first, as ``s``."""
    if s.lengths is not None:
        valid = valid_steps(s.T, s.N, s.lengths, s.padding)
        a[~(valid.T if s.layout == "batch" else valid)] = 0
    return a


def read_only(a: FloatArray) -> FloatArray:
    """Return a read-only view of ``a``."""
    view: FloatArray = a.view()
    view.flags.writeable = False
    return view
