"""Estimators for scikit-learn (``pip install scikit-learn``).

::

    from fastrnn.sklearn import SequenceClassifier

    classifier = SequenceClassifier(hidden_size=32, early_stopping=True)
    classifier.fit(sequences, labels)  # a list of arrays [length, I]
    classifier.score(other_sequences, other_labels)

They stand in pipelines, grid searches and cross-validation like any other estimator.
"""

from fastrnn.sklearn._estimators import SequenceClassifier, SequenceRegressor

__all__ = ["SequenceClassifier", "SequenceRegressor"]
