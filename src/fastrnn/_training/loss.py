"""The loss of one batch, with its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from fastrnn._functional import regression
from fastrnn._functional.ctc import ctc_loss
from fastrnn._gate.arguments import check_choice, check_integers, check_rank
from fastrnn._layers.base import Layer
from fastrnn._types import BoolArray, valid_steps
from fastrnn.data import Batch, StreamBatch

Loss: TypeAlias = "str | Callable[..., tuple[Any, Any]]"

IGNORED = -100  # the target that cross-entropy ignores
NAMES = (
    "cross_entropy",
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "binary_cross_entropy",
    "ctc",
)


def check_loss(loss: Any) -> Loss:
    """Return a function; ``"cross_entropy"``, the model's own; or ``"ctc"``."""
    if callable(loss):
        function: Loss = loss
        return function
    if not isinstance(loss, str):
        kind = type(loss).__name__
        raise TypeError(f"loss: expected a name or a function, got {kind}")
    check_choice("loss", loss, NAMES)
    return loss if loss in ("cross_entropy", "ctc") else getattr(regression, loss)


def as_batch(name: str, value: Any, model: Layer) -> Batch:
    """Return a batch, of the dtype of the model."""
    if isinstance(value, StreamBatch):
        value = Batch(*value, continues=True)
    elif type(value) is tuple and len(value) == 2:
        value = Batch(*value)
    elif not isinstance(value, Batch):
        kind = type(value).__name__
        raise TypeError(
            f"{name}: expected a fastrnn.data.Batch or a pair (x, targets), got {kind}"
        )
    for field in ("x", "targets", "weights"):
        require_dtype(f"{name}.{field}", getattr(value, field), model)
    batch: Batch = value
    return batch


def is_array(a: Any) -> bool:
    return issubclass(type(a), np.ndarray)  # a mock claims to be an instance


def require_dtype(name: str, a: Any, model: Layer) -> None:
    """Refuse floating arrays of another dtype than the model's, and say what to do."""
    if is_array(a) and a.dtype.kind == "f" and a.dtype != model.dtype:
        raise TypeError(
            f"{name}: expected dtype {model.dtype} (that of the model), got {a.dtype}; "
            f"fastrnn.data.batches(..., dtype=np.{model.dtype}) converts, and so does "
            f"a.astype(np.{model.dtype})"
        )


def run_batch(
    model: Layer, batch: Batch, loss: Loss, state: Any = None
) -> tuple[float, Any]:
    """Run the model on a batch; in training mode, add to its gradients.

    Returns the loss and the state after the batch, None for a model without.
    """
    if loss == "cross_entropy":
        value, state = cross_entropy(model, batch, state)
        dy = None
    else:
        y, state = call(model, batch, state)
        value, dy = (ctc if loss == "ctc" else apply)(loss, y, batch, model)
    if model.training:
        model.backward(dy)
    return float(value), state


def options(model: Layer, batch: Batch, state: Any) -> dict[str, Any]:
    """Return what a call of the model is given beside the input."""
    given: dict[str, Any] = {
        "lengths": batch.lengths,
        "padding": batch.padding,
        "resets": batch.resets,
        "batch_first": model.batch_first,
    }
    wanted = {name: given[name] for name in model.wants}
    return wanted | ({"state": state} if model.has_state else {})


def call(model: Layer, batch: Batch, state: Any = None) -> tuple[Any, Any]:
    """Return the outputs of a model, and its state, None for a model without."""
    result = model(batch.x, **options(model, batch, state))
    return result if model.has_state else (result, None)


def cross_entropy(model: Any, batch: Batch, state: Any) -> tuple[Any, Any]:
    if batch.targets is None:
        raise ValueError("batches: expected targets for the loss, got None")
    if not hasattr(model, "cross_entropy"):
        kind = type(model).__name__
        raise TypeError(
            f"loss: expected a function, or a model that ends in Linear for "
            f"'cross_entropy', got {kind}"
        )
    how = options(model, batch, state)
    if batch.weights is not None:
        how["weights"] = batch.weights
    result = model.cross_entropy(batch.x, batch.targets, **how)
    return result if model.has_state else (result, None)


def apply(loss: Any, y: Any, batch: Batch, model: Layer) -> tuple[Any, Any]:
    """Return a function's loss and the gradient of ``y``; it sees valid steps only."""
    weights = {} if batch.weights is None else {"weights": batch.weights}
    valid = valid_targets(y, batch, model)
    if valid is None:
        value, dy = loss(y, batch.targets, **weights)
        return value, dy
    weights = {name: a[valid] for name, a in weights.items()}
    value, gradient = loss(y[valid], batch.targets[valid], **weights)
    dy = np.zeros_like(y)
    dy[valid] = gradient
    return value, dy


def ctc(loss: Any, y: Any, batch: Batch, model: Layer) -> tuple[Any, Any]:
    """Return the loss of labels ``[N, S]``, -100 after the last, and the gradient."""
    if batch.padding != "right":
        raise ValueError(
            f"batches: padding: expected 'right' with 'ctc', got {batch.padding!r}"
        )
    if batch.weights is not None:
        kind = type(batch.weights).__name__
        raise ValueError(f"batches: weights: expected None with 'ctc', got {kind}")
    if not is_array(y) or y.ndim != 3:
        got = y.shape if is_array(y) else type(y).__name__
        raise ValueError(
            f"loss: expected a model with logits for each step with 'ctc', got {got}"
        )
    labels = check_integers("batches: targets", batch.targets, "i", "a signed integer")
    check_rank("batches: targets", labels, "(N, S)", 2)
    given = labels != IGNORED
    counts = given.sum(1)
    wrong = given != (np.arange(labels.shape[1]) < counts[:, np.newaxis])
    if wrong.any():
        n = int(wrong.any(1).argmax())
        raise ValueError(
            f"batches: targets: expected {IGNORED} after the last label only, got "
            f"{labels[n].tolist()} in row {n}"
        )
    logits = y.swapaxes(0, 1) if model.batch_first else y
    T, N = logits.shape[:2]
    lengths = np.full(N, T) if batch.lengths is None else batch.lengths
    value, dlogits = ctc_loss(logits, labels, lengths, counts)
    return value, dlogits.swapaxes(0, 1).copy() if model.batch_first else dlogits


def valid_targets(y: Any, batch: Batch, model: Layer) -> BoolArray | None:
    """Return which steps are valid, if there are padding and a target for each step."""
    targets = batch.targets
    if not is_array(y) or not is_array(targets):
        return None
    if batch.lengths is None or y.ndim < 3 or targets.shape[:2] != y.shape[:2]:
        return None
    return valid(y.shape, batch, model)


def valid(shape: tuple[int, ...], batch: Batch, model: Layer) -> BoolArray:
    """Return which steps of an array of this shape are valid, in its layout."""
    T, N = shape[1::-1] if model.batch_first else shape[:2]
    lengths = None if batch.lengths is None else np.asarray(batch.lengths)
    steps = valid_steps(T, N, lengths, batch.padding)
    return steps.T if model.batch_first else steps


def amount(batch: Batch, model: Layer, loss: Loss) -> float:
    """Return how much the loss of a batch counts in a mean over batches."""
    if loss == "ctc":  # a mean over rows
        return float(len(batch.targets))
    if batch.weights is not None:
        return float(np.sum(batch.weights, dtype=np.float64))
    targets = batch.targets
    if not is_array(targets):
        return 1.0
    if targets.dtype.kind in "iu":
        return float(np.count_nonzero(targets != IGNORED))
    if targets.ndim < 3 or batch.lengths is None:
        return float(targets.size)
    return float(valid(targets.shape, batch, model).sum() * targets[0, 0].size)
