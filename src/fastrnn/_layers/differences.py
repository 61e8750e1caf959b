"""`check_gradients`: a layer's gradients against differences of its loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._functional.regression import mean_squared_error
from fastrnn._gate.arguments import (
    check_number,
    check_positive,
    check_size,
    from_sequence,
    make_generator,
)
from fastrnn._layers.base import Layer
from fastrnn._layers.parameters import Parameters
from fastrnn._layers.sequential import not_default
from fastrnn._types import FloatArray

LossOf = Callable[[Any, Any], tuple[Any, Any]]  # y, targets -> loss, dy

# By size of the dtype: steps of differences, and errors that are still taken for their
# own: that of the formula, and what rounding leaves of a loss near 1.
STEPS = {8: 1e-5, 4: 1e-2}
TOLERANCES = {8: 1e-6, 4: 3e-2}


# NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
@np.errstate(all="ignore")
def check_gradients(
    model: Layer,
    x: ArrayLike,
    targets: Any = None,
    *,
    loss: LossOf | None = None,
    lengths: ArrayLike | None = None,
    padding: str = "right",
    resets: ArrayLike | None = None,
    samples: int = 10,
    step: float | None = None,
    tolerance: float | None = None,
    seed: int | np.random.Generator | None = 0,
) -> dict[str, float]:
    """Compare a model's gradients with differences of its loss.

    For layers of your own above all: of every parameter, and of ``x`` if it is
    floating, some numbers are moved up and down by ``step``, and the change of the loss
    is compared with what ``backward`` says.

    Parameters
    ----------
    model : layer
        In training mode. It is left as it was, but for its last call. What it draws
        (for dropout) is drawn the same in each call.
    x : array
        Its input.
    targets : array, optional
        Integers: the loss is the model's ``cross_entropy``. Floating: it is the
        `mean_squared_error`. None: the sum of the outputs, each times a random number.
    loss : function, optional
        ``loss(y, targets)`` returns the loss and its gradient, in place of the above.
    lengths, padding, resets
        For the call, if the model takes them.
    samples : int
        How many numbers of each array are moved.
    step : float, optional
        How far; ``1e-5``, or ``1e-2`` for float32.
    tolerance : float, optional
        The largest error that passes; ``1e-6``, or ``3e-2`` for float32.
    seed : int, optional
        Draws the samples and the random numbers of the loss.

    Returns
    -------
    dict of str to float
        The largest error of each array by name, that of ``x`` as ``"x"``: relative to
        the largest gradient that was looked at in the array, and at least to a
        thousandth of the largest in all.

    Raises
    ------
    RuntimeError
        The model is in eval mode.
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong; or a gradient is: the message says which, and both
        numbers.

    Notes
    -----
    Use float64: differences of float32 are good for two digits. Where a function has a
    kink (ReLU), a difference across it is wrong, and not the gradient.
    """
    if not isinstance(model, Layer):
        raise TypeError(f"model: expected a layer, got {type(model).__name__}")
    if not model.training:
        raise RuntimeError("model: expected training mode, got eval mode: call train()")
    if loss is not None and not callable(loss):
        raise TypeError(f"loss: expected a function, got {type(loss).__name__}")
    samples, rng = check_size("samples", samples), make_generator(seed)
    arrays = dict(model.params)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        x = arrays["x"] = np.array(x)
    bytes_each = min((a.dtype.itemsize for a in arrays.values()), default=8)
    h = STEPS[bytes_each] if step is None else check_positive("step", step)
    bound = (
        TOLERANCES[bytes_each]
        if tolerance is None
        else check_number("tolerance", tolerance, infinite=True)
    )
    options = not_default(lengths, padding, resets, None)
    run = Run(model, x, targets, loss, options, rng)
    with Restored(model):
        found = compare(run, arrays, samples, h, rng)
    return judge(found, bound)


class Run:
    """The loss of a model as a function of nothing, and its gradients."""

    def __init__(
        self,
        model: Layer,
        x: Any,
        targets: Any,
        loss: LossOf | None,
        options: dict[str, Any],
        rng: np.random.Generator,
    ) -> None:
        self.model, self.x, self.targets = model, x, targets
        self.loss, self.options, self.rng = loss, options, rng
        self.state = [(g, g.bit_generator.state) for g in generators(model)]
        self.factors: Any = None
        self.by_classes = False
        if loss is None and targets is not None:
            self.by_classes = from_sequence("targets", targets).dtype.kind in "iu"
        if self.by_classes and not hasattr(model, "cross_entropy"):
            raise TypeError(
                f"targets: expected None or floating ones for a "
                f"{type(model).__name__}, got integers"
            )

    def forward(self) -> tuple[float, Any]:
        """Return the loss, and the gradient of y; None after `cross_entropy`."""
        for generator, state in self.state:
            generator.bit_generator.state = state
        model: Any = self.model
        if self.by_classes:
            found = model.cross_entropy(self.x, self.targets, **self.options)
            return float(found[0] if model.has_state else found), None
        y = model(self.x, **self.options)
        y = y[0] if model.has_state else y
        if self.loss is not None:
            value, dy = self.loss(y, self.targets)
        elif self.targets is not None:
            value, dy = mean_squared_error(y, self.targets)
        else:
            value, dy = self.project(y)
        return float(value), dy

    def project(self, y: Any) -> tuple[float, Any]:
        """Return the sum of y times random factors, which are its gradient."""
        outputs = y if isinstance(y, dict) else {"": y}
        if self.factors is None:
            self.factors = {
                name: self.rng.standard_normal(a.shape).astype(a.dtype)
                for name, a in outputs.items()
            }
        total = sum(
            np.multiply(a, self.factors[name], dtype=np.float64).sum()
            for name, a in outputs.items()
        )
        return total, self.factors if isinstance(y, dict) else self.factors[""]

    def gradients(self) -> tuple[float, dict[str, FloatArray]]:
        value, dy = self.forward()
        self.model.zero_grad()
        dx = self.model.backward(dy)
        dx = dx[0] if self.model.has_state else dx
        found = {name: a.copy() for name, a in self.model.grads.items()}
        return value, found if dx is None else {**found, "x": dx}


class Restored:
    """A model whose gradients, buffers and generators are put back in the end."""

    def __init__(self, model: Layer) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.before = (
            self.model.flat_grads.copy(),
            {name: a.copy() for name, a in self.model.buffers.items()},
        )
        self.drawn = [(g, g.bit_generator.state) for g in generators(self.model)]

    def __exit__(self, *_: Any) -> None:
        grads, buffers = self.before
        self.model.flat_grads[...] = grads
        for name, a in buffers.items():
            self.model.buffers[name][...] = a
        for generator, state in self.drawn:
            generator.bit_generator.state = state


Sample = tuple[int, float, float]  # which number; by backward, by differences


def compare(
    run: Run,
    arrays: dict[str, FloatArray],
    samples: int,
    h: float,
    rng: np.random.Generator,
) -> dict[str, tuple[FloatArray, list[Sample], float]]:
    """Return each array's gradient, samples of it, and what rounding does to them."""
    value, gradients = run.gradients()
    if not math.isfinite(value):
        raise ValueError(f"loss: expected a finite loss, got {value}")
    found = {}
    for name, a in arrays.items():
        gradient, taken = gradients[name], []
        for i in rng.choice(a.size, min(samples, a.size), replace=False):
            before, values, places = a.flat[i], [], []
            for moved in (before + h, before - h):
                a.flat[i] = moved
                places.append(float(a.flat[i]))
                values.append(run.forward()[0])
            a.flat[i] = before
            way = places[0] - places[1]
            if not way > 0:
                raise ValueError(
                    f"step: expected a step that moves {float(before):g} (of {name}), "
                    f"got {h:g}"
                )
            difference = (values[0] - values[1]) / way
            taken.append((int(i), float(gradient.flat[i]), difference))
        noise = 20 * float(np.finfo(a.dtype).eps) * abs(value) / h
        found[name] = gradient, taken, noise
    return found


def judge(
    found: dict[str, tuple[FloatArray, list[Sample], float]], bound: float
) -> dict[str, float]:
    """Return the largest error of each array; raise if one is beyond the bound."""
    sizes = {
        name: max((abs(v) for _, *pair in taken for v in pair), default=0.0)
        for name, (_, taken, _) in found.items()
    }
    least = 1e-3 * max(sizes.values(), default=0.0)
    errors, worst, message = {}, bound, ""
    for name, (gradient, taken, noise) in found.items():
        errors[name] = 0.0
        for i, ours, difference in taken:
            distance = abs(ours - difference)
            scale = max(sizes[name], least)
            error = distance / scale if distance else 0.0
            errors[name] = max(errors[name], error if error == error else math.inf)
            beyond = not error <= worst and not distance <= noise
            if beyond:
                at = [int(k) for k in np.unravel_index(i, gradient.shape)]
                label = "dx" if name == "x" else f"grads[{name!r}]"
                message = (
                    f"{label}: expected {difference:.7g} at {at} (by differences), "
                    f"got {ours:.7g}"
                )
                worst = max(worst, error if error == error else math.inf)
    if message:
        raise ValueError(message)
    return errors


def generators(model: Parameters) -> Iterable[np.random.Generator]:
    """Return the generators that a layer and those inside it draw from."""
    mine = getattr(model, "rng", None)
    if isinstance(mine, np.random.Generator):
        yield mine
    for layer in model._children():
        yield from generators(layer)
