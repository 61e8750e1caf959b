"""The network of an estimator: made from its options, trained, and run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from fastrnn._gate.arguments import check_choice
from fastrnn._layers.attention import Attention
from fastrnn._layers.base import Layer
from fastrnn._layers.cells import GRU, LSTM, RNN
from fastrnn._layers.dropout import Dropout
from fastrnn._layers.linear import Linear
from fastrnn._layers.pooling import Last, MaxOverTime, MeanOverTime
from fastrnn._layers.sequential import Sequential
from fastrnn._training.fit import fit
from fastrnn._training.history import History
from fastrnn._training.optim.rules import Adam
from fastrnn._training.predict import predict
from fastrnn._types import FloatArray
from fastrnn.data import batches
from fastrnn.sklearn._inputs import Sequences

CELLS: dict[str, Any] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
POOLINGS = ("last", "mean", "max", "attention")


class Data(NamedTuple):
    """K sequences on one scale, with a class or numbers and a weight for each."""

    X: Sequences
    y: Any  # [K] integer, or [K, O] float32
    weights: FloatArray  # [K]


def train(
    options: Any, data: Data, inputs: int, outputs: int
) -> tuple[Sequential, History]:
    """Return a network that was trained on the data, and the history of its losses.

    ``options`` is an estimator.
    """
    drawn = check_random_state(options.random_state).randint(2**31 - 1, size=3)
    model = make_model(options, inputs, outputs, np.random.default_rng(drawn[0]))
    taken, held_out = np.arange(len(data.y)), None
    if options.early_stopping:
        taken, held_out = train_test_split(
            taken,
            test_size=options.validation_fraction,
            random_state=int(drawn[1]),
            stratify=data.y if is_classifier(options) else None,
        )
    how: dict[str, Any] = {"weights": data.weights, "rows": options.batch_size}
    training = batches(data.X, data.y, indices=taken, seed=int(drawn[2]), **how)
    early: dict[str, Any] = {}
    if held_out is not None:
        early["patience"] = options.n_iter_no_change
        early["validation"] = batches(
            data.X, data.y, indices=held_out, shuffle=False, **how
        )
    history = fit(
        model,
        training,
        loss="cross_entropy" if is_classifier(options) else "mean_squared_error",
        optimizer=Adam(model, lr=options.learning_rate),
        epochs=options.max_epochs,
        progress=bool(options.verbose),
        **early,
    )
    return model.eval(), history


def make_model(
    options: Any, inputs: int, outputs: int, rng: np.random.Generator
) -> Sequential:
    """Return a network with the first values of its parameters.

    They are PyTorch's, except that the weights of the inputs have the variance ``1/I``
    of Y. LeCun et al., "Efficient BackProp", 1998.
    """
    check_choice("cell", options.cell, tuple(CELLS))
    check_choice("pooling", options.pooling, POOLINGS)
    rnn = CELLS[options.cell](
        inputs, options.hidden_size, options.num_layers, dropout=options.dropout,
        bidirectional=options.bidirectional, seed=rng,
    )  # fmt: skip
    # On inputs of variance 1 the gates' sums have variance 1 too, however few inputs
    # there are; 1/sqrt(hidden_size) would leave them near 0, where learning is slow.
    bound = np.sqrt(3 / inputs)
    for name, a in rnn.params.items():
        if name.startswith("weight_ih_l0"):
            a[...] = rng.uniform(-bound, bound, a.shape)
    size = rnn.output_size
    layers: dict[str, Layer] = {"rnn": rnn}
    if options.pooling == "last":
        layers["pooling"] = Last(bidirectional=options.bidirectional)
    elif options.pooling == "attention":
        layers["pooling"] = Attention(size, seed=rng)
    else:
        layers["pooling"] = {"mean": MeanOverTime, "max": MaxOverTime}[
            options.pooling
        ]()
    if options.dropout:
        layers["dropout"] = Dropout(options.dropout, seed=rng)
    layers["head"] = Linear(size, outputs, seed=rng)
    return Sequential(**layers)


def run(model: Sequential, X: Sequences) -> FloatArray:
    """Return the outputs for sequences, [K, O], in float64."""
    outputs: FloatArray = predict(model, X).astype(np.float64)
    return outputs
