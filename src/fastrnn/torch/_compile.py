"""Let ``torch.compile`` trace through our modules.

It refuses every `torch.nn.RNN`, `LSTM` and `GRU` and their subclasses, since PyTorch's
own would be unrolled step by step, unless ``torch._dynamo.config.allow_rnn`` is set.
Ours are one operator a layer, so for them, and them alone, it is set.
"""

import functools
import importlib.abc
import importlib.util
import sys
from typing import Any

from fastrnn.torch._modules import Recurrent

BUILDER = "torch._dynamo.variables.builder"


def allow_ours(builder: Any) -> None:
    """Wrap the method that refuses them; leave an unknown version of it alone."""
    cls: Any = getattr(builder, "VariableBuilder", None)
    config: Any = getattr(builder, "config", None)
    wrap_module: Any = getattr(cls, "wrap_module", None)
    if wrap_module is None or not hasattr(config, "allow_rnn"):
        return

    @functools.wraps(wrap_module)
    def wrap_module_or_ours(self: Any, value: Any) -> Any:
        if not isinstance(value, Recurrent):
            return wrap_module(self, value)
        with config.patch(allow_rnn=True):
            return wrap_module(self, value)

    cls.wrap_module = wrap_module_or_ours


class WhenImported(importlib.abc.MetaPathFinder):
    """Calls `allow_ours` once the module is loaded: nobody waits for it before."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """Find the one module whose loading we wait for."""
        if name != BUILDER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_allow(module: Any) -> None:
            load(module)
            allow_ours(module)

        spec.loader.exec_module = load_and_allow  # type: ignore[method-assign]
        return spec


if BUILDER in sys.modules:
    allow_ours(sys.modules[BUILDER])
else:
    sys.meta_path.insert(0, WhenImported())
