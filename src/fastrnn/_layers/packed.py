"""Weights of a recurrent layer, packed once and used by many calls in eval mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastrnn import _core
from fastrnn._gate.layers import LayerCall
from fastrnn._types import FloatArray

if TYPE_CHECKING:
    from fastrnn._layers.recurrent import RecurrentLayer


class PackedWeights:
    """The weights of all layers and directions, packed when they are first needed.

    They are repacked when the parameters have changed: the compiled object compares a
    digest of the parameters at every call.
    """

    def __init__(self, *, bfloat16: bool = False) -> None:
        self.bfloat16 = bfloat16
        self._weights: _core.PackedLayers | None = None

    def current(self, layer: RecurrentLayer[Any]) -> _core.PackedLayers:
        """Return the weights as the parameters are now."""
        if self._weights is None or not self._weights.is_current():
            self._weights = self._pack(layer)
        return self._weights

    @staticmethod
    def can_run(layer: RecurrentLayer[Any], call: LayerCall) -> bool:
        """Whether `run` serves a call: eval mode, one direction, plain sequences."""
        return (
            not layer.training
            and not layer.bidirectional
            and layer.zoneout == 0
            and call.lengths is None
            and call.resets is None
        )

    def run(
        self, layer: RecurrentLayer[Any], call: LayerCall
    ) -> tuple[FloatArray, tuple[FloatArray, ...]]:
        """Run all layers in one compiled call; return y and the final states."""
        h0, c0 = call.initial if len(call.initial) == 2 else (call.initial[0], None)
        if self._weights is None:
            self._weights = self._pack(layer)
        result = None
        while result is None:  # at most twice, unless another thread keeps writing
            result = self._weights.forward(call.T, call.N, call.x, call.tokens, h0, c0)
            if result is None:
                self._weights = self._pack(layer)
        y, h_n, c_n = result
        return y, (h_n,) if c_n is None else (h_n, c_n)

    def _pack(self, layer: RecurrentLayer[Any]) -> _core.PackedLayers:
        nonlinearity, reset, coupled = layer._cell_options()
        return _core.PackedLayers(
            layer._cell,
            nonlinearity=nonlinearity,
            reset=reset,
            coupled=coupled,
            peephole="peephole" in layer._own_shapes(),
            proj_size=layer.proj_size,
            input_size=layer.input_size,
            hidden_size=layer.hidden_size,
            num_layers=layer.num_layers,
            directions=2 if layer.bidirectional else 1,
            bias=layer.bias,
            bfloat16=self.bfloat16,
            flat_params=layer.flat_params,
        )
