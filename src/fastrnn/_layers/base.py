"""What every layer has: parameters, a mode, and what its last call left."""

from __future__ import annotations

from typing import Any, TypeVar

from fastrnn._layers.parameters import Parameters, Shapes
from fastrnn._types import DType

LayerT = TypeVar("LayerT", bound="Layer")


class Layer(Parameters):
    """Parameters, and what the last call left for backward.

    Attributes
    ----------
    params, grads : dict of str to array
        Views into `flat_params` and `flat_grads`. Write into them.
    dtype : numpy.dtype
        Of parameters, floating inputs and outputs.
    training : bool
        See `train` and `eval`.

    Notes
    -----
    A layer keeps what backward needs until the next call. Deep copies and pickles are
    layers of their own, without it.
    """

    def __init__(self, shapes: Shapes, dtype: DType) -> None:
        self.dtype = dtype
        self.training = True
        super().__init__(shapes, dtype)

    def _make_views(self) -> None:
        super()._make_views()
        self._last: Any = None
        self._why_not = "expected a call of the layer before it, got none"

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_last"], state["_why_not"]
        return state

    def train(self: LayerT) -> LayerT:
        """Keep what backward needs, and drop out; the mode of a new layer."""
        self.training = True
        return self

    def eval(self: LayerT) -> LayerT:
        """Keep nothing, and drop nothing out."""
        self.training = False
        return self

    def _begin(self) -> None:
        """Forget the call before: its memory can serve this one."""
        self._last = None
        self._why_not = "expected the last call to succeed, got one that raised"

    def _keep(self, last: Any) -> None:
        """Keep what backward needs of the call that ends here."""
        if self.training:
            self._last = last
        else:
            self._why_not = "expected the last call in training mode, got eval mode"

    def _kept(self, wanted_by: str) -> Any:
        if self._last is None:
            raise RuntimeError(f"{wanted_by}: {self._why_not}")
        return self._last
