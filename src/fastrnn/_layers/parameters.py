"""The parameters of a layer: one flat array, and named views into it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from fastrnn._gate.arguments import zeros
from fastrnn._gate.memory import allocate, move_in, move_out
from fastrnn._gate.training import check_state_dict
from fastrnn._types import DType, FloatArray

Shapes = dict[str, tuple[int, ...]]
DIRECTIONS = ("", "_reverse")  # the endings of names
MOST_LAYERS = 2**16  # each has several arrays of its own, and they take time to make


def recurrent_shapes(
    G: int,
    input_size: int,
    sizes: tuple[int, int],
    layers: int,
    directions: int,
    bias: bool,
    own: Shapes | None = None,
) -> Shapes:
    """Return the shapes by name; names and order are those of PyTorch.

    ``sizes`` are ``H`` and the width of h, ``P``. ``own`` are parameters of
    one cell only, which come last in each direction.
    """
    if layers > MOST_LAYERS:
        raise ValueError(
            f"num_layers: expected num_layers <= {MOST_LAYERS}, got {layers}"
        )
    shapes: Shapes = {}
    width, (H, P) = input_size, sizes
    for k in range(layers):
        for direction in DIRECTIONS[:directions]:
            shapes[f"weight_ih_l{k}{direction}"] = (G * H, width)
            shapes[f"weight_hh_l{k}{direction}"] = (G * H, P)
            if bias:
                shapes[f"bias_ih_l{k}{direction}"] = (G * H,)
                shapes[f"bias_hh_l{k}{direction}"] = (G * H,)
            for name, shape in (own or {}).items():
                shapes[f"{name}_l{k}{direction}"] = shape
        width = directions * P
    return shapes


class Views(dict[str, FloatArray]):
    """Arrays by name, to be written into: none can be replaced, added or taken away.

    ``params["bias"] += 1`` works, as it ends in an assignment of the same array.
    """

    def __setitem__(self, name: str, value: FloatArray) -> None:
        if value is not self.get(name):
            raise AttributeError(
                f"{name}: expected values written into it, [{name!r}][...] = ..., "
                f"got another object in its place"
            )

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise AttributeError("expected the arrays to stay, got a change of their names")

    __delitem__ = pop = popitem = clear = update = setdefault = __ior__ = _refuse

    def __reduce__(self) -> Any:
        return dict, (dict(self),)  # a copy is a dict like any other


class Parameters:
    """Parameters and gradients, each one flat array with named views.

    Deep copies and pickles hold arrays of their own, with views into those.

    Attributes
    ----------
    params, grads : dict of str to array
        Views, by name. Write into them; they cannot be replaced.
    buffers : dict of str to array
        Arrays that are saved, loaded, copied and pickled with the parameters, but are
        not trained: no optimizer sees them.
    """

    params: Views
    grads: Views
    _model: weakref.ref[Any] | None = None  # the Sequential that this is a layer of

    def __init__(
        self, shapes: Shapes, dtype: DType, buffers: Shapes | None = None
    ) -> None:
        self._shapes = shapes
        self._buffers = {k: zeros(k, s, dtype) for k, s in (buffers or {}).items()}
        size = sum(math.prod(shape) for shape in shapes.values())
        self._flat_params, self._flat_grads = allocate_both(size, dtype)
        self._make_views()

    def _make_views(self) -> None:
        self._readers: dict[int, weakref.ref[Any]] = {}  # steppers, by id
        self._locks = (False, False)  # on the views, on the flat array
        for name in ("params", "grads"):  # which a layer does not let others set
            views = split(getattr(self, f"_flat_{name}"), self._shapes)
            object.__setattr__(self, name, views)
        move_in(self, self._flat_params)

    def _move(
        self, model: Parameters, flat_params: FloatArray, flat_grads: FloatArray
    ) -> None:
        """Live in these arrays of a model from now on, with the values as they are."""
        self._unlock()
        flat_params[...] = self._flat_params
        flat_grads[...] = self._flat_grads
        move_out(self, self._flat_params, self._flat_grads)
        for a in self._arrays():
            a.flags.writeable = False
        self._flat_params, self._flat_grads = flat_params, flat_grads
        self._model = weakref.ref(model)
        self._make_views()

    def _arrays(self) -> Iterable[FloatArray]:
        yield from (self._flat_params, self._flat_grads)
        yield from (*self.params.values(), *self.grads.values())

    def _is_in_a_model(self) -> bool:
        return self._model is not None and self._model() is not None

    def __getstate__(self) -> dict[str, Any]:
        left_out = ("params", "grads", "_readers", "_locks", "_model")
        return {k: v for k, v in vars(self).items() if k not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._buffers = {name: np.array(a) for name, a in self._buffers.items()}
        # Those that came along may be read-only: locked, or mapped from a file.
        self._flat_params = np.array(self._flat_params)[:]
        self._flat_grads = np.array(self._flat_grads)[:]
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

    @property
    def buffers(self) -> Mapping[str, FloatArray]:
        """The arrays that are not trained, by name. Write into them."""
        return Views(self._buffers)

    def _borrowed(self) -> Iterable[Parameters]:
        """Return the layers whose parameters this one uses as its own."""
        return ()

    def _children(self) -> Iterable[Parameters]:
        """Return the layers whose parameters follow one another in this one's."""
        return ()

    def _lock_for(self, reader: object) -> None:
        """Make the parameters read-only, as long as a reader of them is there."""
        self._readers[id(reader)] = weakref.ref(reader)
        self._update_locks()

    def _unlock_for(self, reader: object) -> None:
        if self._readers.pop(id(reader), None) and not self._readers:
            self._update_locks()

    def _unlock(self) -> None:
        """Tell all readers that the parameters may change, and let them."""
        if self._model is not None and (outer := self._model()) is not None:
            outer._unlock()
        if not self._readers:
            return
        for reader in list(self._readers.values()):
            found = reader()
            if found is not None:
                found._release()
        self._readers.clear()
        self._update_locks()

    def _update_locks(self) -> None:
        """Lock what is read, in the whole model that this is a part of."""
        top: Parameters = self
        while top._model is not None and (outer := top._model()) is not None:
            top = outer
        top._lock_what_is_read(False)

    def _lock_what_is_read(self, whole: bool) -> bool:
        """Lock all parameters if ``whole``; return whether there is a lock in here."""
        whole = whole or bool(self._readers)
        inner = [child._lock_what_is_read(whole) for child in self._children()]
        locks = whole, whole or any(inner)
        if locks != self._locks:  # else what the user made read-only stays so
            for a in self.params.values():
                a.flags.writeable = not locks[0]
            self._flat_params.flags.writeable = not locks[1]
            self._locks = locks
        return locks[1]

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        self._flat_grads.fill(0)

    def state_dict(self) -> dict[str, FloatArray]:
        """Return copies of all parameters and buffers by name."""
        return {name: a.copy() for name, a in self._saved().items()}

    def _saved(self) -> dict[str, FloatArray]:
        return {**self.params, **self.buffers}

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Copy parameters and buffers from a dict such as `state_dict` returns.

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
        saved = self._saved()
        checked = check_state_dict(d, saved)
        # Those that share memory with the parameters would change as they are written.
        mine = [self._flat_params, *self.buffers.values()]
        if any(np.may_share_memory(a, b) for a in checked.values() for b in mine):
            checked = {name: a.copy() for name, a in checked.items()}
        for name, a in saved.items():
            a[...] = checked[name]


def allocate_both(size: int, dtype: DType) -> tuple[FloatArray, FloatArray]:
    """Return memory for parameters and for their gradients."""
    most = np.iinfo(np.intp).max // dtype.itemsize
    if size > most:
        raise ValueError(
            f"sizes: expected at most {most} parameters of {dtype} in all (the bytes "
            f"that an array can have), got {size}"
        )
    try:
        return allocate(size, dtype), allocate(size, dtype)
    except MemoryError:
        raise MemoryError(
            f"sizes: expected parameters and gradients that fit in memory, got {size} "
            f"of each, of {dtype}"
        ) from None


def split(flat: FloatArray, shapes: Shapes) -> Views:
    """Return views of the given shapes that follow one another in ``flat``."""
    views, start = {}, 0
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        views[name] = flat[start:end].reshape(shape)
        start = end
    return Views(views)


def require_same(name: str, value: object, flat: FloatArray) -> None:
    if value is not flat:
        raise AttributeError(
            f"{name}: expected values written into it, {name}[:] = ..., "
            f"got another object in its place"
        )
