"""`examples/shapes.py`: every shape learns its task."""

from __future__ import annotations

from pathlib import Path

from tests.examples.programs import numbers, run_quickly


def test_every_shape_learns_its_task(tmp_path: Path) -> None:
    right = numbers(
        r"result: .* ([\d.]+)% all right", run_quickly("shapes.py", tmp_path)
    )
    assert len(right) == 5
    assert min(right) > 97
