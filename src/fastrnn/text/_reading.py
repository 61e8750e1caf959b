"""Reading files: texts, and vectors of words."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from fastrnn._convert.files.whole import check_path, open_without_waiting, read_whole
from fastrnn._gate.arguments import shown
from fastrnn._gate.layers import check_layer_dtype
from fastrnn._types import BoolArray, FloatArray
from fastrnn.text._vocabulary import Vocabulary

GZIP = b"\x1f\x8b"  # what every file of gzip begins with
# The mark of UTF-32 begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: str | os.PathLike[str]) -> str:
    r"""Return the text of a file, however it was written.

    Parameters
    ----------
    path : path
        A file in UTF-8, or with a byte order mark in UTF-16 or UTF-32; compressed by
        gzip or not. The mark is no part of the text, and lines end in ``"\n"``.

    Raises
    ------
    OSError
        The file cannot be read.
    TypeError
        ``path`` is not a path.
    ValueError
        The file is in another encoding (no text is guessed), or damaged.
    """
    path = check_path("path", path)
    content = read_whole(path)
    if content.startswith(GZIP):
        with damage_named(path):
            content = gzip.decompress(content)
    encoding = encoding_of(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected text in {encoding.removesuffix('-sig').upper()}, got "
            f"byte {content[error.start]:#04x} at {error.start} ({error.reason})"
        ) from None
    refuse_zeros(path, text)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def load_vectors(
    path: str | os.PathLike[str],
    vocabulary: Vocabulary,
    *,
    dtype: DTypeLike = np.float32,
) -> tuple[FloatArray, BoolArray]:
    """Return the vectors that a file of GloVe or word2vec has for a vocabulary.

    ::

        vectors, found = fastrnn.text.load_vectors("glove.6B.100d.txt.gz", vocabulary)
        embedding = fastrnn.Embedding(*vectors.shape, seed=0)
        embedding.weight[found] = vectors[found]  # the others are as they were drawn

    Parameters
    ----------
    path : path
        A text file, compressed by gzip or not. Each line is a token and its ``D``
        numbers (GloVe); before them may be a line of two whole numbers, how many lines
        there are and ``D`` (word2vec, fastText). Encodings are those of `read_text`.
    vocabulary : Vocabulary
        Its tokens are looked for as they are: ``"The"`` is not ``"the"``.
    dtype : float32 or float64
        Of the vectors.

    Returns
    -------
    vectors : [V, D]
        By id; 0 for tokens that the file does not have.
    found : [V] bool
        Which tokens it has.

    Raises
    ------
    OSError
        The file cannot be read.
    TypeError
        A type or dtype is wrong.
    ValueError
        A line is not of this form, with the path and the number of the line; or the
        file is cut short or damaged.

    Notes
    -----
    Of a token that comes twice, the first vector is taken. Only lines of tokens in the
    vocabulary are read to the end, and no others are kept. A token may contain spaces,
    as some of GloVe's do.

    References
    ----------
    J. Pennington, R. Socher, C. Manning, "GloVe: global vectors for word
    representation", 2014. T. Mikolov et al., "Distributed representations of words and
    phrases and their compositionality", 2013.
    """
    path = check_path("path", path)
    if not isinstance(vocabulary, Vocabulary):
        kind = type(vocabulary).__name__
        raise TypeError(f"vocabulary: expected a Vocabulary, got {kind}")
    dtype = check_layer_dtype(dtype)
    with open_binary(path) as file, damage_named(path):
        return Vectors(path, vocabulary, dtype).read(utf8_lines(file))


class Vectors:
    """The vectors of a vocabulary, as they are read from a file, line by line."""

    def __init__(self, path: str, vocabulary: Vocabulary, dtype: Any) -> None:
        self.path, self.dtype = path, dtype
        # Compared as bytes, tokens in the file need not be valid.
        self.ids = {
            token.encode("utf-8", "surrogatepass"): i
            for i, token in enumerate(vocabulary.tokens)
        }

    def read(self, lines: Iterable[bytes]) -> tuple[FloatArray, BoolArray]:
        """Return the vectors and which were found."""
        numbered = enumerate(lines, 1)
        D, promised, first = self.begin(next(numbered, (1, b""))[1])
        vectors = np.zeros((len(self.ids), D), self.dtype)
        found = np.zeros(len(self.ids), bool)
        count = 0
        if first is not None:
            count += self.take(1, first, vectors, found)
        for n, line in numbered:
            count += self.take(n, line, vectors, found)
        if promised is not None and count != promised:
            raise ValueError(
                f"{self.path}: expected {promised} vectors (by line 1), got {count}"
            )
        return vectors, found

    def begin(self, line: bytes) -> tuple[int, int | None, bytes | None]:
        """Return D, how many vectors line 1 promises, and the line if it is one."""
        fields = line.split()
        if len(fields) == 2 and all(a.isdigit() and len(a) < 19 for a in fields):
            promised, D = map(int, fields)
            if not 1 <= D < 2**20:
                raise self.wrong(1, "vectors of 1 to 1048575 numbers", D)
            return D, promised, None
        if len(fields) < 2:
            raise self.wrong(1, "a token and its numbers", as_text(line.strip()))
        self.numbers(1, fields[1:])
        return len(fields) - 1, None, line

    def take(self, n: int, line: bytes, vectors: Any, found: Any) -> bool:
        """Keep the vector on line ``n`` if it is wanted; say whether there is one."""
        D = vectors.shape[1]
        line = line.strip()
        token = line.partition(b" ")[0]
        if token not in self.ids and line.count(b" ") == D:
            return True  # nearly all lines: quickly on
        if not line:
            return False
        token, *fields = line.rsplit(None, D)
        words = token.split()
        if len(fields) < D or (len(words) > 1 and is_number(words[-1])):
            got = len(words) - 1 + len(fields)
            raise self.wrong(n, f"a token and {D} numbers", got)
        i = self.ids.get(token)
        if i is not None:
            values = self.numbers(n, fields)
            if not found[i]:
                with np.errstate(all="ignore"):  # numbers beyond float32
                    vectors[i] = values
                found[i] = True
        return True

    def numbers(self, n: int, fields: list[bytes]) -> list[float]:
        for field in fields:
            if not is_number(field):
                raise self.wrong(n, "numbers after the token", as_text(field))
        return [float(field) for field in fields]

    def wrong(self, n: int, expected: str, got: Any) -> ValueError:
        return ValueError(f"{self.path}: line {n}: expected {expected}, got {got}")


def is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def as_text(line: bytes) -> str:
    return shown(line.decode("utf-8", "replace"))


# --- files ---------------------------------------------------------------------------


def encoding_of(start: bytes) -> str:
    """Return the encoding that a byte order mark names, else UTF-8."""
    for mark, encoding in MARKS.items():
        if start.startswith(mark):
            return encoding
    return "utf-8"


def refuse_zeros(path: str, text: str) -> None:
    """Refuse text with zeros: UTF-16 read as UTF-8 has one beside every letter."""
    if "\0" in text:
        at = text.index("\0")
        raise ValueError(
            f"{path}: expected text, got a zero at {at}, as binary files have, and "
            f"UTF-16 without a byte order mark"
        )


@contextlib.contextmanager
def damage_named(path: str) -> Iterator[None]:
    """Turn errors of decompression and decoding into one that names the file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: expected a whole gzip file, got: {error}") from None
    except UnicodeError as error:
        raise ValueError(f"{path}: expected text, got: {error}") from None


@contextlib.contextmanager
def open_binary(path: str) -> Iterator[BinaryIO]:
    """Open a regular file for reading, through gzip if it is compressed."""
    start = read_whole(path, 2)
    with open(path, "rb", opener=open_without_waiting) as file:
        if start != GZIP:
            yield file
            return
        with gzip.open(file) as inner:
            yield inner  # type: ignore[misc]


def utf8_lines(file: Any) -> Iterator[bytes]:
    """Yield lines in UTF-8, whatever a byte order mark says of the file."""
    encoding = encoding_of(file.peek(4)[:4])
    if encoding == "utf-8":
        yield from file
    elif encoding == "utf-8-sig":
        file.read(len(codecs.BOM_UTF8))
        yield from file
    else:
        # Seldom and slow. Only "\n" ends a line: tokens may contain what else ends one.
        for line in file.read().decode(encoding).split("\n"):
            yield line.encode("utf-8", "surrogatepass")
