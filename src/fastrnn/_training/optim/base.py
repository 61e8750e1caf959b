"""The base class of all optimizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastrnn import _core
from fastrnn._gate.arguments import check_number
from fastrnn._gate.memory import RETIRED, Apart
from fastrnn._gate.training import (
    Arrays,
    are_plainly_like,
    check_arrays,
    check_like,
    check_state_dict,
)
from fastrnn._training.optim.targets import (
    LayersOrArrays,
    LayerTarget,
    arrays_of,
    listed,
    make_targets,
)
from fastrnn._types import FloatArray

MOST_STEPS = 2**62  # far from the end of what the kernel can count

# In the order of `_core.optimizer_step`: names would double the time of a small step.
STATE = ("u", "m", "v")
CONSTANTS = (
    "momentum", "beta1", "beta2", "eps", "weight_decay", "decoupled", "nesterov",
)  # fmt: skip


class Optimizer:
    """The base class of all optimizers: parameters, their state, and the steps taken.

    Below, ``g`` is the gradient of a parameter ``p``, and a weight decay ``l`` (not of
    `AdamW`) first adds ``l * p`` to ``g``. Equations, defaults and the place of ``eps``
    are those of ``torch.optim``. Results have the same bits for every instruction set
    and number of threads.

    Parameters
    ----------
    params : layer, array, or sequence of layers and arrays
        A layer or model is asked for its parameters at each step. Arrays are float32 or
        float64, C-contiguous and writeable, of any shape, and kept, not copied. All
        have one dtype, and no two of them share memory.
    lr : float
        Learning rate, at least 0; can be set between steps.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        No arrays, one that is read-only or strided, or a number out of its range.
    RuntimeError
        An array that its layer has left, since the layer moved into a `Sequential`.

    Notes
    -----
    Deep copies and pickles hold the layers, or the layers whose arrays were given. To
    go on with both, copy or pickle the model and its optimizer together:
    ``copy.deepcopy((model, adam))``.
    """

    def __init__(
        self,
        params: LayersOrArrays,
        lr: float,
        rule: str,
        state: tuple[str, ...],
        **constants: float,
    ) -> None:
        self.lr = lr
        self._rule = rule
        self._constants = constants
        params = listed("params", params)  # an iterator, once
        names, arrays, self._single = check_arrays(
            "params", arrays_of("params", params, "flat_params")
        )
        if not arrays:
            raise ValueError("params: expected at least one array, got none")
        self._names = names
        self._targets = make_targets("params", params)
        self._steps = 0
        self._state = {
            f"{symbol}.{i}": np.zeros_like(p)
            for symbol in state
            for i, p in enumerate(arrays)
        }
        self._collect()

    def _collect(self) -> None:
        """Sort the state by array, as the kernel takes it."""
        self._apart = Apart()
        self._by_array = [
            [self._state.get(f"{symbol}.{i}") for symbol in STATE]
            for i in range(len(self._targets))
        ]

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self._lr = check_number("lr", lr)

    def step(self, grads: LayersOrArrays | None = None) -> None:
        """Change the parameters, in place, by one step.

        Parameters
        ----------
        grads : layer, array, or sequence of layers and arrays, optional
            As ``params`` were given: the same number, shapes and dtype; a layer stands
            for its `flat_grads`. Left out, they are those of the layers, if ``params``
            were layers alone.

        Raises
        ------
        RuntimeError
            A layer whose arrays were given has moved into a `Sequential` since.
        TypeError
            A type or dtype is wrong.
        ValueError
            Another number of arrays, another shape, parameters that are read-only (as
            while a `Stepper` reads them), or arrays that share memory; then no step is
            taken.
        """
        params = [target.current() for target in self._targets]
        checked = self._check_grads(grads, params)
        own = grads is None  # which lie in memory of their own
        self._apart.require(self._names, params, "grads", [] if own else checked)
        self._steps += 1
        constants = [self._constants.get(name, 0) for name in CONSTANTS]
        for p, g, state in zip(params, checked, self._by_array, strict=True):
            _core.optimizer_step(
                self._rule, p, g, *state, self._steps, self._lr, *constants
            )

    def _check_grads(self, grads: Any, params: list[FloatArray]) -> list[FloatArray]:
        if grads is None:
            own = [t.layer.flat_grads for t in self._targets if type(t) is LayerTarget]
            if len(own) == len(self._targets):
                return own
        given = [grads] if self._single else grads[:] if type(grads) is list else []
        if not RETIRED and are_plainly_like(given, params):
            return given
        like = Arrays(self._names, params, self._single)
        return check_like("grads", arrays_of("grads", grads, "flat_grads"), like)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return copies of the state; ``lr`` and other numbers are not part of it.

        Returns
        -------
        dict
            ``step``, int64 without dimensions, the steps taken, and for each symbol of
            the rule's equations and each array of ``params`` an array of its shape:
            ``m.0``, ``m.1``, ``v.0``, ``v.1``.
        """
        return {"step": np.array(self._steps, np.int64)} | {
            name: a.copy() for name, a in self._state.items()
        }

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Take over the state that `state_dict` returned.

        Raises
        ------
        KeyError
            A name is missing or unknown.
        TypeError
            Another dtype, or no array.
        ValueError
            Another shape, or a step that is negative or at least 2**62. Nothing is
            loaded on any error.
        """
        step = np.array(self._steps, np.int64)
        checked = check_state_dict(d, {"step": step, **self._state})
        steps = int(checked["step"])
        if steps < 0:
            raise ValueError(f"d['step']: expected step >= 0, got {steps}")
        if steps >= MOST_STEPS:
            raise ValueError(f"d['step']: expected step < 2**62, got {steps}")
        self._steps = steps
        for name, a in self._state.items():
            a[...] = checked[name]

    def __getstate__(self) -> dict[str, Any]:
        left_out = ("_by_array", "_apart")
        return {k: v for k, v in vars(self).items() if k not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # Those that came along may be read-only: mapped from a file.
        self._state = {name: np.array(a) for name, a in self._state.items()}
        self._collect()

    def __copy__(self) -> NoReturn:
        raise TypeError(
            "copy.copy: expected copy.deepcopy((model, optimizer)), which copies both; "
            "half a copy of an optimizer would share its state"
        )
