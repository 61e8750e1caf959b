"""What ``help()`` shows of the public functions and classes."""

from __future__ import annotations

import inspect

import pytest

from tests.fuzz.public import GOOD, NEEDS

# Stepper is compiled, and has no signature.
NAMES = [n for n in GOOD if " " not in n and not n.endswith("=") and n != "Stepper"]


@pytest.mark.parametrize("name", NAMES)
def test_signatures_fit_a_screen(name: str) -> None:
    """Types are named, not spelled out as NumPy and typing define them."""
    for prefix, module in NEEDS.items():
        if name.startswith(prefix):
            pytest.importorskip(module)
    signature = str(inspect.signature(GOOD[name]().function))
    assert len(signature) < 700
    assert "numpy.ndarray" not in signature
    assert "typing." not in signature
