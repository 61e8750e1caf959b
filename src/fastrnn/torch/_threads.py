"""Let the kernels run on PyTorch's threads.

Where the two packages brought an OpenMP each, as wheels do, each has its own threads,
and those of one spin for a while after their work just when the other's want the cores:
a step that alternates between both took five times as long on two cores.
"""

import sys
from pathlib import Path

import torch

from fastrnn import _core

LIBRARY = "libtorch_cpu.dylib" if sys.platform == "darwin" else "libtorch_cpu.so"


def share_threads() -> bool:
    """Return whether it could be done; nothing else depends on it."""
    return _core.use_openmp_of(str(Path(torch.__file__).parent / "lib" / LIBRARY))


share_threads()
