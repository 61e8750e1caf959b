"""Comparisons: by bits, and within a tolerance that comes from the sums' lengths."""

from typing import Any

import numpy as np


def assert_same_bits(got: Any, expected: Any, name: str = "") -> None:
    """As bytes: 0 and -0 differ, one NaN equals itself. Takes dicts of arrays too."""
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
    """Compare with what higher precision gives, cell by cell. Takes dicts too.

    In a sum of ``terms`` products of size 1, partial sums are as large as the root of
    their number, and each addition errs by a rounding of one: in all by about ``terms``
    roundings of 1, where they cancel; where they do not, by the root of ``terms``
    roundings of the sum. All cells of an array are such sums, so the largest entry
    stands for each.
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
