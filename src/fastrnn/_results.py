"""Results of the functions: gradients, and the tapes that backward needs."""

from typing import NamedTuple, TypeAlias

from fastrnn._types import FloatArray, Sequence, valid_steps


class RNNGrads(NamedTuple):
    """Gradients of ``rnn_backward``; each has the dtype of the forward call.

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


class GRUGrads(NamedTuple):
    """Gradients of ``gru_backward``: as `RNNGrads`, weights with ``3*H`` rows."""

    dx: FloatArray | None
    dw_ih: FloatArray
    dw_hh: FloatArray
    db_ih: FloatArray | None
    db_hh: FloatArray | None
    dh0: FloatArray
    dembedding: FloatArray | None
    dh: FloatArray | None


class LSTMGrads(NamedTuple):
    """Gradients of ``lstm_backward``: as `RNNGrads`, weights with ``4*H`` rows.

    Attributes
    ----------
    dc0 : [N, H]
        Gradient of the initial cell state.
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


class RNNTape:
    """The part of a forward call that ``rnn_backward`` needs, and does not change.

    Parameters
    ----------
    sequence : Sequence
        The checked arguments.
    y : [T, N, H]
        The output itself, not a copy.
    kept : object, optional
        Data that one implementation keeps for its own backward; others ignore it.

    Attributes
    ----------
    y, gates : [T, N, H]
        Read-only views; the one gate of an RNN is its output.
    """

    __slots__ = ("_y", "kept", "sequence")

    def __init__(self, sequence: Sequence, y: FloatArray, kept: object = None) -> None:
        self.sequence = sequence
        self._y = y
        self.kept = kept

    @property
    def y(self) -> FloatArray:
        return read_only(self._y)

    @property
    def gates(self) -> FloatArray:
        return read_only(self._y)

    def __repr__(self) -> str:
        return describe(self)


class GRUTape:
    """The part of a forward call that ``gru_backward`` needs, and does not change.

    Parameters
    ----------
    sequence, y, kept
        As in `RNNTape`.
    gates : [T, N, 3*H]
        Activated, in the order r, z, n; padding is cleared on access.

    Attributes
    ----------
    y, gates
        Read-only views, 0 on padding.
    """

    __slots__ = ("_gates", "_y", "kept", "sequence")

    def __init__(
        self,
        sequence: Sequence,
        y: FloatArray,
        gates: FloatArray,
        kept: object = None,
    ) -> None:
        self.sequence = sequence
        self._y = y
        self._gates = gates
        self.kept = kept

    @property
    def y(self) -> FloatArray:
        return read_only(self._y)

    @property
    def gates(self) -> FloatArray:
        return read_only(clear_padding(self._gates, self.sequence))

    def __repr__(self) -> str:
        return describe(self)


class LSTMTape:
    """The part of a forward call that ``lstm_backward`` needs, and does not change.

    Parameters
    ----------
    sequence, y, kept
        As in `RNNTape`.
    gates : [T, N, 4*H]
        Activated, in the order i, f, g, o; padding as in `GRUTape`.
    c : [T, N, H]
        The cell state at every step; padding as in ``gates``.

    Attributes
    ----------
    y, gates, c
        Read-only views, 0 on padding.
    """

    __slots__ = ("_c", "_gates", "_y", "kept", "sequence")

    def __init__(
        self,
        sequence: Sequence,
        y: FloatArray,
        gates: FloatArray,
        c: FloatArray,
        kept: object = None,
    ) -> None:
        self.sequence = sequence
        self._y = y
        self._gates = gates
        self._c = c
        self.kept = kept

    @property
    def y(self) -> FloatArray:
        return read_only(self._y)

    @property
    def gates(self) -> FloatArray:
        return read_only(clear_padding(self._gates, self.sequence))

    @property
    def c(self) -> FloatArray:
        return read_only(clear_padding(self._c, self.sequence))

    def __repr__(self) -> str:
        return describe(self)


Tape: TypeAlias = RNNTape | GRUTape | LSTMTape
TAPES: dict[str, type[Tape]] = {"rnn": RNNTape, "gru": GRUTape, "lstm": LSTMTape}


def clear_padding(a: FloatArray, s: Sequence) -> FloatArray:
    """Set the padding of ``a`` to 0: [T, N, ...], or batch first if ``s`` is."""
    if s.lengths is not None:
        valid = valid_steps(s.T, s.N, s.lengths, s.padding)
        a[~(valid.T if s.layout == "batch" else valid)] = 0
    return a


def read_only(a: FloatArray) -> FloatArray:
    """Return a read-only view of ``a``."""
    view: FloatArray = a.view()
    view.flags.writeable = False
    return view


def describe(tape: Tape) -> str:
    """Return one line with a tape's class, sizes and dtype."""
    s = tape.sequence
    return f"{type(tape).__name__}(T={s.T}, N={s.N}, I={s.I}, H={s.H}, {s.dtype})"
