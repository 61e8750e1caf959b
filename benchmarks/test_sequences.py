"""Whole sequences, forward alone and with all gradients, libraries side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.conftest import contestant_params
from benchmarks.contestants import CONTESTANTS, SkippedError
from benchmarks.oracle import check_sequence
from benchmarks.workloads import MODES, WORKLOADS, Workload, make_inputs


@pytest.mark.parametrize(
    ("contestant", "threads"), contestant_params(list(CONTESTANTS))
)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_sequence(
    benchmark: Any,
    record: Callable[..., None],
    workload: Workload,
    mode: str,
    contestant: str,
    threads: int,
) -> None:
    prepare = CONTESTANTS[contestant].prepare()
    try:
        run = prepare(workload, make_inputs(workload), mode, threads)
    except SkippedError as reason:
        pytest.skip(str(reason))
    check_sequence(run.results(), workload, mode, contestant)

    benchmark.group = f"{workload.name} {mode}"
    flops = workload.flops(mode)
    record(run, contestant, threads, flops=flops, dtype=workload.dtype)
