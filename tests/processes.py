"""Fresh Python processes, for things that a process does only once."""

import os
import signal
import subprocess
import sys
from typing import Any

OURS = (
    "FASTRNN_ISA",
    "FASTRNN_NUM_THREADS",
    "FASTRNN_SHARE",
    "OMP_NUM_THREADS",
)


def run_python(
    *words: str, timeout: float = 300, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python with only the given ones of our environment variables.

    After ``timeout``, long enough for a busy machine, it is ended with all its
    children. They would hold its output open, and `subprocess.run` would wait for them.
    """
    others = {k: v for k, v in os.environ.items() if k not in OURS}
    process = subprocess.Popen(
        [sys.executable, *words],
        env=others | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"not done after {timeout} s: {err}") from None
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def run_program(program: str, **options: Any) -> str:
    """Return the output of a program, which must exit without an error."""
    done = run_python("-c", program, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
