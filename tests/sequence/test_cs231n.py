"""Values printed in Stanford CS231n 2017, assignment 3 (captioning with RNN, LSTM).

There, arrays are batch first and weights multiply from the right: ``x @ Wx + h @ Wh``;
the LSTM's gates come in the order i, f, o, g.
"""

from typing import Any

import numpy as np
import pytest

TOLERANCE = 1e-7  # eight digits are printed


def ramp(first: float, last: float, *shape: int) -> Any:
    return np.linspace(first, last, int(np.prod(shape))).reshape(shape)


def weight(w: Any, cell: str) -> Any:
    """Return weights that multiply from the right (or a bias) in our layout."""
    if cell == "lstm":
        i, f, o, g = np.split(w, 4, axis=-1)
        w = np.concatenate([i, f, g, o], axis=-1)
    return np.ascontiguousarray(w.T)


def time_major(a: Any) -> Any:
    return np.ascontiguousarray(np.swapaxes(a, 0, 1))


def test_rnn_step(module: Any) -> None:
    y, h_n, _ = module.rnn_forward(
        ramp(-0.4, 0.7, 1, 3, 10),
        weight(ramp(-0.1, 0.9, 10, 4), "rnn"),
        weight(ramp(-0.3, 0.7, 4, 4), "rnn"),
        ramp(-0.2, 0.4, 4),
        h0=ramp(-0.2, 0.5, 3, 4),
    )
    expected = [
        [-0.58172089, -0.50182032, -0.41232771, -0.31410098],
        [0.66854692, 0.79562378, 0.87755553, 0.92795967],
        [0.97934501, 0.99144213, 0.99646691, 0.99854353],
    ]
    np.testing.assert_allclose(y[0], expected, atol=TOLERANCE)
    np.testing.assert_array_equal(h_n, y[0])


def test_rnn_sequence(module: Any) -> None:
    y, _, _ = module.rnn_forward(
        time_major(ramp(-0.1, 0.3, 2, 3, 4)),
        weight(ramp(-0.2, 0.4, 4, 5), "rnn"),
        weight(ramp(-0.4, 0.1, 5, 5), "rnn"),
        ramp(-0.7, 0.1, 5),
        h0=ramp(-0.3, 0.1, 2, 5),
    )
    expected = [
        [
            [-0.42070749, -0.27279261, -0.11074945, 0.05740409, 0.22236251],
            [-0.39525808, -0.22554661, -0.0409454, 0.14649412, 0.32397316],
            [-0.42305111, -0.24223728, -0.04287027, 0.15997045, 0.35014525],
        ],
        [
            [-0.55857474, -0.39065825, -0.19198182, 0.02378408, 0.23735671],
            [-0.27150199, -0.07088804, 0.13562939, 0.33099728, 0.50158768],
            [-0.51014825, -0.30524429, -0.06755202, 0.17806392, 0.40333043],
        ],
    ]
    np.testing.assert_allclose(y, time_major(expected), atol=TOLERANCE)


def test_lstm_step(module: Any) -> None:
    y, (_, c_n), _ = module.lstm_forward(
        ramp(-0.4, 1.2, 1, 3, 4),
        weight(ramp(-2.1, 1.3, 4, 20), "lstm"),
        weight(ramp(-0.7, 2.2, 5, 20), "lstm"),
        weight(ramp(0.3, 0.7, 20), "lstm"),
        h0=ramp(-0.3, 0.7, 3, 5),
        c0=ramp(-0.4, 0.9, 3, 5),
    )
    expected_h = [
        [0.24635157, 0.28610883, 0.32240467, 0.35525807, 0.38474904],
        [0.49223563, 0.55611431, 0.61507696, 0.66844003, 0.7159181],
        [0.56735664, 0.66310127, 0.74419266, 0.80889665, 0.858299],
    ]
    expected_c = [
        [0.32986176, 0.39145139, 0.451556, 0.51014116, 0.56717407],
        [0.66382255, 0.76674007, 0.87195994, 0.97902709, 1.08751345],
        [0.74192008, 0.90592151, 1.07717006, 1.25120233, 1.42395676],
    ]
    np.testing.assert_allclose(y[0], expected_h, atol=TOLERANCE)
    np.testing.assert_allclose(c_n, expected_c, atol=TOLERANCE)


def test_lstm_sequence(module: Any) -> None:
    y, _, _ = module.lstm_forward(
        time_major(ramp(-0.4, 0.6, 2, 3, 5)),
        weight(ramp(-0.2, 0.9, 5, 16), "lstm"),
        weight(ramp(-0.3, 0.6, 4, 16), "lstm"),
        weight(ramp(0.2, 0.7, 16), "lstm"),
        h0=ramp(-0.4, 0.8, 2, 4),
    )
    expected = [
        [
            [0.01764008, 0.01823233, 0.01882671, 0.0194232],
            [0.11287491, 0.12146228, 0.13018446, 0.13902939],
            [0.31358768, 0.33338627, 0.35304453, 0.37250975],
        ],
        [
            [0.45767879, 0.4761092, 0.4936887, 0.51041945],
            [0.6704845, 0.69350089, 0.71486014, 0.7346449],
            [0.81733511, 0.83677871, 0.85403753, 0.86935314],
        ],
    ]
    np.testing.assert_allclose(y, time_major(expected), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("cell", "features", "expected"),
    [
        ("rnn", (-1.5, 0.3), 9.83235591003),
        ("lstm", (-0.5, 1.7), 9.82445935443),
    ],
    ids=["rnn", "lstm"],
)
def test_captioning_loss(
    cell: str, features: Any, expected: float, module: Any
) -> None:
    """Embedding, recurrent layer, linear layer and masked loss, end to end."""
    G = 4 if cell == "lstm" else 1
    captions = time_major((np.arange(10 * 13) % 3).reshape(10, 13))

    def same(*shape: int) -> Any:
        return ramp(-1.4, 1.3, *shape)

    h0 = module.linear_forward(
        ramp(*features, 10, 20), weight(same(20, 40), "rnn"), same(40)
    )
    y, _, _ = getattr(module, f"{cell}_forward")(
        captions[:-1],
        weight(same(30, G * 40), cell),
        weight(same(40, G * 40), cell),
        weight(same(G * 40), cell),
        h0=h0,
        embedding=same(3, 30),
    )
    loss, _ = module.linear_cross_entropy(
        y, weight(same(40, 3), "rnn"), same(3), captions[1:],
        ignore_index=0, reduction="sum",
    )  # fmt: skip
    assert loss / 10 == pytest.approx(expected, rel=1e-11)
