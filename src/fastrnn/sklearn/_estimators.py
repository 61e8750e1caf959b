"""`SequenceClassifier` and `SequenceRegressor`.

Symbols: ``K`` sequences, ``T`` time steps, ``I`` inputs, ``O`` outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    column_or_1d,
)

from fastrnn._types import FloatArray
from fastrnn.sklearn._base import SequenceEstimator
from fastrnn.sklearn._inputs import Scale, join_equal, read_sequences


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
