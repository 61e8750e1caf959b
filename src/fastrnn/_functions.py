"""The six sequence functions: gate, kernel, named results."""

from numpy.typing import ArrayLike

from fastrnn import _core
from fastrnn._check import check_backward, check_forward
from fastrnn._types import (
    FloatArray,
    GRUGrads,
    GRUTape,
    LSTMGrads,
    LSTMTape,
    RNNGrads,
    RNNTape,
)


def rnn_forward(
    x: ArrayLike,
    w_ih: FloatArray,
    w_hh: FloatArray,
    b_ih: FloatArray | None = None,
    b_hh: FloatArray | None = None,
    *,
    h0: FloatArray | None = None,
    nonlinearity: str = "tanh",
    lengths: ArrayLike | None = None,
    padding: str = "right",
    resets: ArrayLike | None = None,
    reverse: bool = False,
    embedding: FloatArray | None = None,
    training: bool = True,
) -> tuple[FloatArray, FloatArray, RNNTape | None]:
    s = check_forward(
        "rnn",
        x,
        w_ih,
        w_hh,
        b_ih,
        b_hh,
        h0=h0,
        nonlinearity=nonlinearity,
        lengths=lengths,
        padding=padding,
        resets=resets,
        reverse=reverse,
        embedding=embedding,
        training=training,
    )
    y, h_n, _, _, _ = _core.rnn_forward(s)
    return y, h_n, RNNTape(s, y) if s.training else None


def gru_forward(
    x: ArrayLike,
    w_ih: FloatArray,
    w_hh: FloatArray,
    b_ih: FloatArray | None = None,
    b_hh: FloatArray | None = None,
    *,
    h0: FloatArray | None = None,
    lengths: ArrayLike | None = None,
    padding: str = "right",
    resets: ArrayLike | None = None,
    reverse: bool = False,
    embedding: FloatArray | None = None,
    training: bool = True,
) -> tuple[FloatArray, FloatArray, GRUTape | None]:
    s = check_forward(
        "gru",
        x,
        w_ih,
        w_hh,
        b_ih,
        b_hh,
        h0=h0,
        lengths=lengths,
        padding=padding,
        resets=resets,
        reverse=reverse,
        embedding=embedding,
        training=training,
    )
    y, h_n, _, gates, candidate = _core.gru_forward(s)
    return y, h_n, GRUTape(s, y, gates, candidate) if s.training else None


def lstm_forward(
    x: ArrayLike,
    w_ih: FloatArray,
    w_hh: FloatArray,
    b_ih: FloatArray | None = None,
    b_hh: FloatArray | None = None,
    *,
    h0: FloatArray | None = None,
    c0: FloatArray | None = None,
    lengths: ArrayLike | None = None,
    padding: str = "right",
    resets: ArrayLike | None = None,
    reverse: bool = False,
    embedding: FloatArray | None = None,
    training: bool = True,
) -> tuple[FloatArray, tuple[FloatArray, FloatArray], LSTMTape | None]:
    s = check_forward(
        "lstm",
        x,
        w_ih,
        w_hh,
        b_ih,
        b_hh,
        h0=h0,
        c0=c0,
        lengths=lengths,
        padding=padding,
        resets=resets,
        reverse=reverse,
        embedding=embedding,
        training=training,
    )
    y, h_n, c_n, gates, c = _core.lstm_forward(s)
    return y, (h_n, c_n), LSTMTape(s, y, gates, c) if s.training else None


def rnn_backward(
    tape: RNNTape,
    dy: FloatArray | None = None,
    dh_n: FloatArray | None = None,
    *,
    return_dh: bool = False,
) -> RNNGrads:
    up = check_backward("rnn", tape, dy, dh_n, return_dh=return_dh)
    g = _core.rnn_backward(
        tape.sequence, tape._y, None, None, up.dy, up.dh_n, None, up.return_dh
    )
    dx, dw_ih, dw_hh, db_ih, db_hh, dh0, _, dembedding, dh = g
    return RNNGrads(dx, dw_ih, dw_hh, db_ih, db_hh, dh0, dembedding, dh)


def gru_backward(
    tape: GRUTape,
    dy: FloatArray | None = None,
    dh_n: FloatArray | None = None,
    *,
    return_dh: bool = False,
) -> GRUGrads:
    up = check_backward("gru", tape, dy, dh_n, return_dh=return_dh)
    g = _core.gru_backward(
        tape.sequence,
        tape._y,
        tape._gates,
        tape.kept,
        up.dy,
        up.dh_n,
        None,
        up.return_dh,
    )
    dx, dw_ih, dw_hh, db_ih, db_hh, dh0, _, dembedding, dh = g
    return GRUGrads(dx, dw_ih, dw_hh, db_ih, db_hh, dh0, dembedding, dh)


def lstm_backward(
    tape: LSTMTape,
    dy: FloatArray | None = None,
    dh_n: FloatArray | None = None,
    dc_n: FloatArray | None = None,
    *,
    return_dh: bool = False,
) -> LSTMGrads:
    up = check_backward("lstm", tape, dy, dh_n, dc_n, return_dh=return_dh)
    g = _core.lstm_backward(
        tape.sequence,
        tape._y,
        tape._gates,
        tape._c,
        up.dy,
        up.dh_n,
        up.dc_n,
        up.return_dh,
    )
    return LSTMGrads(*g)
