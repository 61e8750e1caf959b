"""What ``help()`` shows of the public functions and classes."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from tests.fuzz.public import GOOD, NEEDS

# Stepper is compiled, and has no signature.
NAMES = [n for n in GOOD if " " not in n and not n.endswith("=") and n != "Stepper"]


@pytest.mark.parametrize("name", NAMES)
def test_signatures_fit_a_screen(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types are named, not spelled out as NumPy and typing define them."""
    monkeypatch.chdir(tmp_path)  # some of the calls need a file
    for prefix, module in NEEDS.items():
        if name.startswith(prefix):
            pytest.importorskip(module)
    signature = str(inspect.signature(GOOD[name]().function))
    assert len(signature) < 700
    assert "numpy.ndarray" not in signature
    assert "typing." not in signature
