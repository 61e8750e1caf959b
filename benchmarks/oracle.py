"""Correct answers, and the check that each contestant passes before it is timed."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from .contestants import Results
from .contestants.fastrnn_kernels import prepare_reference
from .workloads import Array, Workload, make_inputs


@functools.lru_cache(maxsize=4)
def compute_expected(workload: Workload, mode: str) -> Results:
    """Return results of ``fastrnn.reference`` in float64 on the contestants' values."""
    inputs = make_inputs(workload).astype("float64")
    return prepare_reference(workload.with_dtype("float64"), inputs, mode, 1).results()


def relative_tolerance(workload: Workload) -> float:
    """Return the allowed error of a result, relative to its norm.

    A sum of K rounded terms is off by about ``sqrt(K)·eps/2`` of its norm; K is the
    longest sum of the workload (over inputs and units, over gates, over steps and
    rows), and the factor 4 leaves room for the steps that it passes. PyTorch and JAX
    differ by 3 to 9 eps here; a swapped gate or a lost bias is off by 1e-2 or more.
    """
    w = workload
    longest = max(w.I + w.H, w.G * w.H, w.T * w.N)
    return float(4 * np.sqrt(longest) * np.finfo(w.dtype).eps)


def check_results(
    results: Mapping[str, Array],
    expected: Mapping[str, Array],
    tolerance: float,
    dtype: str,
    who: str,
) -> float:
    """Compare every array with the oracle's; return the largest relative error.

    Raises
    ------
    AssertionError
        If a result is missing, has another shape or dtype, or is off by more than
        `tolerance` relative to its norm; the message names it.
    """
    if set(results) != set(expected):
        names = sorted(set(results) ^ set(expected))
        raise AssertionError(f"{who}: these results are missing or unknown: {names}")
    worst = 0.0
    for name, right in expected.items():
        got = results[name]
        if got.shape != right.shape or got.dtype != dtype:
            want, have = (right.shape, dtype), (got.shape, got.dtype)
            raise AssertionError(f"{who}: {name}: expected {want}, got {have}")
        error = float(np.linalg.norm(got - right) / np.linalg.norm(right))
        if not error <= tolerance:  # also catches NaN
            text = f"relative error {error:.2e} exceeds {tolerance:.2e}"
            raise AssertionError(f"{who}: {name}: {text}")
        worst = max(worst, error)
    return worst


def check_sequence(results: Results, workload: Workload, mode: str, who: str) -> float:
    expected = compute_expected(workload, mode)
    tolerance = relative_tolerance(workload)
    label = f"{who} on {workload.name} ({mode})"
    return check_results(results, expected, tolerance, workload.dtype, label)
