"""`examples/char_lm.py`, killed at random moments, ends in the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.kill_char_lm import kill_and_resume

for library in ("matplotlib", "safetensors", "tqdm"):
    pytest.importorskip(library, reason=f"{library} is not installed (extra: examples)")


@pytest.mark.slow
def test_kills_change_no_bit(tmp_path: Path) -> None:
    counts = kill_and_resume(12, seed=1, folder=tmp_path)
    assert counts["kills"] == 12
    assert counts["in a write"] > 0
    assert counts["with a checkpoint"] > 0
    assert counts["runs"] >= 1
