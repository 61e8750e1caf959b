"""The linear head with cross-entropy, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.conftest import contestant_params
from benchmarks.contestants import SkippedError, heads
from benchmarks.contestants.heads import Head
from benchmarks.linear_cross_entropy import FACTORIES, HEADS, check_head


@pytest.mark.parametrize(("contestant", "threads"), contestant_params(list(FACTORIES)))
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_linear_cross_entropy(
    benchmark: Any,
    record: Callable[..., None],
    head: Head,
    contestant: str,
    threads: int,
) -> None:
    try:
        run = getattr(heads, f"prepare_{contestant}")(head, threads)
    except SkippedError as reason:
        pytest.skip(str(reason))
    check_head(run.results(), head, contestant)

    benchmark.group = f"linear + cross-entropy {head.name}"
    record(run, contestant, threads, flops=head.flops, dtype=head.dtype)
