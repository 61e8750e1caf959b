"""Comparisons: by bits, and within a tolerance that comes from the sums' lengths."""

from typing import Any

import numpy as np


def assert_same_bits(got: Any, expected: Any, name: str = "") -> None:
    """Compare as bytes: 0 and -0 differ, a NaN equals itself. Takes dicts too."""
    if isinstance(expected, dict):
        assert got.keys() == expected.keys()
        for key, a in expected.items():
            assert_same_bits(got[key], a, key)
        return
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype, name
    assert got.shape == expected.shape, name
    if got.tobytes() != expected.tobytes():
        np.testing.assert_array_equal(got, expected, err_msg=name)
        raise AssertionError(f"{name}: equal as numbers, but not as bits")


def assert_near(got: Any, expected: Any, terms: float, name: str = "") -> None:
    """Compare with results of higher precision, entry by entry. Takes dicts too.

    In a sum of ``terms`` products of size 1, partial sums grow as the root of their
    number, and each addition errs by one rounding of such a sum. If the terms cancel,
    the total error is about ``terms`` roundings of 1; if they do not, it is the root of
    ``terms`` roundings of the sum. All entries of an array are such sums, so the
    largest entry stands for each.
    """
    if isinstance(expected, dict):
        assert got.keys() == expected.keys()
        for key, a in expected.items():
            assert_near(got[key], a, terms, key)
        return
    assert got.shape == expected.shape, name
    assert np.isfinite(expected).all(), name
    if got.size == 0:
        return
    eps = float(np.finfo(got.dtype).eps)
    most = np.abs(expected).max()
    tolerance = 4 * eps * (8 + terms + np.sqrt(terms) * most)
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance, err_msg=name)
