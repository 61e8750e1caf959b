"""Building without what it needs says what to install."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.c.building import ROOT, find_cmake

WITHOUT_COMPILER = {"PATH": "/nowhere"}


@pytest.mark.skipif(os.name != "posix", reason="Windows has a way of its own")
@pytest.mark.parametrize("cxx", [None, "/nowhere/g++"])
def test_without_a_compiler(cxx: str | None, tmp_path: Path) -> None:
    environment = WITHOUT_COMPILER | ({"CXX": cxx} if cxx else {})
    done = subprocess.run(
        [find_cmake(), "-S", ROOT, "-B", tmp_path, "-DCMAKE_MAKE_PROGRAM=/bin/true"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "fastrnn: " in line]
    assert len(lines) == 1
    assert "no C++ compiler found; " in lines[0]
    assert not cxx or f"CXX is {cxx}" in lines[0]
    assert len(done.stderr.splitlines()) < 10
