"""The part that all optimizers share."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn import _core
from fastrnn._gate.training import (
    check_arrays,
    check_like,
    check_number,
    check_state_dict,
)
from fastrnn._types import FloatArray

Arrays: TypeAlias = FloatArray | Iterable[FloatArray]


class Optimizer:
    """The base of all optimizers: parameters, their state, and the steps taken.

    In the equations of the rules, ``g`` is the gradient of a parameter ``p``. A weight
    decay ``l`` first adds ``l * p`` to ``g``, except in `AdamW`. Equations, defaults
    and the position of ``eps`` are those of ``torch.optim``. Results have the same bits
    for every instruction set and number of threads.

    Parameters
    ----------
    params : array or sequence of arrays
        float32 or float64, one dtype, C-contiguous and writeable, of any shape: for
        example ``layer.flat_params``. The arrays themselves are changed, not copies.
    lr : float
        Learning rate, at least 0; it can be set between steps.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        There are no arrays, one is read-only or strided, or a number is out of range.
    """

    def __init__(
        self,
        params: Arrays,
        lr: float,
        rule: str,
        state: tuple[str, ...],
        **constants: float,
    ) -> None:
        self.lr = lr
        self._rule = rule
        self._constants = constants
        self._params = check_arrays("params", params)
        if not self._params.arrays:
            raise ValueError("params: expected at least one array, got none")
        self._steps = 0
        self._state = {
            f"{symbol}.{i}": np.zeros_like(p)
            for symbol in state
            for i, p in enumerate(self._params.arrays)
        }
        # The kernel's arrays besides gradients, for each array of params.
        self._arrays = [
            {"params": p, **{symbol: self._state[f"{symbol}.{i}"] for symbol in state}}
            for i, p in enumerate(self._params.arrays)
        ]

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self._lr = check_number("lr", lr)

    def step(self, grads: Arrays) -> None:
        """Change the parameters, in place, by one step.

        Parameters
        ----------
        grads : array or sequence of arrays
            As ``params`` was given: the same number, shapes and dtype.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            The number of arrays or a shape differs; then no step is taken.
        """
        checked = check_like("grads", grads, self._params)
        self._steps += 1
        for arrays, g in zip(self._arrays, checked, strict=True):
            _core.optimizer_step(
                self._rule,
                grads=g,
                step=self._steps,
                lr=self._lr,
                **arrays,
                **self._constants,
            )

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return copies of the state; ``lr`` and other numbers are not part of it.

        Returns
        -------
        dict
            ``step``, the number of steps taken (int64, no dimensions), and for each
            symbol of the rule's state and each array of ``params`` an array of its
            shape: ``m.0``, ``m.1``, ``v.0``, ``v.1``.
        """
        return {"step": np.array(self._steps, np.int64)} | {
            name: a.copy() for name, a in self._state.items()
        }

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Load a state that `state_dict` returned.

        Raises
        ------
        KeyError
            A name is missing or unknown.
        TypeError
            A value is not an array, or a dtype differs.
        ValueError
            A shape differs, or the step is negative. On any error nothing is loaded.
        """
        step = np.array(self._steps, np.int64)
        checked = check_state_dict(d, {"step": step, **self._state})
        if checked["step"] < 0:
            raise ValueError(f"d['step']: expected step >= 0, got {checked['step']}")
        self._steps = int(checked["step"])
        for name, a in self._state.items():
            a[...] = checked[name]
