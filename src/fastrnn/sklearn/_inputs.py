"""Sequences as scikit-learn's users have them, checked and put on one scale.

Symbols: ``K`` sequences, ``T`` time steps, ``I`` inputs, ``O`` outputs.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import assert_all_finite, validate_data

from fastrnn._types import FloatArray

Sequences: TypeAlias = "list[FloatArray] | FloatArray"  # K of [length, I]


def read_sequences(estimator: Any, X: Any, *, reset: bool) -> Sequences:
    """Return float64 sequences [length, I]; with ``reset``, set ``n_features_in_``.

    Raises
    ------
    TypeError
        A sparse matrix, or no numbers.
    ValueError
        A shape is wrong, a value is NaN or infinite, or there are other inputs than in
        ``fit``.
    """
    members = as_list(X)
    if members is None and getattr(X, "ndim", 2) != 3:
        table: FloatArray = validate_data(estimator, X, dtype=np.float64, reset=reset)
        return table[:, :, np.newaxis]
    found: Any
    if members is None:
        found = as_floats("X", X)
        if 0 in found.shape:
            raise ValueError(f"X: expected K, T, I >= 1, got {found.shape}")
    else:
        found = [as_floats(f"X[{k}]", a) for k, a in enumerate(members)]
        for k, a in enumerate(found):
            if a.ndim != 2 or 0 in a.shape or a.shape[1:] != found[0].shape[1:]:
                raise ValueError(
                    f"X[{k}]: expected shape (length, I) with length >= 1 and I as in "
                    f"X[0], got {a.shape}"
                )
    inputs = found[0].shape[1]
    if reset:
        estimator.n_features_in_ = inputs
        if hasattr(estimator, "feature_names_in_"):  # of an earlier fit on a table
            del estimator.feature_names_in_
    elif inputs != estimator.model_.input_size:
        raise ValueError(
            f"X has {inputs} features, but {type(estimator).__name__} is expecting "
            f"{estimator.model_.input_size} features as input"
        )
    return found


def as_list(X: Any) -> list[Any] | None:
    """Return the members of a list of sequences; None for an array or a table."""
    is_list = isinstance(X, (list, tuple))
    if not is_list:
        dtype = getattr(X, "dtype", None)
        if getattr(dtype, "kind", "") != "O" or getattr(X, "ndim", 0) != 1:
            return None
    members = list(X)
    ranks = {np.asarray(a).ndim for a in members[:1]}
    if ranks == {2}:
        return members
    if is_list and ranks == {1} and len({len(a) for a in members}) > 1:
        raise ValueError(
            "X: expected sequences of shape (length, I) where lengths differ, got "
            "(length,): one input for each step is an array of shape (length, 1)"
        )
    return None


def as_floats(name: str, value: Any) -> FloatArray:
    a = np.asarray(value)
    if a.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected numbers, got dtype {a.dtype}")
    assert_all_finite(a, input_name=name)
    return a.astype(np.float64)


def join_equal(
    X: Sequences, y: NDArray[Any], weights: FloatArray
) -> tuple[Sequences, NDArray[Any], FloatArray]:
    """Return each pair of a sequence and its target once, with all of its weight.

    So a weight means what it says: 2 is the same as the pair given twice, 0 as not
    given, to the last bit, and the order of the pairs does not matter.
    """
    places: dict[bytes, int] = {}
    total: dict[bytes, float] = {}
    for k in np.flatnonzero(weights):
        content = hashlib.blake2b(X[k].tobytes(), digest_size=16)
        content.update(y[k].tobytes())
        key = content.digest()
        places.setdefault(key, int(k))
        total[key] = total.get(key, 0.0) + weights[k]
    keys = sorted(places)
    taken = [places[key] for key in keys]
    joined = np.array([total[key] for key in keys])
    return take(X, taken), y[taken], joined


def take(X: Sequences, places: Any) -> Sequences:
    """Return the sequences at these places."""
    return X[places] if isinstance(X, np.ndarray) else [X[k] for k in places]


class Scale(NamedTuple):
    """Takes numbers to mean 0 and standard deviation 1, and back."""

    mean: FloatArray  # [I]
    deviation: FloatArray  # [I]; 1 where all numbers are equal

    @classmethod
    def of(cls, arrays: Any, weights: FloatArray) -> Scale:
        """Return the scale of weighted arrays, each ``[length, I]``."""
        counts = np.array([len(a) for a in arrays])
        total = float(counts @ weights)
        pairs = list(zip(arrays, weights, strict=True))
        mean = sum(w * a.sum(axis=0) for a, w in pairs) / total
        square = sum(w * np.square(a - mean).sum(axis=0) for a, w in pairs) / total
        deviation = np.sqrt(square)
        # Numbers that are equal can differ from their mean by rounding.
        equal = deviation <= 1e-14 * np.abs(mean)
        return cls(mean, np.where(equal, 1.0, deviation))

    @classmethod
    def none(cls, size: int) -> Scale:
        """Return the scale that changes nothing."""
        return cls(np.zeros(size), np.ones(size))

    def apply(self, a: Any) -> Any:
        """Return an array, or those of a list, on this scale; float32."""
        if isinstance(a, list):
            return [self.apply(member) for member in a]
        return ((a - self.mean) / self.deviation).astype(np.float32)

    def undo(self, a: FloatArray) -> FloatArray:
        """Return float64 numbers as they were."""
        back: FloatArray = a * self.deviation + self.mean
        return back
