"""Packed weights of frozen modules, kept from call to call.

Kernels read weights in an order of their own, and a call packs them first. For a module
in eval mode that is called without gradients they are kept, beside it and not in it:
copies, pickles and checkpoints know nothing of them. Each call takes a digest of all
bytes of the weights, wherever these lie by then, and packs anew what differs.
"""

from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from fastrnn import _core

# Steps x rows; calls of more gain less than 2 % by it.
MOST_POSITIONS = 256

Kept = dict[int, _core.PackedLayer]  # by layer and direction

_caches: "WeakKeyDictionary[nn.Module, Kept]" = WeakKeyDictionary()


def kept_of(module: nn.Module) -> Kept:
    """Return what is kept for a module, to be filled by calls."""
    found = _caches.get(module)
    return _caches.setdefault(module, {}) if found is None else found


def drop(module: nn.Module) -> None:
    """Give the memory back."""
    _caches.pop(module, None)


def forward(sequence: Any, kept: Kept, k: int) -> tuple[Any, ...]:
    """Run layer and direction ``k`` out of its packed weights."""
    layer = kept.get(k)
    found = None if layer is None else layer.forward(sequence)
    if found is None:
        layer = kept[k] = _core.PackedLayer(sequence)
        found = layer.forward(sequence)
    if found is None:  # another thread writes to the weights
        found = _core.forward(sequence)
    results: tuple[Any, ...] = found
    return results
