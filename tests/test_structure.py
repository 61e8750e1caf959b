"""The library's rooms: which there are, which import which, and how long their code is.

A room is a module or sub-package at the top of `src/fastrnn`. It imports only from
rooms that come before it in `ROOMS`: no import goes upward, and there is no cycle.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastrnn._types import Sequence

LIBRARY = Path(__file__).parents[1] / "src" / "fastrnn"

ROOMS = [
    "_types",  # names of types; a checked sequence, tapes and gradients
    "_core",  # the compiled kernels
    "_cells",  # one row for each cell
    "_gate",  # checks of arguments
    "_runtime",  # threads and instruction sets
    "reference",  # the functions in plain NumPy
    "_functional",  # the functions on the kernels
    "_layers",  # parameters, and layers with their last call
    "stepper",  # one step at a time
    "_convert",  # files, and models of other libraries
    "data",
    "schedules",
    "_training",  # optimizers, the loop, its history and checkpoints
    "text",
    "plot",
    "sklearn",
    "onnx",
    "jax",
    "torch",
    "keras",
    "__init__",
    "__main__",
]


def room_of(file: Path) -> str:
    return file.relative_to(LIBRARY).parts[0].split(".")[0]


SOURCES = [
    file
    for file in sorted(LIBRARY.rglob("*"))
    if file.suffix in {".py", ".pyi", ".pyx", ".pxd"}
]
NAMES = [str(file.relative_to(LIBRARY)) for file in SOURCES]


def imports(text: str) -> Iterator[str]:
    """Yield the rooms that a source imports from, wherever in it the import stands."""
    text = re.sub(
        r"import \(([^)]*)\)", lambda m: "import " + m[1].replace("\n", ""), text
    )
    for line in text.splitlines():
        if match := re.match(r" *from fastrnn c?import (.*)", line):
            yield from re.findall(r"(\w+)(?: as \w+)?", match[1].split("#")[0])
        elif match := re.match(r" *(?:from|c?import) fastrnn\.(\w+)", line):
            yield match[1]
        elif re.match(r" *(?:c?import fastrnn\b|from \.)", line):
            yield "__init__"


def blocks(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield kind, name and lines of code of each class and function.

    A signature counts; docstrings, comments and empty lines do not. Sources are read
    token by token, not as a syntax tree, because some of them are Cython.
    """
    code: set[int] = set()  # lines with code on them
    line: list[tokenize.TokenInfo] = []  # the logical line so far
    opened: list[tuple[str, str, int]] = []  # for each level of indentation
    header = ("", "", 0)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.INDENT:
            opened.append(header)
        elif token.type == tokenize.DEDENT:
            kind, name, start = opened.pop()
            if kind:
                yield kind, name, sum(n >= start for n in code)
        elif token.type == tokenize.NEWLINE:
            if any(part.type != tokenize.STRING for part in line):
                code |= {
                    n for part in line for n in range(part.start[0], part.end[0] + 1)
                }
            header = (*kind_and_name(line), line[0].start[0])
            line = []
        elif token.type not in {tokenize.COMMENT, tokenize.NL}:
            line.append(token)


def kind_and_name(line: list[tokenize.TokenInfo]) -> tuple[str, str]:
    words = [part.string for part in line]
    if words[-1] != ":" or words[0] not in {"class", "def", "async", "cdef", "cpdef"}:
        return "", ""
    if "class" in words[:2]:
        return "class", words[words.index("class") + 1]
    return ("function", words[words.index("(") - 1]) if "(" in words else ("", "")


def test_every_room_has_its_place() -> None:
    assert {room_of(file) for file in SOURCES} == set(ROOMS)
    assert len(ROOMS) == len(set(ROOMS))
    assert len(ROOMS) <= 20 + len(["__init__", "__main__"])  # few enough to remember


@pytest.mark.parametrize("file", SOURCES, ids=NAMES)
def test_no_import_goes_upward(file: Path) -> None:
    here = room_of(file)
    allowed = ROOMS[: ROOMS.index(here) + 1]
    assert [a for a in imports(file.read_text("utf-8")) if a not in allowed] == []


@pytest.mark.parametrize("file", SOURCES, ids=NAMES)
def test_classes_and_functions_are_short(file: Path) -> None:
    limit = {"class": 250, "function": 60}
    found = list(blocks(file.read_text("utf-8")))
    assert [block for block in found if block[2] > limit[block[0]]] == []


def test_lines_of_code_are_counted() -> None:
    text = '''
class A:
    """Doc
    string."""

    # comment
    @property
    def f(
        self,
    ) -> int:
        """Doc."""
        if self:
            return (
                1
            )

        return 2  # comment


cdef int g(const float* x) except? -1:
    return x[0]
'''
    assert list(blocks(text)) == [
        ("function", "f", 8), ("class", "A", 10), ("function", "g", 2)
    ]  # fmt: skip


def test_a_sequence_by_position_has_its_fields_in_order() -> None:
    """Each argument is named like its field; "layer._cell" counts as "cell"."""
    found = 0
    for file in LIBRARY.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if not isinstance(call, ast.Call) or len(call.args) < 10:
                continue
            if isinstance(call.func, ast.Name) and call.func.id == "Sequence":
                found += 1
                for field, value in zip(Sequence._fields, call.args, strict=False):
                    if not (isinstance(value, ast.Constant) and value.value is None):
                        assert ast.unparse(value).split(".")[-1].lstrip("_") == field
    assert found >= 2
