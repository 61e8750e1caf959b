"""Running an example as its user does: quickly, and to the end."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> Any:
    """Import an example, or a part of one, as a module."""
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    return importlib.import_module(name)


def run_quickly(name: str, out: Path, *words: object, libraries: str = "") -> str:
    """Run `examples/name` with --quick; return its output.

    It has to end well, without a warning, and leave a picture that is not empty.
    """
    for library in ["matplotlib", "tqdm", *libraries.split()]:
        pytest.importorskip(library, reason=f"{library} is not installed (examples)")
    from matplotlib.image import imread

    script = EXAMPLES / name
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), "--quick", "--out", str(out)]
        + [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "100%" in done.stderr.split("\r")[-1], "the progress bar did not end"
    pixels = imread(out / f"{script.stem}.png")
    assert min(pixels.shape[:2]) > 450
    assert pixels[..., :3].std() > 0.05
    return done.stdout


def numbers(pattern: str, said: str) -> list[float]:
    """Return the number in every match's one group."""
    values = [float(number) for number in re.findall(pattern, said)]
    assert values, f"{pattern!r} is not in\n{said}"
    return values
