"""Print the build, the instruction set and the threads in use."""

import sys
from pathlib import Path

import numpy as np

import fastrnn


def main() -> None:
    facts = {
        **fastrnn.build_info(),
        "isa": fastrnn.isa(),
        "available_isas": ", ".join(fastrnn.available_isas()),
        "num_threads": fastrnn.get_num_threads(),
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "location": Path(fastrnn.__file__).parent,
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:{width}}  {value}")


if __name__ == "__main__":
    # A path may hold what the terminal's encoding does not.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    main()
