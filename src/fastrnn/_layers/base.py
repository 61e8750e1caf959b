"""`Layer`: the base class of all layers, here and elsewhere."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from fastrnn._gate.layers import check_layer_dtype
from fastrnn._gate.training import check_shapes
from fastrnn._layers.describe import Line, code_of_call, describe
from fastrnn._layers.locks import make_lock
from fastrnn._layers.parameters import Parameters
from fastrnn._types import FloatArray

LayerT = TypeVar("LayerT", bound="Layer")

STAYS = "expected to stay as the layer was made"


class Missing(str):
    """Why there is no record of the last call."""

    __slots__ = ()


NO_CALL = Missing("expected a call of the layer before it, got none")
FAILED = Missing("expected the last call to succeed, got one that raised")
EVAL = Missing("expected the last call in training mode, got eval mode")
ELSEWHERE = Missing(
    "expected a call of the layer in this thread before it, got none here but calls in "
    "other threads"
)


class LastCall:
    """The last call of a layer in one thread."""

    __slots__ = ("count", "dh", "record")

    def __init__(self) -> None:
        self.record: Any = NO_CALL  # for backward
        self.dh: Any = None  # what backward returned with return_dh
        self.count = 0  # of the calls so far


class LastCalls(threading.local):
    """The last call in each thread: looking up an attribute of it takes a while."""

    def __init__(self) -> None:
        self.here = LastCall()


class Layer(Parameters):
    """The base class of all layers: parameters, gradients, a mode and a last call.

    Derive a class from it to write a layer of your own: it can be put into a
    `Sequential`, trained by every optimizer, saved, copied and pickled like the others.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The parameters by name, in the order in which they lie in `flat_params`. All are
        zero at first: write their first values into `params`.
    dtype : float32 or float64
        Of the parameters and gradients.
    buffers : mapping of str to tuple of int, optional
        Arrays that are saved, loaded, copied and pickled like parameters, but are not
        trained, such as running averages. All are zero at first.

    Attributes
    ----------
    params, grads : dict of str to array
        Views into `flat_params` and `flat_grads`. Write into them; they cannot be
        replaced.
    buffers : dict of str to array
        Those that are not trained. Write into them; they cannot be replaced.
    dtype : numpy.dtype
        Of parameters, floating inputs and outputs.
    training : bool
        See `train` and `eval`.
    input_size : int or None
        The length of the last axis of the input; None takes any.
    output_size : int or None
        The length of the last axis of the output; None is that of the input.
    batch_first : bool or None
        Inputs and outputs are ``[N, T, ...]``; None leaves that open. All layers of a
        `Sequential` that do not leave it open must agree.
    has_state : bool
        The layer is called as ``y, state = layer(x, state)``, with None for a state of
        zeros, and ``dx, dstate = layer.backward(dy, dstate)``. Without a state, which
        is the default, ``y = layer(x)`` and ``dx = layer.backward(dy)``.
    wants : tuple of str
        Which of ``"lengths"``, ``"padding"``, ``"resets"`` and ``"batch_first"`` a
        `Sequential` passes on to the layer, as keywords and as the caller gave them:
        not at all where that is None, ``"right"`` or False. ``()`` by default.

    removes_time : bool
        The output has no axis of time, as that of `Last`: a `Sequential` passes nothing
        of what is in ``wants`` on to the layers that follow. False by default.

    Notes
    -----
    A derived class calls ``super().__init__(shapes, dtype)``, sets those of the
    attributes above that are not as by default, on the class or in ``__init__``, and
    defines

    - ``__call__(self, x, ...)``, which begins with ``self._forget()`` and ends with
      ``self._remember(record)``, where ``record`` is whatever backward needs;
    - ``backward(self, dy, ...)``, which gets that with ``self._recall("backward")``,
      adds to the gradients with ``self._add_grads(name=array)``, and returns the
      gradient of ``x`` (None if there is none, as for tokens). ``dy`` is None for zero;
    - ``cross_entropy(self, x, targets, *, ignore_index, reduction, weights,
      class_weights, label_smoothing)`` if `Sequential`'s method of that name shall work
      with the layer as the last one.

    An argument of ``__init__`` that is kept as an attribute of the same name is an
    *option*: it is shown by ``repr``, and cannot be set again. So are the attributes
    above, except `training`.

    What a call leaves for backward belongs to the thread that called: threads can run
    one layer side by side, forward and backward, and their gradients add up. The record
    is kept until that thread's next call. Copies (deep or not) and pickles are layers
    of their own, without it.

    Examples
    --------
    ::

        class Scale(fastrnn.Layer):
            def __init__(self, size, *, dtype=np.float32):
                super().__init__({"gain": (size,)}, dtype)
                self.size = self.input_size = self.output_size = size
                self.params["gain"][...] = 1

            def __call__(self, x):
                self._forget()
                self._remember(x)
                return x * self.params["gain"]

            def backward(self, dy):
                x = self._recall("backward")
                self._add_grads(gain=(x * dy).reshape(-1, self.size).sum(axis=0))
                return dy * self.params["gain"]
    """

    __module__ = "fastrnn"

    input_size: int | None = None
    output_size: int | None = None
    batch_first: bool | None = None
    has_state: bool = False
    wants: tuple[str, ...] = ()
    removes_time: bool = False
    _gives_dh: bool = False  # backward takes return_dh
    _options: ClassVar[frozenset[str]] = frozenset(
        {"input_size", "output_size", "batch_first", "has_state", "wants"}
        | {"removes_time", "dtype", "rng"}
    )  # these can be set once
    _fixed: frozenset[str] = frozenset({"params", "grads"})  # these are set

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls._options = cls._options | frozenset(inspect.signature(cls).parameters)

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        dtype: DTypeLike = np.float32,
        buffers: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.dtype = check_layer_dtype(dtype)
        self.training = True
        checked = check_shapes("shapes", shapes)
        not_trained = check_shapes("buffers", {} if buffers is None else buffers)
        for name in not_trained:
            if name in checked:
                raise ValueError(
                    f"buffers[{name!r}]: expected a name of its own, got that of a "
                    f"parameter"
                )
        super().__init__(checked, self.dtype, not_trained)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._fixed:
            raise AttributeError(f"{name}: {STAYS}, got an assignment")
        if name in self._options:
            object.__setattr__(self, "_fixed", self._fixed | {name})
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._fixed:
            raise AttributeError(f"{name}: {STAYS}, got a deletion")
        object.__delattr__(self, name)

    def _make_views(self) -> None:
        super()._make_views()
        self._last_calls = LastCalls()
        self._called = False  # by any thread
        self._adding = make_lock()

    def __getstate__(self) -> dict[str, Any]:
        left_out = ("_last_calls", "_called", "_adding")
        return {k: v for k, v in super().__getstate__().items() if k not in left_out}

    def __copy__(self: LayerT) -> LayerT:
        """Return a deep copy: half a copy would share arrays with this layer."""
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        return describe(self)

    def _code(self) -> list[Line]:
        """Return the code of `repr`, with how many parameters each line stands for."""
        return [(code_of_call(self), self._flat_params.size)]

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the layer: every class has a method of its own."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method __call__")

    def backward(self, *args: Any, **options: Any) -> Any:
        """Carry gradients back: every class has a method of its own."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method backward")

    def train(self: LayerT) -> LayerT:
        """Keep what backward needs, and drop out; the mode of a new layer.

        If a `fastrnn.Stepper` has made the parameters read-only, they can be written
        to again.
        """
        self._unlock()
        self.training = True
        return self

    def eval(self: LayerT) -> LayerT:
        """Keep nothing, and drop nothing out."""
        self.training = False
        return self

    def _forget(self) -> None:
        """Forget this thread's last call: its memory can serve the one that begins."""
        last = self._last_calls.here
        last.record = FAILED if self.training else EVAL
        last.dh = None
        last.count += 1
        if not self._called:
            self._called = True

    def _remember(self, record: Any) -> None:
        """Keep what backward needs of the call that ends here, in training mode."""
        if self.training:
            self._last_calls.here.record = record

    def _recall(self, wanted_by: str) -> Any:
        """Return the record of this thread's last call, or raise for ``wanted_by``."""
        record = self._last_calls.here.record
        if type(record) is Missing:
            if record is NO_CALL and self._called:
                record = ELSEWHERE
            raise RuntimeError(f"{wanted_by}: {record}")
        return record

    def _gradients_of_states(self) -> dict[str, FloatArray]:
        """Return ``dh`` of this thread's last backward, or raise."""
        dh: dict[str, FloatArray] | None = self._last_calls.here.dh
        if dh is None:
            raise RuntimeError(
                "dh: expected backward(..., return_dh=True) of the layer's last call "
                "before it, got none"
            )
        return dh

    def _add_grads(self, **gradients: FloatArray | None) -> None:
        """Add to `grads` by name; None is zero."""
        with self._adding:
            for name, a in gradients.items():
                if a is not None:
                    total = self.grads[name]
                    total += a
