"""Values of the deep learning course's "Recurrent network, step by step" notebooks.

There, an example is a column: ``x [n_x, m, T]``, ``a [n_a, m, T]``, weights
``[out, in]``, and an LSTM's ``Wf`` acts on ``[a_prev; x]``. Inputs are drawn by the
legacy generator in the order listed. The values of ``lstm_backward`` are those of 2021:
earlier tables do not carry gradients from step to step.
"""

from typing import Any

import numpy as np

TOLERANCE = 1e-7  # at least eight digits are printed

GATES = ("Wi", "Wf", "Wc", "Wo")  # in our order
# In the order of the draws.
RNN_SHAPES = {"Waa": (5, 5), "Wax": (5, 3), "Wya": (2, 5), "ba": (5, 1), "by": (2, 1)}
LSTM_SHAPES = {
    f"{letter}{gate}": (5, size)
    for gate in "fioc"
    for letter, size in (("W", 8), ("b", 1))
}
OUT_SHAPES = {"Wy": (2, 5), "by": (2, 1)}


def draw(**shapes: tuple[int, ...]) -> dict[str, Any]:
    random = np.random.RandomState(1)
    return {name: random.randn(*shape) for name, shape in shapes.items()}


def rows(a: Any) -> Any:
    """Return [n, m, T] as [T, m, n], and [n, m] as [m, n]."""
    return np.ascontiguousarray(a.T if a.ndim == 2 else a.transpose(2, 1, 0))


def columns(a: Any) -> Any:
    """Return [T, m, n] as [n, m, T]."""
    return a.transpose(2, 1, 0)


def rnn_weights(d: dict[str, Any]) -> dict[str, Any]:
    return {"w_ih": d["Wax"], "w_hh": d["Waa"], "b_ih": d["ba"][:, 0].copy()}


def lstm_weights(d: dict[str, Any]) -> dict[str, Any]:
    """Split ``[a_prev; x]`` of every gate and join the gates in our order."""
    w = np.concatenate([d[name] for name in GATES])
    b = np.concatenate([d[name.replace("W", "b")][:, 0] for name in GATES])
    return {"w_ih": w[:, 5:].copy(), "w_hh": w[:, :5].copy(), "b_ih": b}


def lstm_weight_grads(grads: Any) -> dict[str, Any]:
    w = np.split(np.concatenate([grads.dw_hh, grads.dw_ih], axis=1), 4)
    b = np.split(grads.db_ih, 4)
    d = {f"d{name}": a for name, a in zip(GATES, w, strict=True)}
    return d | {f"d{n.replace('W', 'b')}": a for n, a in zip(GATES, b, strict=True)}


def close(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE)


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_rnn_cell_forward(module: Any) -> None:
    d = draw(xt=(3, 10), a_prev=(5, 10), **RNN_SHAPES)
    y, _, _ = module.rnn_forward(
        rows(d["xt"])[None], **rnn_weights(d), h0=rows(d["a_prev"])
    )
    expected = [0.59584544, 0.18141802, 0.61311866, 0.99808218, 0.85016201]
    expected += [0.99980978, -0.18887155, 0.99815551, 0.6531151, 0.82872037]
    close(y[0, :, 4], expected)
    out = softmax(module.linear_forward(y, d["Wya"], d["by"][:, 0].copy()))
    expected = [0.9888161, 0.01682021, 0.21140899, 0.36817467, 0.98988387]
    expected += [0.88945212, 0.36920224, 0.9966312, 0.9982559, 0.17746526]
    close(out[0, :, 1], expected)


def test_rnn_forward(module: Any) -> None:
    d = draw(x=(3, 10, 4), a0=(5, 10), **RNN_SHAPES)
    y, _, _ = module.rnn_forward(rows(d["x"]), **rnn_weights(d), h0=rows(d["a0"]))
    close(columns(y)[4, 1], [-0.99999375, 0.77911235, -0.99861469, -0.99833267])
    out = softmax(module.linear_forward(y, d["Wya"], d["by"][:, 0].copy()))
    close(columns(out)[1, 3], [0.79560373, 0.86224861, 0.11118257, 0.81515947])


def test_rnn_cell_backward(module: Any) -> None:
    shapes = {"Wax": (5, 3)} | RNN_SHAPES  # Wax is drawn first here
    d = draw(xt=(3, 10), a_prev=(5, 10), **shapes, da_next=(5, 10))
    _, _, tape = module.rnn_forward(
        rows(d["xt"])[None], **rnn_weights(d), h0=rows(d["a_prev"])
    )
    grads = module.rnn_backward(tape, rows(d["da_next"])[None])
    close(columns(grads.dx)[1, 2, 0], -1.3872130506)
    close(grads.dh0[3, 2], -0.152399493774)
    close(grads.dw_ih[3, 1], 0.410772824935)
    close(grads.dw_hh[1, 2], 1.15034506685)
    close(grads.db_ih[4], 0.20023491)


def test_rnn_backward(module: Any) -> None:
    shapes = {"Wax": (5, 3)} | RNN_SHAPES  # Wax is drawn first here
    d = draw(x=(3, 10, 4), a0=(5, 10), **shapes, da=(5, 10, 4))
    _, _, tape = module.rnn_forward(rows(d["x"]), **rnn_weights(d), h0=rows(d["a0"]))
    grads = module.rnn_backward(tape, rows(d["da"]))
    expected = [-2.07101689, -0.59255627, 0.02466855, 0.01483317]
    close(columns(grads.dx)[1, 2], expected)
    close(grads.dh0[3, 2], -0.314942375127)
    close(grads.dw_ih[3, 1], 11.2641044965)
    close(grads.dw_hh[1, 2], 2.30333312658)
    close(grads.db_ih[4], -0.74747722)


def test_lstm_cell_forward(module: Any) -> None:
    d = draw(xt=(3, 10), a_prev=(5, 10), c_prev=(5, 10), **LSTM_SHAPES)
    _, (h_n, c_n), _ = module.lstm_forward(
        rows(d["xt"])[None],
        **lstm_weights(d),
        h0=rows(d["a_prev"]),
        c0=rows(d["c_prev"]),
    )
    expected = [-0.66408471, 0.0036921, 0.02088357, 0.22834167, -0.85575339]
    expected += [0.00138482, 0.76566531, 0.34631421, -0.00215674, 0.43827275]
    close(h_n[:, 4], expected)
    expected = [0.63267805, 1.00570849, 0.35504474, 0.20690913, -1.64566718]
    expected += [0.11832942, 0.76449811, -0.0981561, -0.74348425, -0.26810932]
    close(c_n[:, 2], expected)


def test_lstm_forward(module: Any) -> None:
    d = draw(x=(3, 10, 7), a0=(5, 10), **LSTM_SHAPES, **OUT_SHAPES)
    y, _, tape = module.lstm_forward(rows(d["x"]), **lstm_weights(d), h0=rows(d["a0"]))
    close(columns(y)[4, 3, 6], 0.172117767533)
    close(columns(tape.c)[1, 2, 1], -0.855544916718)
    out = softmax(module.linear_forward(y, d["Wy"], d["by"][:, 0].copy()))
    close(columns(out)[1, 4, 3], 0.95087346185)


def test_lstm_cell_backward(module: Any) -> None:
    d = draw(
        xt=(3, 10), a_prev=(5, 10), c_prev=(5, 10), **LSTM_SHAPES, **OUT_SHAPES,
        da_next=(5, 10), dc_next=(5, 10),
    )  # fmt: skip
    _, _, tape = module.lstm_forward(
        rows(d["xt"])[None],
        **lstm_weights(d),
        h0=rows(d["a_prev"]),
        c0=rows(d["c_prev"]),
    )
    grads = module.lstm_backward(tape, dh_n=rows(d["da_next"]), dc_n=rows(d["dc_next"]))
    close(columns(grads.dx)[1, 2, 0], 3.23055911511)
    close(grads.dh0[3, 2], -0.0639621419711)
    close(grads.dc0[3, 2], 0.797522038797)
    of = lstm_weight_grads(grads)
    close(of["dWf"][3, 1], -0.147954838164)
    close(of["dWi"][1, 2], 1.05749805523)
    close(of["dWc"][3, 1], 2.30456216369)
    close(of["dWo"][1, 2], 0.331311595289)
    close(of["dbf"][4], 0.18864637)
    close(of["dbi"][4], -0.40142491)
    close(of["dbc"][4], 0.25587763)
    close(of["dbo"][4], 0.13893342)


def test_lstm_backward(module: Any) -> None:
    """The gradient covers the first 4 of 7 steps only."""
    d = draw(x=(3, 10, 7), a0=(5, 10), **LSTM_SHAPES, da=(5, 10, 4))
    _, _, tape = module.lstm_forward(
        rows(d["x"])[:4], **lstm_weights(d), h0=rows(d["a0"])
    )
    grads = module.lstm_backward(tape, rows(d["da"]))
    expected = [0.00218254, 0.28205375, -0.48292508, -0.43281115]
    close(columns(grads.dx)[1, 2], expected)
    close(grads.dh0[3, 2], 0.312770310257)
    of = lstm_weight_grads(grads)
    close(of["dWf"][3, 1], -0.0809802310938)
    close(of["dWi"][1, 2], 0.40512433093)
    close(of["dWc"][3, 1], -0.0793746735512)
    close(of["dWo"][1, 2], 0.038948775763)
    close(of["dbf"][4], -0.15745657)
    close(of["dbi"][4], -0.50848333)
    close(of["dbc"][4], -0.42510818)
    close(of["dbo"][4], -0.17958196)
