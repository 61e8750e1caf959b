"""Implementations under test: the reference, and fastrnn with each instruction set."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import _core, reference

ISAS = tuple(fastrnn.available_isas())
# Promise 3: these give the same bits. The baseline of x86-64 has no fused multiply-add.
FMA_ISAS = tuple(isa for isa in ISAS if isa != "baseline")
VECTOR_BYTES = {"baseline": 16, "neon": 16, "avx2": 32, "avx512": 64}
DTYPES = (np.float32, np.float64)

every_isa = pytest.mark.parametrize("isa", ISAS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)


def lanes(isa: str, dtype: Any) -> int:
    return VECTOR_BYTES[isa] // np.dtype(dtype).itemsize


@contextmanager
def using(isa: str, threads: int = 1) -> Iterator[None]:
    """Use an instruction set and a number of threads, then restore those of before."""
    before = fastrnn.isa(), fastrnn.get_num_threads()
    _core.select_isa(isa)
    fastrnn.set_num_threads(threads)
    try:
        yield
    finally:
        _core.select_isa(before[0])
        fastrnn.set_num_threads(before[1])


class Compiled:
    """fastrnn with a given instruction set and number of threads in every call."""

    def __init__(self, isa: str = ISAS[0], threads: int = 1) -> None:
        self.isa, self.threads = isa, threads

    def __getattr__(self, name: str) -> Any:
        function = getattr(fastrnn, name)

        def call(*arguments: Any, **options: Any) -> Any:
            with using(self.isa, self.threads):
                return function(*arguments, **options)

        return call


IMPLEMENTATIONS = {"reference": reference, **{isa: Compiled(isa) for isa in ISAS}}
