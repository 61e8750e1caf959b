"""Fresh Python processes, for what a process does once."""

import os
import subprocess
import sys
from typing import Any

OURS = ("FASTRNN_ISA", "FASTRNN_NUM_THREADS", "OMP_NUM_THREADS")


def run_python(
    *words: str, timeout: float = 60, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python with only the given ones of our variables set."""
    environment = {k: v for k, v in os.environ.items() if k not in OURS}
    return subprocess.run(
        [sys.executable, *words],
        env=environment | variables,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )


def run_program(program: str, **options: Any) -> str:
    """Return what a program printed; it must end well."""
    done = run_python("-c", program, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
