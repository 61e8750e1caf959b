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
from fastrnn._types import Sequence

# Steps x rows; calls of more gain less than 2 % by it.
MOST_POSITIONS = 256

Cache = dict[int, _core.PackedLayer]  # by layer and direction

_caches: "WeakKeyDictionary[nn.Module, Cache]" = WeakKeyDictionary()


def cache_of(module: nn.Module) -> Cache:
    """Return the cache of a module, which calls fill."""
    cache = _caches.get(module)
    return _caches.setdefault(module, {}) if cache is None else cache


def drop(module: nn.Module) -> None:
    """Give the memory back."""
    _caches.pop(module, None)


def forward(sequence: Sequence, cache: Cache, k: int) -> tuple[Any, ...]:
    """Run layer and direction ``k`` out of its packed weights."""
    packed = cache.get(k)
    results = None if packed is None else packed.forward(sequence)
    if results is None:
        packed = cache[k] = _core.PackedLayer(sequence)
        results = packed.forward(sequence)
    if results is None:  # another thread writes to the weights
        results = _core.forward(sequence)
    return results
