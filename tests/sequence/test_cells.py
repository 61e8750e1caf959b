"""The tables of cells say the same: in C++, in Python, and in the reference."""

import fastrnn
from fastrnn import _core
from fastrnn._cells import CELLS
from fastrnn.reference.cells import STEPS


def test_kernels() -> None:
    rows = {name: (row.gates, "c" in row.states) for name, row in CELLS.items()}
    assert rows == _core.cells()


def test_steps_of_the_reference() -> None:
    assert STEPS.keys() == CELLS.keys()


def test_layers() -> None:
    assert [getattr(fastrnn, name.upper())._cell for name in CELLS] == [*CELLS]
