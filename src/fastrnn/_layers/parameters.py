"""The parameters of a layer: one flat array, and named views into it."""

import math
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn._gate.training import check_state_dict
from fastrnn._types import DType, FloatArray

Shapes = dict[str, tuple[int, ...]]
DIRECTIONS = ("", "_reverse")  # what a name ends with


def recurrent_shapes(
    G: int, input_size: int, H: int, layers: int, directions: int, bias: bool
) -> Shapes:
    """Return the shapes by name; names and order are those of PyTorch."""
    shapes: Shapes = {}
    width = input_size
    for k in range(layers):
        for direction in DIRECTIONS[:directions]:
            shapes[f"weight_ih_l{k}{direction}"] = (G * H, width)
            shapes[f"weight_hh_l{k}{direction}"] = (G * H, H)
            if bias:
                shapes[f"bias_ih_l{k}{direction}"] = (G * H,)
                shapes[f"bias_hh_l{k}{direction}"] = (G * H,)
        width = directions * H
    return shapes


class Parameters:
    """Parameters and gradients, each one flat array with named views.

    Deep copies and pickles hold arrays of their own, with views into those.

    Attributes
    ----------
    params, grads : dict of str to array
        Views, by name. Write into them; what is put in their place is not used.
    """

    def __init__(self, shapes: Shapes, dtype: DType) -> None:
        size = sum(math.prod(shape) for shape in shapes.values())
        self._shapes = shapes
        self._flat_params: FloatArray = np.zeros(size, dtype)
        self._flat_grads: FloatArray = np.zeros(size, dtype)
        self._make_views()

    def _make_views(self) -> None:
        self._readers: dict[int, weakref.ref[Any]] = {}  # steppers, by id
        self.params = split(self._flat_params, self._shapes)
        self.grads = split(self._flat_grads, self._shapes)

    def _move(self, flat_params: FloatArray, flat_grads: FloatArray) -> None:
        """Live in these arrays from now on, with the values as they are."""
        self._unlock()
        flat_params[...] = self._flat_params
        flat_grads[...] = self._flat_grads
        self._flat_params, self._flat_grads = flat_params, flat_grads
        self._make_views()

    def __getstate__(self) -> dict[str, Any]:
        return {
            k: v
            for k, v in vars(self).items()
            if k not in ("params", "grads", "_readers")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # Of an array that pickle made, NumPy cannot undo that it is read-only.
        self._flat_params = self._flat_params.copy()
        self._make_views()

    # The setters are there for `layer.flat_params -= ...`, which ends in an assignment.

    @property
    def flat_params(self) -> FloatArray:
        """All parameters, one after another: 1-D, contiguous."""
        return self._flat_params

    @flat_params.setter
    def flat_params(self, value: FloatArray) -> None:
        require_same("flat_params", value, self._flat_params)

    @property
    def flat_grads(self) -> FloatArray:
        """All gradients, in the order of `flat_params`."""
        return self._flat_grads

    @flat_grads.setter
    def flat_grads(self, value: FloatArray) -> None:
        require_same("flat_grads", value, self._flat_grads)

    def _lock_for(self, reader: object) -> None:
        """Make the parameters read-only, as long as a reader of them is there."""
        self._readers[id(reader)] = weakref.ref(reader)
        self._set_writeable(False)

    def _unlock_for(self, reader: object) -> None:
        if self._readers.pop(id(reader), None) and not self._readers:
            self._set_writeable(True)

    def _unlock(self) -> None:
        """Tell all readers that the parameters may change, and let them."""
        if not self._readers:
            return
        for reader in list(self._readers.values()):
            found = reader()
            if found is not None:
                found._release()
        self._readers.clear()
        self._set_writeable(True)

    def _set_writeable(self, writeable: bool) -> None:
        # The array that this one is a part of, in a `Sequential`, goes first: NumPy
        # makes no view writeable whose base is not.
        whole = self._flat_params.base
        arrays = [self._flat_params, *self.params.values()]
        if isinstance(whole, np.ndarray):
            arrays.insert(0, whole)
        for a in arrays:
            a.flags.writeable = writeable

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        self._flat_grads.fill(0)

    def state_dict(self) -> dict[str, FloatArray]:
        """Return copies of all parameters by name."""
        return {name: a.copy() for name, a in self.params.items()}

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Copy parameters from a dict such as `state_dict` returns.

        Parameters
        ----------
        d : mapping of str to array
            All names, each with its shape and dtype. A PyTorch state dict's CPU tensors
            will do.

        Raises
        ------
        KeyError
            A name is missing or unknown.
        TypeError
            Another dtype, or no array.
        ValueError
            Another shape. Nothing is loaded on any error.
        RuntimeError
            A `fastrnn.Stepper` of the layer is there: call ``train()`` first.
        """
        if not self._flat_params.flags.writeable:
            raise RuntimeError(
                "load_state_dict: expected parameters that may be written, got a layer "
                "with a Stepper on it: call train() first, and refresh() after"
            )
        checked = check_state_dict(d, self.params)
        for name, a in self.params.items():
            a[...] = checked[name]


def split(flat: FloatArray, shapes: Shapes) -> dict[str, FloatArray]:
    """Return views of the given shapes that follow one another in ``flat``."""
    views, start = {}, 0
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        views[name] = flat[start:end].reshape(shape)
        start = end
    return views


def require_same(name: str, value: object, flat: FloatArray) -> None:
    if value is not flat:
        raise AttributeError(
            f"{name}: expected values written into it, {name}[:] = ..., "
            f"got another object in its place"
        )
