"""`SequenceClassifier` and `SequenceRegressor`.

Symbols: ``K`` sequences, ``T`` time steps, ``I`` inputs, ``O`` outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from fastrnn._types import FloatArray
from fastrnn.sklearn._inputs import Scale, join_equal, read_sequences
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


class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """A recurrent network that gives each sequence a class.

    Attributes
    ----------
    classes_ : [V] array
        The labels, sorted.
    n_features_in_ : int
        ``I``; of a table [K, T], the number of its columns ``T``.
    loss_curve_ : list of float
        The mean cross-entropy of each epoch of training, in nats.
    validation_loss_curve_ : list of float
        With ``early_stopping``: that on the sequences put aside.
    n_iter_ : int
        The number of epochs.
    model_ : Sequential
        The network, on standardized inputs.
    feature_names_in_ : [T] array of str
        The names of the columns, if ``X`` was a pandas table with names.

    Notes
    -----
    A weight counts how often a sequence is there: 2 is the same as giving it twice, to
    the last bit, and 0 as leaving it out. The network computes in float32.

    Examples
    --------
    ::

        classifier = SequenceClassifier(early_stopping=True, random_state=0)
        classifier.fit(sequences, labels)  # a list of arrays [length, I]
        print(classifier.score(others, their_labels))
    """

    __module__ = "fastrnn.sklearn"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SequenceClassifier:
        """Train a network of its own on sequences and their labels.

        Parameters
        ----------
        X : list of K arrays [length, I], or array [K, T, I] or [K, T]
            Of finite numbers. A table [K, T] (a pandas one too) has one input for each
            step.
        y : [K]
            Labels: int, str or others.
        sample_weight : [K], optional
            Weights, at least 0.

        Returns
        -------
        SequenceClassifier
            Itself.

        Raises
        ------
        TypeError
            A type is wrong.
        ValueError
            A shape or value is wrong.
        """
        self._require_targets(y)
        sequences = read_sequences(self, X, reset=True)
        labels = column_or_1d(y, warn=True)
        check_consistent_length(sequences, labels)
        check_classification_targets(labels)
        weights = self._weights(sample_weight, len(labels))
        self.classes_, classes = np.unique(labels, return_inverse=True)
        if self.class_weight is not None:
            taken = weights > 0
            by_class = np.zeros(len(labels))
            by_class[taken] = compute_sample_weight(self.class_weight, labels[taken])
            weights = weights * by_class
        self._train(*join_equal(sequences, classes, weights), len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the probability of each class, [K, V], in the order of `classes_`.

        Parameters
        ----------
        X : sequences
            As for `fit`.
        """
        scores = self._outputs(X)
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: FloatArray = odds / odds.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each sequence, [K].

        Parameters
        ----------
        X : sequences
            As for `fit`.
        """
        best = self._outputs(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels


class SequenceRegressor(RegressorMixin, SequenceEstimator):
    """A recurrent network that gives each sequence one or more numbers.

    Attributes
    ----------
    n_features_in_ : int
        ``I``; of a table [K, T], the number of its columns ``T``.
    loss_curve_ : list of float
        The mean squared error of each epoch of training, of standardized targets.
    validation_loss_curve_ : list of float
        With ``early_stopping``: that on the sequences put aside.
    n_iter_ : int
        The number of epochs.
    model_ : Sequential
        The network, from standardized inputs to standardized targets.
    feature_names_in_ : [T] array of str
        The names of the columns, if ``X`` was a pandas table with names.

    Notes
    -----
    As for `SequenceClassifier`.
    """

    __module__ = "fastrnn.sklearn"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SequenceRegressor:
        """Train a network of its own on sequences and their numbers.

        Parameters
        ----------
        X : list of K arrays [length, I], or array [K, T, I] or [K, T]
            Of finite numbers. A table [K, T] (a pandas one too) has one input for each
            step.
        y : [K] or [K, O]
            The numbers.
        sample_weight : [K], optional
            Weights, at least 0.

        Returns
        -------
        SequenceRegressor
            Itself.

        Raises
        ------
        TypeError
            A type is wrong.
        ValueError
            A shape or value is wrong.
        """
        self._require_targets(y)
        if self.class_weight is not None:
            raise ValueError(
                f"class_weight: expected None for a regression, "
                f"got {self.class_weight!r}"
            )
        sequences = read_sequences(self, X, reset=True)
        numbers = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        check_consistent_length(sequences, numbers)
        weights = self._weights(sample_weight, len(numbers))
        self._single = numbers.ndim == 1
        sequences, targets, weights = join_equal(
            sequences, numbers.reshape(len(numbers), -1), weights
        )
        size = targets.shape[1]
        self._target_scale = Scale.none(size)
        if self.standardize:
            self._target_scale = Scale.of(targets[:, np.newaxis], weights)
        self._train(sequences, self._target_scale.apply(targets), weights, size)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Return the numbers of each sequence: [K], or [K, O] if `fit` was given such.

        Parameters
        ----------
        X : sequences
            As for `fit`.
        """
        outputs = self._outputs(X)
        numbers = self._target_scale.undo(outputs)
        return numbers[:, 0] if self._single else numbers
