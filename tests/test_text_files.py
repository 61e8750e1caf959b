"""Reading texts, and vectors of words: GloVe's and word2vec's text formats."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.text import Vocabulary, load_vectors, read_text
from tests.errors import bad_values, raises

TEXT = "zażółć 🐍\nthe end\n"
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"]
MARKS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}


# --- texts ---------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_text_however_it_was_written(
    encoding: str, end: str, compress: Any, tmp_path: Path
) -> None:
    path = tmp_path / "text"
    content = MARKS.get(encoding, b"") + TEXT.replace("\n", end).encode(encoding)
    path.write_bytes(compress(content))
    assert read_text(path) == TEXT
    assert read_text(str(path)) == TEXT


def test_a_mark_within_a_text_stays(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("a\ufeffb".encode())
    assert read_text(path) == "a\ufeffb"
    path.write_bytes(b"")
    assert read_text(path) == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xe9", "in UTF-8, got byte 0xe9 at 0 (unexpected end of data)"),
        (b"\xff\xfea\0b", "in UTF-16, got byte 0x62 at 4 (truncated data)"),
        (b"abc\xff", "in UTF-8, got byte 0xff at 3 (invalid start byte)"),
        (
            "ab".encode("utf-16-le"),
            "got a zero at 1, as binary files have, and UTF-16 without a byte order "
            "mark",
        ),
    ],
    ids=["latin-1", "half", "binary", "no mark"],
)
def test_what_is_no_text_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    gap = ", " if message.startswith("got") else " "
    with raises(ValueError, f"{path}: expected text{gap}{message}"):
        read_text(path)


@pytest.mark.parametrize("read", [read_text, lambda p: load_vectors(p, WORDS)])
def test_files_that_cannot_be_read(read: Any, tmp_path: Path) -> None:
    with raises(TypeError, "path: expected a path, got int"):
        read(3)
    with pytest.raises(FileNotFoundError, match="none"):
        read(tmp_path / "none")
    with pytest.raises(OSError, match=tmp_path.name):
        read(tmp_path)
    whole = gzip.compress(b"the 1 2\n" * 9999)
    path = tmp_path / "a.gz"
    damaged = {
        "end-of-stream marker": whole[: len(whole) // 2],
        "CRC check failed": whole[:-8] + bytes(8),
        "Unknown compression method": whole[:2] + b"\xff" + whole[3:],
    }
    for reason, content in damaged.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"a.gz: expected a whole gz.*{reason}"):
            read(path)


# --- vectors -------------------------------------------------------------------------

WORDS = Vocabulary(tokens=["the", "cat", "ćma", "dog"], words=True, pad=True, unk=True)
ROWS = {
    "dog": [1.5, -2.0, 3e-3],
    "The": [9.0, 9.0, 9.0],
    ". . .": [8.0, 8.0, 8.0],
    "\u2028": [7.0, 7.0, 7.0],
    "the": [0.25, 1.0, -1.0],
    "ćma": [4.0, 5.0, 6.0],
    "<unk>": [0.5, 0.5, 0.5],
}


def write(path: Path, header: bool, rows: Any = ROWS, **how: Any) -> Path:
    """Write vectors as GloVe does, or with a header as word2vec does."""
    end, gap, last = how.get("end", "\n"), how.get("gap", " "), how.get("last", "")
    lines = [f"{len(rows)} 3"] if header else []
    lines += [gap.join([word, *map(str, row)]) + last for word, row in rows.items()]
    text = "".join(line + end for line in lines)
    encoding = how.get("encoding", "utf-8")
    content = MARKS.get(encoding, b"") + text.encode(encoding)
    path.write_bytes(how.get("compress", bytes)(content))
    return path


def check(vectors: Any, found: Any, dtype: Any = np.float32) -> None:
    assert vectors.dtype == dtype
    assert vectors.shape == (6, 3)
    np.testing.assert_array_equal(found, [False, True, True, False, True, True])
    for token, row in zip(WORDS.tokens, vectors, strict=True):
        expected = np.array(ROWS.get(token, [0, 0, 0]), dtype)
        np.testing.assert_array_equal(row, expected)


@pytest.mark.parametrize("header", [False, True], ids=["glove", "word2vec"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"compress": gzip.compress},
        {"end": "\r\n"},
        {"gap": "\t"},
        {"gap": "  "},
        {"last": " "},
        {"last": " \n"},
        {"encoding": "utf-8-sig"},
        {"encoding": "utf-16", "end": "\r\n"},
        {"encoding": "utf-16-be"},
        {"encoding": "utf-32", "compress": gzip.compress},
    ],
    ids=lambda how: (
        " ".join(f"{k}={v!r}" for k, v in how.items() if k != "compress")
        + (" gzip" if "compress" in how else "")
    ),
)
def test_vectors_of_both_formats(
    how: dict[str, Any], header: bool, tmp_path: Path
) -> None:
    path = write(tmp_path / "vectors", header, **how)
    check(*load_vectors(path, WORDS))
    check(*load_vectors(str(path), WORDS, dtype=np.float64), np.float64)


def test_of_a_token_that_comes_twice_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    path.write_text("cat 1 2\ncat 3 4\ndog 5 6")
    vectors, found = load_vectors(path, WORDS)
    assert vectors[[3, 5]].tolist() == [[1, 2], [5, 6]]
    assert found.tolist() == [False] * 3 + [True, False, True]


def test_tokens_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(b"\xff\xfd\xff 1 2\ncat 3 4\n\xc4 5 6\n")
    assert load_vectors(path, WORDS)[0][3].tolist() == [3, 4]


def test_characters_and_values_that_float32_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    path.write_text("a 1e300 nan\n5 -inf 1e-300\n", "utf-8")
    with np.errstate(all="raise"):
        vectors, found = load_vectors(path, Vocabulary("5a"))
    assert found.all()
    np.testing.assert_array_equal(vectors, [[-np.inf, 0], [np.inf, np.nan]])


def test_vectors_go_into_an_embedding(tmp_path: Path) -> None:
    path = write(tmp_path / "vectors", header=False)
    vectors, found = load_vectors(path, WORDS)
    embedding = fastrnn.Embedding(*vectors.shape, trainable=False, seed=0)
    embedding.weight[found] = vectors[found]
    y = embedding([WORDS["dog"], WORDS["cat"], WORDS["mouse"]])
    np.testing.assert_array_equal(y[0], np.float32(ROWS["dog"]))
    assert y[1].all()  # as it was drawn
    np.testing.assert_array_equal(y[2], np.float32(ROWS["<unk>"]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: expected a token and its numbers, got ''"),
        (b"word\n", "line 1: expected a token and its numbers, got 'word'"),
        (b"the dog is\n", "line 1: expected numbers after the token, got 'dog'"),
        (b"a 1 2\ncat 1\n", "line 2: expected a token and 2 numbers, got 1"),
        (b"a 1 2\nhat 1\n", "line 2: expected a token and 2 numbers, got 1"),
        (b"a 1 2\n\ncat 1 2 3\n", "line 3: expected a token and 2 numbers, got 3"),
        (b"a 1 2\nhat 1 2 3\n", "line 2: expected a token and 2 numbers, got 3"),
        (b"a 1 2\ncat 1 x\n", "line 2: expected numbers after the token, got 'x'"),
        (b"2 2\ncat 1 2\n", "expected 2 vectors (by line 1), got 1"),
        (b"1 2\ncat 1 2\ndog 1 2\n", "expected 1 vectors (by line 1), got 2"),
        (b"1 0\n", "line 1: expected vectors of 1 to 1048575 numbers, got 0"),
        (
            "the 1 2\n".encode("utf-16-le"),
            "line 1: expected numbers after the token, got '\\x001\\x00'",
        ),
    ],
    ids=lambda a: repr(a)[:30],
)
def test_lines_that_are_no_vectors(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "vectors"
    for compress in bytes, gzip.compress:
        path.write_bytes(compress(content))
        with raises(ValueError, f"{path}: {message}"):
            load_vectors(path, WORDS)


def test_half_a_character_of_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    path.write_bytes("the 1 2\n".encode("utf-16") + b"\0")
    with pytest.raises(ValueError, match=r"vectors: expected text, got: .*utf-16"):
        load_vectors(path, WORDS)


@bad_values(
    TypeError={
        "path: expected a path, got NoneType": {"path": None},
        "vocabulary: expected a Vocabulary, got list": {"vocabulary": ["a"]},
        "dtype: expected float32 or float64, got int64": {"dtype": np.int64},
    },
    ValueError={"path: expected a path that a file can have, got ''": {"path": ""}},
)
def test_bad_arguments(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        load_vectors(**{"path": "vectors", "vocabulary": WORDS, **bad})
