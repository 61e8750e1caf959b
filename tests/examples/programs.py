"""Running an example as its user does: quickly, and to the end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_quickly(name: str, out: Path, *words: object, libraries: str = "") -> str:
    """Run `examples/name` with --quick; return what it printed.

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
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.05
    return done.stdout


def numbers(pattern: str, said: str) -> list[float]:
    """Return the number in every match's one group."""
    found = [float(number) for number in re.findall(pattern, said)]
    assert found, f"{pattern!r} is not in\n{said}"
    return found
