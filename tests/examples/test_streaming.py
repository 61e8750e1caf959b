"""`examples/streaming.py` as its user meets it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "streaming.py"


def streaming(*words: str, code: int = 0) -> str:
    command = [sys.executable, "-W", "error", str(SCRIPT), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_it_learns_listens_and_tells_its_latency() -> None:
    out = streaming("--steps", "150", "--seconds", "1.5")
    errors = [float(e) for e in re.findall(r"error (\d\.\d+)$", out, re.M)]
    assert errors[-1] < errors[0]
    found, bumps = map(int, re.findall(r"^(\d+) of (\d+) bumps", out, re.M)[0])
    assert bumps >= 3
    assert found >= 0.7 * bumps
    ours, still = map(float, re.findall(r"median error (.+); .* (\S+)$", out, re.M)[0])
    assert ours < 0.5 * still
    median, worst = (
        float(re.findall(rf"{name}: ([\d.]+)", out)[0]) for name in ("50 %", "worst")
    )
    assert 0 < median <= worst
    assert "the same bits as the whole sequence at once: yes" in out


def test_it_can_be_paced() -> None:
    out = streaming("--steps", "1", "--rate", "2000", "--seconds", "0.5")
    assert re.search(r"latency in µs of a step and the linear layer, 800 samples:", out)


def test_a_signal_that_is_too_short() -> None:
    said = streaming("--rate", "100", "--seconds", "2", code=2)
    line = "--seconds: expected at least 4 at 100 samples per second, got 2"
    assert said == f"streaming.py: error: {line}\n"
