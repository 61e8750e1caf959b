"""`fastrnn.sklearn`: the estimators are scikit-learn's, for sequences."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from fastrnn.sklearn import SequenceClassifier, SequenceRegressor
from tests.comparing import assert_same_bits
from tests.errors import bad_values, raises

BOTH = pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
SMALL: dict[str, Any] = {"hidden_size": 8, "random_state": 0, "learning_rate": 0.01}


def sequences(K: int = 80, seed: int = 0) -> tuple[list[Any], Any, Any]:
    """Return sequences of two inputs, whether the first rises, and by how much."""
    rng = np.random.default_rng(seed)
    slopes = rng.uniform(-1, 1, K)
    made = []
    for slope, length in zip(slopes, rng.integers(4, 12, K), strict=True):
        t = np.linspace(0, 1, length)
        made.append(np.stack([100 + 5 * slope * t, rng.normal(size=length)], axis=1))
    return made, np.where(slopes > 0, "up", "down"), 1000 + 10 * slopes


X, LABELS, SLOPES = sequences()


@BOTH
def test_scikit_learn_checks_it(kind: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(kind(), on_skip=None)
    assert len(found) > 50
    left = {entry["check_name"] for entry in found if entry["status"] != "passed"}
    # It needs SCIPY_ARRAY_API=1 from the start of the process.
    assert left <= {"check_array_api_input"}


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_it_learns(cell: str, pooling: str) -> None:
    options = SMALL | {"cell": cell, "pooling": pooling, "bidirectional": True}
    classifier = SequenceClassifier(**options).fit(X, LABELS)
    new, labels, slopes = sequences(seed=1)
    assert classifier.score(new, labels) > 0.85
    assert classifier.classes_.tolist() == ["down", "up"]
    proba = classifier.predict_proba(new)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert_same_bits(classifier.classes_[proba.argmax(axis=1)], classifier.predict(new))
    regressor = SequenceRegressor(**options).fit(X, SLOPES)
    assert regressor.score(new, slopes) > 0.7
    assert regressor.loss_curve_[-1] < regressor.loss_curve_[0]
    assert (len(regressor.loss_curve_), regressor.n_iter_) == (50, 50)
    assert (regressor.n_features_in_, classifier.n_features_in_) == (2, 2)


def test_forms_of_input_are_the_same() -> None:
    array = np.stack([a[:4] for a in X])
    made = [
        SequenceClassifier(**SMALL, max_epochs=3).fit(form, LABELS)
        for form in (array, list(array), array.tolist(), tuple(array))
    ]
    for other in made[1:]:
        assert_same_bits(made[0].predict_proba(array), other.predict_proba(array))
    table = array[:, :, 0]
    first = SequenceClassifier(**SMALL, max_epochs=3).fit(table, LABELS)
    second = SequenceClassifier(**SMALL, max_epochs=3).fit(table[:, :, None], LABELS)
    assert (first.n_features_in_, second.n_features_in_) == (4, 1)
    assert_same_bits(first.predict_proba(table), second.predict_proba(array[..., :1]))


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    table = np.stack([a[:4, 0] for a in X])
    frame = pandas.DataFrame(table, columns=list("abcd"))
    expected = SequenceClassifier(**SMALL, max_epochs=3).fit(table, LABELS)
    found = SequenceClassifier(**SMALL, max_epochs=3)
    found.fit(frame, pandas.Series(LABELS), sample_weight=pandas.Series(np.ones(80)))
    assert found.feature_names_in_.tolist() == list("abcd")
    assert_same_bits(found.predict_proba(frame), expected.predict_proba(table))
    column = pandas.Series(X)
    third = SequenceClassifier(**SMALL, max_epochs=3).fit(column, LABELS)
    assert third.predict(column).shape == (80,)
    assert not hasattr(found.fit(column, LABELS), "feature_names_in_")


def test_a_weight_is_a_number_of_copies() -> None:
    w = np.random.default_rng(0).integers(0, 4, 80)
    order = np.random.default_rng(1).permutation(80)
    copies = np.repeat(np.arange(80), w)
    for estimator, y in (
        (SequenceClassifier(**SMALL, max_epochs=3), LABELS),
        (SequenceRegressor(**SMALL, max_epochs=3), SLOPES),
    ):
        weighted = clone(estimator).fit([X[k] for k in order], y[order], w[order])
        repeated = clone(estimator).fit([X[k] for k in copies], y[copies])
        assert_same_bits(weighted.predict(X), repeated.predict(X))
        assert (weighted.predict(X) != clone(estimator).fit(X, y).predict(X)).any()


def test_balanced_classes() -> None:
    few = np.flatnonzero(LABELS == "up")[:4]
    places = np.concatenate([np.flatnonzero(LABELS == "down"), few])
    some, labels = [X[k] for k in places], LABELS[places]
    options = SMALL | {"max_epochs": 5, "learning_rate": 0.003}
    plain = SequenceClassifier(**options).fit(some, labels)
    balanced = SequenceClassifier(**options, class_weight="balanced").fit(some, labels)
    weights = len(labels) / (2 * np.where(labels == "up", 4, len(labels) - 4))
    weighted = SequenceClassifier(**options).fit(some, labels, weights)
    assert_same_bits(balanced.predict_proba(X), weighted.predict_proba(X))
    assert balanced.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean()


def test_several_numbers() -> None:
    y = np.stack([SLOPES, -3 * SLOPES], axis=1)
    regressor = SequenceRegressor(**SMALL).fit(X, y)
    assert regressor.predict(X[:3]).shape == (3, 2)
    assert regressor.score(X, y) > 0.7
    assert SequenceRegressor(**SMALL, max_epochs=1).fit(X, y[:, :1]).predict(
        X
    ).shape == (80, 1)


def test_early_stopping() -> None:
    y = np.random.default_rng(0).permutation(LABELS)  # nothing to learn
    estimator = SequenceClassifier(**SMALL, early_stopping=True, n_iter_no_change=3)
    estimator.fit(X, y)
    losses = estimator.validation_loss_curve_
    assert len(losses) == estimator.n_iter_ == np.argmin(losses) + 4 < 50
    assert not hasattr(
        SequenceClassifier(**SMALL, max_epochs=1).fit(X, y), "validation_loss_curve_"
    )


def test_grid_search_in_processes_and_cross_validation() -> None:
    search = GridSearchCV(
        SequenceClassifier(**SMALL, max_epochs=20),
        {"cell": ["gru", "rnn"], "hidden_size": [4, 8]},
        n_jobs=2,
        cv=2,
    )
    search.fit(X, LABELS)
    assert search.best_score_ > 0.8
    scores = cross_val_score(SequenceRegressor(**SMALL), X, SLOPES, cv=3)
    assert (scores > 0.5).all()


def test_pipelines() -> None:
    table = np.stack([a[:4, 0] for a in X])
    first = make_pipeline(StandardScaler(), SequenceClassifier(**SMALL))
    assert first.fit(table, LABELS).score(table, LABELS) > 0.8
    halves = FunctionTransformer(lambda sequences: [a[:, :1] for a in sequences])
    second = make_pipeline(halves, SequenceClassifier(**SMALL))
    assert second.fit(X, LABELS).score(X, LABELS) > 0.8


@BOTH
def test_pickles_and_clones(kind: Any) -> None:
    y = LABELS if kind is SequenceClassifier else SLOPES
    estimator = kind(**SMALL, max_epochs=2, dropout=0.3, num_layers=2).fit(X, y)
    copy = pickle.loads(pickle.dumps(estimator))
    assert_same_bits(copy.predict(X), estimator.predict(X))
    assert_same_bits(clone(estimator).fit(X, y).predict(X), estimator.predict(X))
    assert type(estimator).__module__ == "fastrnn.sklearn"


def test_progress_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import fastrnn.sklearn._network as network

    asked = []
    fit = network.fit

    def record(*arguments: Any, **options: Any) -> Any:
        asked.append(options["progress"])
        return fit(*arguments, **options)

    monkeypatch.setattr(network, "fit", record)
    for verbose in (0, 1):
        SequenceClassifier(**SMALL, max_epochs=1, verbose=verbose).fit(X, LABELS)
    assert asked == [False, True]


@bad_values(
    TypeError={
        "X[1]: expected numbers, got dtype <U1": {"X": [X[0], np.array([["a", "b"]])]},
    },
    ValueError={
        "X: expected sequences of shape (length, I) where lengths differ, got "
        "(length,): one input for each step is an array of shape (length, 1)": {
            "X": [[1.0, 2.0], [1.0]]
        },
        "X[1]: expected shape (length, I) with length >= 1 and I as in X[0], got "
        "(0, 2)": {"X": [X[0], X[1][:0]]},
        "cell: expected 'lstm', 'gru' or 'rnn', got 'lstn'": {"cell": "lstn"},
        "pooling: expected 'last', 'mean', 'max' or 'attention', got 'sum'": {
            "pooling": "sum"
        },
        "sample_weight: expected shape (K,) = (2,), got (3,)": {
            "sample_weight": [1.0, 1, 1]
        },
        "sample_weight: expected weights >= 0 that are not all zero, got a negative "
        "one": {"sample_weight": [1.0, -1]},
    },
)
def test_bad_arguments(bad: Any, error: Any, message: str) -> None:
    data = {name: bad[name] for name in bad if name in ("X", "sample_weight")}
    options = {name: bad[name] for name in bad if name not in data}
    with raises(error, message):
        SequenceClassifier(**options).fit(**{"X": X[:2], "y": [0, 1]} | data)


def test_other_inputs_than_in_fit() -> None:
    classifier = SequenceClassifier(**SMALL, max_epochs=1).fit(X, LABELS)
    with pytest.raises(ValueError, match="X has 1 features, but SequenceClassifier"):
        classifier.predict([a[:, :1] for a in X])
    with raises(ValueError, "class_weight: expected None for a regression, got {}"):
        SequenceRegressor(class_weight={}).fit(X, SLOPES)
