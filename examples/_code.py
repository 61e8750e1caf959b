"""Python's own library in pieces, with a tag for every character."""

from __future__ import annotations

import io
import keyword
import sysconfig
import tokenize
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _errors import UserError

TAGS = ("rest", "name", "keyword", "definition", "string", "number", "comment")
LONGEST = 300  # characters of a piece
HELD_OUT = 10  # modules


class Piece(NamedTuple):
    """Some lines of code."""

    text: str
    tags: np.ndarray  # [len(text)], indices into TAGS


def read_modules(modules: int, seed: int) -> tuple[list[Piece], list[Piece]]:
    """Return pieces of `modules` modules, and those of `HELD_OUT` other modules."""
    folder = Path(sysconfig.get_path("stdlib"))
    paths = sorted(p for p in folder.glob("*.py") if 3_000 < p.stat().st_size < 60_000)
    if len(paths) < modules + HELD_OUT:
        raise UserError(
            f"--modules: expected at most {len(paths) - HELD_OUT}, those in {folder}, "
            f"got {modules}"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(paths))[: modules + HELD_OUT]
    pieces = [list(cut(paths[i].read_text("utf-8"))) for i in order]
    return list(chain(*pieces[HELD_OUT:])), list(chain(*pieces[:HELD_OUT]))


def cut(code: str) -> Iterator[Piece]:
    """Yield pieces of whole statements, each with at most `LONGEST` characters."""
    lines = code.splitlines(keepends=True)
    starts = np.cumsum([0] + [len(line) for line in lines])
    tags = np.zeros(len(code), np.int32)
    begin = end = 0
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        first, last = (starts[row - 1] + column for row, column in token[2:4])
        tags[first:last] = TAGS.index(tag(token, before))
        before = token.string
        if token.type == tokenize.NEWLINE:
            if last - begin > LONGEST and end > begin:
                yield Piece(code[begin:end], tags[begin:end].copy())
                begin = end
            if last - begin > LONGEST:  # one long statement: only its beginning
                yield Piece(code[begin:][:LONGEST], tags[begin:][:LONGEST].copy())
                begin = last
            end = last


def tag(token: tokenize.TokenInfo, before: str) -> str:
    """Return the tag of a token; `before` is the token before it."""
    kind = tokenize.tok_name[token.type]
    if kind == "NAME":
        if before in ("def", "class"):
            return "definition"
        return "keyword" if keyword.iskeyword(token.string) else "name"
    if "STRING" in kind:
        return "string"
    return kind.lower() if kind in ("NUMBER", "COMMENT") else "rest"
