"""The workloads, their cost and their inputs.

Symbols: ``T`` steps, ``N`` rows, ``I`` inputs, ``H`` hidden units, ``G`` gates.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
MODES = ("inference", "training")


@dataclass(frozen=True)
class Workload:
    """One layer, one direction, the whole sequence."""

    cell: str
    I: int  # noqa: E741 - the project's symbol for inputs
    H: int
    N: int
    T: int
    dtype: str = "float32"

    @property
    def name(self) -> str:
        text = f"{self.cell}-I={self.I}-H={self.H}-N={self.N}-T={self.T}"
        return text if self.dtype == "float32" else f"{text}-{self.dtype}"

    @property
    def G(self) -> int:  # noqa: N802
        return GATES[self.cell]

    def flops(self, mode: str) -> float:
        """Return the operations of the matrix products, without the pointwise part.

        Forward is one product by ``[w_ih w_hh]``, backward two: one for the gradients
        of the inputs, one for those of the weights.
        """
        products = {"inference": 1, "training": 3}[mode]
        return products * 2.0 * self.T * self.N * (self.I + self.H) * self.G * self.H

    def with_dtype(self, dtype: str) -> Workload:
        return replace(self, dtype=dtype)


@dataclass(frozen=True)
class Inputs:
    """Arguments of one call, time-major, PyTorch's weight layout and gate order."""

    x: Array  # [T, N, I]
    w_ih: Array  # [G·H, I]
    w_hh: Array  # [G·H, H]
    b_ih: Array  # [G·H]
    b_hh: Array  # [G·H]
    h0: Array  # [N, H]
    c0: Array  # [N, H], used by the LSTM only
    dy: Array  # [T, N, H], upstream gradient of y
    dh_n: Array  # [N, H], upstream gradient of h_n
    dc_n: Array  # [N, H], upstream gradient of c_n

    def astype(self, dtype: str) -> Inputs:
        return Inputs(
            **{f.name: getattr(self, f.name).astype(dtype) for f in fields(self)}
        )


def make_inputs(workload: Workload, seed: int = 0) -> Inputs:
    """Random inputs, non-zero in every argument; the same bits on every call.

    float64 inputs hold float32 values, so that both dtypes solve the same problem.
    """
    w = workload
    rng = np.random.default_rng(
        [seed, *(v for v in asdict(w).values() if isinstance(v, int))]
    )
    bound = w.H**-0.5

    def normal(*shape: int, scale: float = 1.0) -> Array:
        draw = rng.standard_normal(shape, dtype=np.float32)
        scaled: Array = (draw * np.float32(scale)).astype(w.dtype)
        return scaled

    def uniform(*shape: int) -> Array:
        return rng.uniform(-bound, bound, shape).astype(np.float32).astype(w.dtype)

    rows = w.G * w.H
    return Inputs(
        x=normal(w.T, w.N, w.I),
        w_ih=uniform(rows, w.I),
        w_hh=uniform(rows, w.H),
        b_ih=uniform(rows),
        b_hh=uniform(rows),
        h0=normal(w.N, w.H, scale=0.5),
        c0=normal(w.N, w.H, scale=0.5),
        dy=normal(w.T, w.N, w.H),
        dh_n=normal(w.N, w.H),
        dc_n=normal(w.N, w.H),
    )


LSTM_SIZES = (
    (64, 64, 32, 50),
    (128, 128, 32, 100),
    (256, 256, 32, 100),
    (512, 512, 16, 25),
    (512, 512, 64, 25),
    (1024, 1024, 32, 25),
    (1536, 1536, 8, 50),
    (32, 32, 1, 100),
    (256, 256, 1, 100),
)
GRU_SIZES = (
    (128, 128, 32, 100),
    (256, 256, 32, 100),
    (1024, 1024, 32, 50),
)
RNN_SIZES = (
    (256, 256, 32, 100),
    (1760, 1760, 16, 50),
    (2048, 2048, 64, 50),
    (32, 32, 1, 100),
    (256, 256, 1, 100),
)

# One row and a few: calls, weights and barriers are the cost.
FEW_ROWS_SIZES = (
    (64, 64, 1, 100),
    (128, 128, 1, 100),
    (1024, 1024, 1, 25),
    (2048, 2048, 1, 25),
    *((H, H, N, 25) for H in (256, 512, 1024) for N in (2, 4, 8)),
)

WORKLOADS: tuple[Workload, ...] = (
    *(Workload("lstm", *size) for size in LSTM_SIZES),
    *(Workload("gru", *size) for size in GRU_SIZES),
    *(Workload("rnn", *size) for size in RNN_SIZES),
    *(Workload("lstm", *size) for size in FEW_ROWS_SIZES),
)

# How fast is a layer of my size? Every cell over H, for one row and for a batch.
SWEEP: tuple[Workload, ...] = tuple(
    Workload(cell, H, H, N, 50 if H < 512 else 25)
    for cell in GATES
    for N in (1, 32)
    for H in (32, 64, 128, 256, 512, 1024)
)


def select_workloads(
    patterns: list[str] | None,
    dtype: str = "float32",
    among: tuple[Workload, ...] = WORKLOADS,
) -> list[Workload]:
    """Return the workloads whose name contains one of `patterns` (None: all)."""
    chosen = [
        w.with_dtype(dtype)
        for w in among
        if patterns is None or any(p in w.name for p in patterns)
    ]
    if not chosen:
        names = "\n  ".join(w.name for w in among)
        raise ValueError(f"workloads: none matches {patterns}; there are\n  {names}")
    return chosen
