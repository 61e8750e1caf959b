"""The libraries compared: one module each, all with the same two functions.

``version()`` raises `SkippedError` if the library is not installed;
``prepare(workload, inputs, mode, threads)`` returns a `Run`, or raises `SkippedError`
with the reason why the library cannot do that workload.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .base import Results, Run, SkippedError

__all__ = ["CONTESTANTS", "Contestant", "Results", "Run", "SkippedError"]


@dataclass(frozen=True)
class Contestant:
    """The place of a contestant; nothing is imported until it is needed.

    ``fixed_threads``: the library fixes its thread count when it starts, so a process
    can time it at one thread count only.
    """

    module: str
    function: str = "prepare"
    fixed_threads: bool = False

    @property
    def factory(self) -> str:
        """Return ``module:function``, for a worker process to load."""
        return f"{__name__}.{self.module}:{self.function}"

    def load(self) -> ModuleType:
        return importlib.import_module(f"{__name__}.{self.module}")

    def prepare(self) -> Callable[..., Run]:
        function: Callable[..., Any] = getattr(self.load(), self.function)
        return function

    def version(self) -> str:
        return str(self.load().version())


CONTESTANTS: dict[str, Contestant] = {
    "fastrnn": Contestant("fastrnn_kernels"),
    "torch": Contestant("pytorch"),
    "jax": Contestant("jax_scan", fixed_threads=True),
    "jax-vjp": Contestant("jax_scan", "prepare_vjp", fixed_threads=True),
    "onnxruntime": Contestant("onnx_runtime"),
    "reference": Contestant("fastrnn_kernels", "prepare_reference", fixed_threads=True),
}
