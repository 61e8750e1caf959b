"""What both estimators share.

Symbols: ``K`` sequences, ``I`` inputs, ``O`` outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from fastrnn._types import FloatArray
from fastrnn.sklearn._inputs import Scale, read_sequences
from fastrnn.sklearn._network import Data, run, train


class SequenceEstimator(BaseEstimator):
    """The base class of both: options, the network, and how it is trained."""

    def __init__(
        self,
        cell: str = "lstm",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: str = "last",
        dropout: float = 0.0,
        learning_rate: float = 1e-3,
        batch_size: int = 32,
        max_epochs: int = 50,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        class_weight: Any = None,
        standardize: bool = True,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        """Keep the options; `fit` checks them.

        Parameters
        ----------
        cell : {"lstm", "gru", "rnn"}
            The recurrent layers.
        hidden_size : int
            Units per layer and direction.
        num_layers : int
            Recurrent layers, one upon the other.
        bidirectional : bool
            A second direction reads each sequence backwards.
        pooling : {"last", "mean", "max", "attention"}
            How the outputs of all steps become one vector.
        dropout : float
            ``0 <= dropout < 1``; between recurrent layers, and before the output.
        learning_rate : float
            Adam's.
        batch_size : int
            Sequences per step of training.
        max_epochs : int
            Passes through all sequences.
        early_stopping : bool
            Put a share of the sequences aside, stop when the loss on them has not
            fallen for ``n_iter_no_change`` epochs, and keep the network of the best
            epoch.
        validation_fraction : float
            That share, ``0 < validation_fraction < 1``.
        n_iter_no_change : int
            At least 1.
        class_weight : dict, "balanced" or None
            The weight of each class; of the classifier alone. "balanced" weights
            classes inversely to their number of sequences.
        standardize : bool
            Take each of the I inputs (over all steps of all sequences), and the
            targets of a regression, to mean 0 and standard deviation 1.
        random_state : int, RandomState or None
            All randomness comes from it.
        verbose : int
            1 shows a progress bar for each epoch.
        """
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.standardize = standardize
        self.random_state = random_state
        self.verbose = verbose

    def _require_targets(self, y: Any) -> None:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                f"None"
            )

    def _weights(self, sample_weight: Any, K: int) -> FloatArray:
        """Return weights [K], not all of them 0."""
        if sample_weight is None:
            return np.ones(K)
        weights: FloatArray = check_array(
            sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
        )
        if weights.shape != (K,):
            raise ValueError(
                f"sample_weight: expected shape (K,) = {(K,)}, got {weights.shape}"
            )
        if weights.min() < 0 or not weights.any():
            raise ValueError(
                "sample_weight: expected weights >= 0 that are not all zero, got "
                + ("a negative one" if weights.min() < 0 else "only zeros")
            )
        return weights

    def _train(self, X: Any, y: Any, weights: FloatArray, outputs: int) -> None:
        """Train on targets [K] of classes, or [K, O] of numbers; set the results."""
        inputs = X[0].shape[1]
        self._scale = Scale.of(X, weights) if self.standardize else Scale.none(inputs)
        self.model_, history = train(
            self, Data(self._scale.apply(X), y, weights), inputs, outputs
        )
        self.loss_curve_ = history["loss"]
        self.n_iter_ = history.epochs
        if self.early_stopping:
            self.validation_loss_curve_ = history["validation"]

    def _outputs(self, X: Any) -> FloatArray:
        """Return the network's outputs for sequences, [K, O], in float64."""
        check_is_fitted(self)
        return run(self.model_, self._scale.apply(read_sequences(self, X, reset=False)))
