"""Import time and installed size: ``python -m benchmarks.import_cost``.

Import time is measured in fresh processes that have imported NumPy; a library's first
import, which reads its files from the disk, is not counted. Installed size is that of
the files that the installer recorded, without required packages.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from .machine import describe_machine
from .report import layout
from .timing import Spread, alternate, spread

LIBRARIES = ("fastrnn", "onnxruntime", "jax", "torch")
DISTRIBUTIONS = {"jax": ("jax", "jaxlib")}  # where not the library's own name
SCRIPT = """
import time, numpy
start = time.perf_counter()
import {library}
print(time.perf_counter() - start)
"""


def time_import(library: str) -> float:
    """Return seconds beyond NumPy's own import, in a fresh process."""
    command = [sys.executable, "-c", SCRIPT.format(library=library)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def installed_bytes(library: str) -> int:
    """Return the size of the installed files, including compiled ``.pyc`` files."""
    paths: set[Path] = set()
    for name in DISTRIBUTIONS.get(library, (library,)):
        with contextlib.suppress(metadata.PackageNotFoundError):
            paths |= {Path(str(f.locate())) for f in metadata.files(name) or []}
    spec = importlib.util.find_spec(library)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder and not any(path.is_relative_to(folder) for path in paths):
        paths |= set(folder.rglob("*"))  # an editable install does not list them
    return sum(path.stat().st_size for path in paths if path.is_file())


def measure(rounds: int) -> dict[str, Any]:
    """Return import seconds and installed bytes of every installed library."""
    present = [name for name in LIBRARIES if importlib.util.find_spec(name)]
    for name in present:
        time_import(name)
    turns = {name: (lambda name=name: time_import(name)) for name in present}
    samples = alternate(turns, rounds)
    return {
        name: {"import_seconds": spread(samples[name]), "bytes": installed_bytes(name)}
        for name in present
    }


def main(argv: list[str] | None = None) -> None:
    p = argparse.ArgumentParser(prog="python -m benchmarks.import_cost")
    p.description, p.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--json", type=Path, metavar="FILE")
    p.add_argument("--markdown", action="store_true")
    options = p.parse_args(argv)
    found = measure(options.rounds)
    body = [
        [
            name,
            Spread(*(1e3 * v for v in cost["import_seconds"].values())).text(1, " ms"),
            f"{cost['bytes'] / 1e6:.1f} MB",
        ]
        for name, cost in found.items()
    ]
    header = ["library", "import beyond NumPy", "installed"]
    print(layout((header, body), markdown=options.markdown))
    if options.json:
        report = {"kind": "import_cost", "machine": describe_machine(LIBRARIES)}
        options.json.write_text(json.dumps(report | {"libraries": found}, indent=1))


if __name__ == "__main__":
    main()
