"""Running the short examples as their user does: as commands, with ``--quick``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
LIBRARIES = ("matplotlib", "safetensors", "tqdm")


def run_quick(name: str, out: Path, *words: object) -> str:
    """Run an example quickly; return what it said. There has to be a picture."""
    for library in LIBRARIES:
        pytest.importorskip(library, reason=f"{library} is not installed")
    command = [sys.executable, "-W", "error", FOLDER / f"{name}.py", "--quick"]
    done = subprocess.run(
        [*map(str, command), "--out", str(out), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\r") > 2  # a progress bar
    check_picture(out / f"{name}.png")
    return done.stdout


def check_picture(path: Path) -> None:
    from matplotlib.image import imread

    pixels = imread(path)
    assert min(pixels.shape[:2]) > 300
    assert len({tuple(c) for c in pixels[::5, ::5, :3].reshape(-1, 3)}) > 20


def numbers(said: str, pattern: str) -> list[float]:
    """Return the numbers of the result line, by the groups of a pattern."""
    found = re.search(rf"^result: {pattern}", said, re.M)
    assert found, said
    return [float(group) for group in found.groups()]
