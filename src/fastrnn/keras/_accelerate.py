"""Give Keras's recurrent layers another loop over time, and take it away again."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from fastrnn._gate.arguments import shown
from fastrnn.keras._options import SERVED, backend, served_class, why_left

Loop = Callable[..., Any]
LOOPS: dict[Any, Loop] = {}  # ours, of the classes that have them at the moment
NOT_CALLED = "accelerate was not called"


class Report(NamedTuple):
    """A model's recurrent layers, by their paths (``layer.path``).

    Attributes
    ----------
    served : list of str
        Those that run fastrnn's kernels.
    left : dict of str to str
        Those that run Keras's own code, and why; also those that do so in training
        alone.
    """

    served: list[str]
    left: dict[str, str]


def accelerate() -> None:
    """Let `keras.layers.SimpleRNN`, `GRU` and `LSTM` run fastrnn's kernels.

    From then on, for layers that exist and for those to come, in `Bidirectional` too,
    in training and inference. Outputs are those of Keras to rounding, with masks of any
    shape, ``return_sequences``, ``return_state``, ``go_backwards``, ``stateful``,
    ``zero_output_for_mask``, initial states and ``dropout``. What is not served runs
    Keras's own code: other activations, ``unroll``, ``recurrent_dropout`` in training,
    dtypes other than float32 and float64, devices other than the CPU, cells of your
    own, tracing for an export. `report` lists it.

    A second call changes nothing.

    Raises
    ------
    RuntimeError
        Keras's backend is not PyTorch (``KERAS_BACKEND=torch``).
    """
    if backend() != "torch":
        raise RuntimeError(
            "fastrnn.keras: expected Keras to run on the torch backend "
            f"(KERAS_BACKEND=torch), got {backend()}"
        )
    for cls in SERVED:
        if cls not in LOOPS:
            LOOPS[cls] = cls.inner_loop = replace(cls.inner_loop)


def restore() -> None:
    """Undo `accelerate`: all layers run Keras's own code again."""
    for cls in list(LOOPS):
        loop = LOOPS.pop(cls)
        if vars(cls).get("inner_loop") is not loop:
            continue  # somebody else's by now
        theirs = loop.__wrapped__
        del cls.inner_loop
        if cls.inner_loop is not theirs:
            cls.inner_loop = theirs


def report(model: Any) -> Report:
    """Return which recurrent layers run fastrnn's kernels, and why others do not.

    Parameters
    ----------
    model : keras.Layer
        A model, or a single layer.

    Returns
    -------
    Report
        By options: a call may still run Keras's own code, since its tensors are on
        another device, say. Layers that are served except in training are in ``left``.

    Raises
    ------
    TypeError
        ``model`` is not a Keras layer.
    """
    if not isinstance(model, keras.Layer):
        raise TypeError(f"model: expected a keras.Layer, got {shown(model)}")
    served, left = [], {}
    for layer in model._flatten_layers():
        if not isinstance(layer, keras.layers.RNN):
            continue
        name = layer.path or layer.name
        if why := why_not_served(layer):
            left[name] = why
        else:
            served.append(name)
    return Report(served, left)


def why_not_served(layer: Any) -> str:
    if why := why_left(layer):
        return why
    if backend() != "torch":
        return f"the {backend()} backend"
    loop: Any = LOOPS.get(served_class(layer))
    if loop is None:
        return NOT_CALLED
    if type(layer).inner_loop is not loop:
        return f"a loop of its own, {type(layer).inner_loop.__qualname__}"
    why = why_left(layer, training=True)
    return why and f"in training: {why}"


def replace(theirs: Loop) -> Loop:
    """Return a loop over time on the kernels; ``theirs`` does what they cannot."""
    from fastrnn.keras._torch import run

    @functools.wraps(theirs)
    def inner_loop(
        self: Any, sequences: Any, initial_state: Any, mask: Any, training: Any = False
    ) -> Any:
        results = run(self, sequences, initial_state, mask, training)
        if results is not None:
            return results
        return theirs(self, sequences, initial_state, mask, training=training)

    return inner_loop
