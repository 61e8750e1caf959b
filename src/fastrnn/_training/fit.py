"""`fit`: the loop from batches to a trained model."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sized
from typing import Any

from fastrnn._gate.arguments import check_flag
from fastrnn._layers.base import Layer
from fastrnn._training.check import (
    check_functions,
    check_model,
    check_numbers,
    gradients_of,
)
from fastrnn._training.checkpoint import Checkpoint
from fastrnn._training.history import Best, History
from fastrnn._training.loss import (
    Loss,
    amount,
    as_batch,
    check_loss,
    run_batch,
)
from fastrnn._training.optim.base import Optimizer
from fastrnn._training.optim.clip import clip_grad_norm
from fastrnn._training.progress import Progress

Schedule = Callable[[float, History], float]


def fit(
    model: Layer,
    batches: Iterable[Any],
    *,
    loss: Loss = "cross_entropy",
    optimizer: Optimizer,
    epochs: int = 1,
    validation: Iterable[Any] | None = None,
    schedule: Schedule | None = None,
    clip: float | None = 1.0,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    callbacks: Iterable[Callable[[Any, History], object]] = (),
    progress: bool = True,
) -> History:
    """Train a model, and return the history of its losses.

    ::

        training = fastrnn.data.batches(sequences, labels, seed=0)
        history = fastrnn.fit(
            model, training, optimizer=fastrnn.Adam(model), epochs=20,
            schedule=fastrnn.schedules.cosine(20), checkpoint="model.safetensors",
        )

    Parameters
    ----------
    model : layer
        A `Sequential`, or any other `Layer`.
    batches : iterable of `fastrnn.data.Batch`
        Gone through once per epoch: `fastrnn.data.batches`, a list, or anything that
        begins anew each time. A pair ``(x, targets)`` is a batch too. The pieces of
        `fastrnn.data.stream_batches` continue one another: the state is carried.
    loss : str or function
        ``"cross_entropy"`` is that of the model's last layer, `Linear`. Others are
        ``"mean_squared_error"``, ``"mean_absolute_error"``, ``"huber"`` and
        ``"binary_cross_entropy"``, the functions of these names, and ``"ctc"``,
        `ctc_loss` with the blank 0: for labels that are not aligned with the steps
        (``fastrnn.data.batches(..., aligned=False)``). A function takes
        ``(y, targets)``, and ``weights`` by name if the batches have any, and returns
        the mean loss and the gradient of ``y``. With lengths and a target for each
        step it gets the valid steps alone, ``y [steps, O]``.
    optimizer : optimizer
        One of the model's parameters: ``fastrnn.Adam(model)``.
    epochs : int
        How often to go through the batches, with those of the checkpoint.
    validation : iterable of batches, optional
        The loss on these is measured after each epoch, in eval mode.
    schedule : function, optional
        ``schedule(epoch, history)`` returns the factor of the learning rate for a step:
        one of `fastrnn.schedules`, or any other. ``epoch`` is the number of epochs at
        the middle of the step, 2.5 halfway through the third. Without it, ``lr`` is as
        the optimizer has it.
    clip : float or None
        The largest norm of the gradient; larger ones are scaled down to it.
    patience : int, optional
        Stop after so many epochs without a new lowest loss (on validation, if there
        is), and in any case put the parameters of the best epoch back at the end.
    checkpoint : path, optional
        A file that is written at the beginning and after each epoch. If it is there
        already, training goes on from it, and gives the same bits as without the
        interruption. It holds the
        parameters, the optimizer's state, the history, and the states of the random
        generators (``rng``) of layers, batches and validation.
    callbacks : functions
        Called as ``callback(model, history)`` after each epoch, before the checkpoint
        is written. ``history.stopped = True`` ends training.
    progress : bool
        Show a bar for each epoch, with tqdm if it is installed; never where stderr is
        neither a terminal nor a notebook.

    Returns
    -------
    History
        ``history["loss"]`` and, with validation, ``history["validation"]``: a number
        for each epoch. Ctrl-C returns what is there.

    Raises
    ------
    FloatingPointError
        A gradient is infinite or NaN (with ``clip``); the model keeps the parameters
        that it had before that step.
    OSError
        The checkpoint cannot be read or written.
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong, there are no batches, or the checkpoint is one of
        another model.

    Notes
    -----
    Means over an epoch are weighted by the number of targets in each batch (by the sum
    of weights), so they are those of all targets. The model is left in the mode, and
    the optimizer with the learning rate, that they had before.

    Examples
    --------
    Is the sum of five numbers above 0?

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((256, 5, 1), np.float32)  # [K, T, I]
    >>> labels = (x.sum(axis=(1, 2)) > 0).astype(int)
    >>> model = fastrnn.Sequential(
    ...     fastrnn.GRU(1, 8, seed=0), fastrnn.Last(), fastrnn.Linear(8, 2, seed=0)
    ... )
    >>> history = fastrnn.fit(
    ...     model, fastrnn.data.batches(x, labels, seed=0), epochs=10,
    ...     optimizer=fastrnn.Adam(model, lr=0.02), progress=False,
    ... )
    >>> len(history["loss"]), history["loss"][-1] < 0.3
    (10, True)
    """
    loss = check_loss(loss)
    check_model(model, optimizer)
    callbacks = check_functions(batches, validation, schedule, callbacks)
    epochs, clip, patience = check_numbers(epochs, clip, patience)
    progress = check_flag("progress", progress)
    history, best = History(), Best(patience)
    saved = Checkpoint(
        checkpoint, model, optimizer, (batches, validation), history, best
    )
    saved.restore()
    was_training, lr = model.training, optimizer.lr
    try:
        while history.epochs < epochs and not history.stopped:
            title = f"epoch {history.epochs + 1}/{epochs}"
            with Progress(progress, title, batches) as bar:
                rate = Rate(optimizer, lr, schedule, batches, history)
                mean = train(model, batches, loss, optimizer, rate, clip, history, bar)
                found = {"loss": mean}
                if validation is not None:
                    found["validation"] = evaluate(model, validation, loss)
                bar.finish(**found)
            if schedule is not None:
                optimizer.lr = lr
            history.add(**found)
            best.update(model, history)
            for callback in callbacks:
                callback(model, history)
            saved.save()
    except KeyboardInterrupt:
        pass
    finally:
        if schedule is not None:
            optimizer.lr = lr
        model.train() if was_training else model.eval()
    best.put_back(model)
    return history


def train(
    model: Layer,
    batches: Iterable[Any],
    loss: Loss,
    optimizer: Optimizer,
    rate: Rate,
    clip: float | None,
    history: History,
    bar: Progress,
) -> float:
    """Go through the batches once; return the mean loss."""
    model.train()
    grads = gradients_of(optimizer, model)
    mean, state = Mean(), None
    for k, value in enumerate(batches):
        batch = as_batch(f"batches[{k}]", value, model)
        rate.set(k)
        model.zero_grad()
        value, state = run_batch(model, batch, loss, state if batch.continues else None)
        if clip is not None:
            clip_gradient(model, clip, history)
        optimizer.step(grads)
        history.steps.append(value)
        bar.step(mean.add(value, amount(batch, model, loss)))
    return mean.value("batches")


def evaluate(model: Layer, batches: Iterable[Any], loss: Loss) -> float:
    """Return the mean loss on batches, in eval mode."""
    model.eval()
    mean, state = Mean(), None
    for k, value in enumerate(batches):
        batch = as_batch(f"validation[{k}]", value, model)
        value, state = run_batch(model, batch, loss, state if batch.continues else None)
        mean.add(value, amount(batch, model, loss))
    return mean.value("validation")


class Mean:
    """A weighted mean."""

    def __init__(self) -> None:
        self.total = self.weight = 0.0
        self.count = 0

    def add(self, value: float, weight: float) -> float:
        """Take one more value, and return the mean so far."""
        self.count += 1
        if weight:  # without targets, the loss is NaN
            self.total += value * weight
            self.weight += weight
        return self.total / self.weight if self.weight else math.nan

    def value(self, name: str) -> float:
        """Return the mean of at least one value."""
        if not self.count:
            raise ValueError(
                f"{name}: expected at least one batch in every epoch, got none (an "
                f"iterator is used up after the first; a list begins anew)"
            )
        return self.total / self.weight if self.weight else math.nan


class Rate:
    """The learning rate of every step of an epoch."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr: float,
        schedule: Schedule | None,
        batches: Iterable[Any],
        history: History,
    ) -> None:
        self.optimizer, self.lr, self.schedule = optimizer, lr, schedule
        self.history = history
        if isinstance(batches, Sized):
            self.steps = len(batches)
        else:  # as many as before; unknown in the first epoch
            self.steps = len(history.steps) // max(history.epochs, 1)

    def set(self, step: int) -> None:
        """Set the rate for a step of the epoch, counted from 0."""
        if self.schedule is None:
            return
        part = min((step + 0.5) / self.steps, 1) if self.steps else 0
        factor = self.schedule(self.history.epochs + part, self.history)
        self.optimizer.lr = self.lr * factor


def clip_gradient(model: Layer, clip: float, history: History) -> None:
    norm = clip_grad_norm(model, clip, error_if_nonfinite=False)
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"epoch {history.epochs + 1}, step {len(history.steps) + 1}: expected a "
            f"finite gradient, got a norm of {norm}; a smaller learning rate may help, "
            f"or data without infinite and missing values"
        )
