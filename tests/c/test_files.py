"""Files and arguments that the C library refuses, naming what is wrong."""

from __future__ import annotations

import ctypes
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.c.building import (
    BAD_ARGUMENT,
    BAD_FILE,
    NO_MEMORY,
    Layer,
    Library,
    Refused,
)

A = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
B = {"dtype": "F32", "shape": [1], "data_offsets": [24, 28]}


def whole(header: Any, data: bytes = bytes(28)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def spelt(value: str) -> bytes:
    """Return a header whose first shape is written like this."""
    return json.dumps({"a": A, "b": B}).encode().replace(b"[2, 3]", value.encode())


DAMAGED = {
    "nothing": b"",
    "no header": bytes(7),
    "a header longer than the file": (2**62).to_bytes(8, "little") + b"{}",
    "a length that wraps": (2**64 - 1).to_bytes(8, "little") + b"{}",
    "no object": whole(b"[]", b""),
    "half an object": whole(b'{"a": {"dtype"', b""),
    "half a string": whole(b'{"a', b""),
    "half an escape": whole(b'{"a\\', b""),
    "half a character": whole(b'{"\\u12', b""),
    "half a pair": whole(b'{"\\ud800x": {}}', b""),
    "two objects": whole(b"{}{}", b""),
    "a NUL after it": whole(b"{}\0", b""),
    "a control character": whole(b'{"\n": {}}', b""),
    "a name twice": whole(b'{"a":%s,"a":%s}' % ((json.dumps(A).encode(),) * 2)),
    "no dtype": whole({"a": {"shape": [7], "data_offsets": [0, 28]}}),
    "more than is known": whole({"a": {**A, "more": 1}, "b": B}),
    "an overlap": whole({"a": A, "b": {**B, "data_offsets": [20, 24]}}, bytes(24)),
    "a gap": whole({"a": A, "b": {**B, "data_offsets": [25, 29]}}, bytes(29)),
    "bytes of nobody": whole({"a": A, "b": B}, bytes(29)),
    "missing bytes": whole({"a": A, "b": B}, bytes(27)),
    "backwards": whole({"a": {**A, "data_offsets": [24, 0]}, "b": B}),
    "one offset": whole({"a": {**A, "data_offsets": [24]}, "b": B}),
    "three offsets": whole({"a": {**A, "data_offsets": [0, 24, 24]}, "b": B}),
    "offsets that wrap": whole({"a": {**A, "data_offsets": [2**64 - 4, 20]}, "b": B}),
    "another shape": whole({"a": {**A, "shape": [2, 4]}, "b": B}),
    "a shape that wraps": whole({"a": {**A, "shape": [2**32, 2**32, 6]}, "b": B}),
    "a shape that wraps to 0": whole({"a": {**A, "shape": [2**61, 8, 0]}, "b": B}),
    "a size that wraps": whole(spelt(f"[{2**64 + 2}, 3]")),
    "a long size": whole(spelt("[2, " + "3" * 400 + "]")),
    "a negative size": whole(spelt("[-2, -3]")),
    "a fraction": whole(spelt("[2.0, 3]")),
    "a power": whole(spelt("[2, 3e0]")),
    "leading zeros": whole(spelt("[02, 3]")),
    "33 dimensions": whole(spelt(str([2, 3] + [1] * 31))),
    "a list too many": whole(spelt("[[2, 3]]")),
    "a comma too many": whole(spelt("[2, 3,]")),
    "a dtype of another kind": whole({"a": {**A, "dtype": 32}, "b": B}),
    "numbers as metadata": whole({"__metadata__": {"a": 1}, "a": A, "b": B}),
    "deep nesting": whole(b'{"a":' * 100_000, b""),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_files(content: bytes, library: Library, tmp_path: Path) -> None:
    """Both readers refuse them."""
    with pytest.raises(Refused, match="damaged or not a safetensors file") as refused:
        library.parse(content)
    assert refused.value.status == BAD_FILE
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(Refused, match=f"{tmp_path}/file: damaged"):
        library.open(tmp_path / "file")
    with pytest.raises(ValueError, match="damaged"):
        fastrnn.load(tmp_path / "file")


def test_right_files_of_unusual_spelling(library: Library) -> None:
    header = json.dumps(
        {'\u20ac\U0001f600\x7f\\"/': A, "b": B, "__metadata__": {"a": "b"}}
    )
    library.parse(whole(header.encode()))
    library.parse(whole(header.replace(" ", "\r\n\t ").encode() + b"   "))
    library.parse(whole(b"{}", b""))
    library.parse(whole({"a": {"dtype": "NEW", "shape": [3], "data_offsets": [0, 28]}}))
    library.parse(whole({"a": A, "b": B, "c": {**A, "shape": [0, 9],
                                               "data_offsets": [0, 0]}}))  # fmt: skip


def test_random_damage(library: Library, tmp_path: Path) -> None:
    """What the C library takes the package takes too, and nothing crashes."""
    rng = np.random.default_rng(0)
    model = fastrnn.GRU(3, 4, seed=0)
    fastrnn.save(tmp_path / "file", model, {"a": "\u20ac"})
    right = (tmp_path / "file").read_bytes()
    end = 8 + int.from_bytes(right[:8], "little")
    tokens = [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"9", b"\xff", b""]
    taken = 0
    for _ in range(3000):
        content = bytearray(right)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(0, end))
            width = int(rng.integers(0, 2))
            content[at : at + width] = tokens[rng.integers(len(tokens))]
        try:
            library.parse(bytes(content))
        except Refused:
            continue
        taken += 1
        (tmp_path / "file").write_bytes(content)
        try:
            fastrnn.load(tmp_path / "file")
        except ValueError as error:
            # What the C library does not look at.
            others = "facts|codec|a dtype that NumPy has"
            assert re.search(others, str(error)), str(error)  # noqa: PT017
    assert taken > 20


def test_what_is_no_file(library: Library, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(Refused, match=str(path)) as refused:
            library.open(path)
        assert refused.value.status == BAD_FILE


BAD_MODELS = {
    "gru.weight_hh_l0: expected such a tensor, got none": {"weight_hh_l0": None},
    "gru.weight_ih_l0: expected F32, got F64": {"weight_ih_l0": np.zeros((12, 3))},
    r"gru.weight_hh_l0: expected shape \(12, 4\), got \(12, 5\)": {
        "weight_hh_l0": np.zeros((12, 5), np.float32)
    },
    r"gru.weight_ih_l1: expected shape \(12, 4\), got \(12, 3\)": {
        "weight_ih_l1": np.zeros((12, 3), np.float32)
    },
    r"gru.bias_hh_l0: expected shape \(12\), got \(12, 1\)": {
        "bias_hh_l0": np.zeros((12, 1), np.float32)
    },
    r"gru.weight_ih_l0: expected 3\*H rows": {
        "weight_ih_l0": np.zeros((13, 3), np.float32)
    },
    r"gru.weight_ih_l0: expected shape \(any, any\), got \(12, 0\)": {
        "weight_ih_l0": np.zeros((12, 0), np.float32)
    },
    "gru.weight_ih_l0_reverse: a tensor that this layer does not have": {
        "weight_ih_l0_reverse": np.zeros((12, 3), np.float32)
    },
}


@pytest.mark.parametrize("message", BAD_MODELS)
def test_files_of_other_models(message: str, library: Library, tmp_path: Path) -> None:
    arrays: dict[str, Any] = dict(fastrnn.GRU(3, 4, seed=0).state_dict())
    arrays |= BAD_MODELS[message]
    named = {"gru." + k: v for k, v in arrays.items() if v is not None}
    fastrnn.save(tmp_path / "file", named)
    with pytest.raises(Refused, match=message) as refused:
        library.model(tmp_path / "file", ("gru", "gru"))
    assert refused.value.status == BAD_FILE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    model = fastrnn.Sequential(
        fastrnn.Embedding(5, 3, seed=0), fastrnn.GRU(3, 4, seed=0), fastrnn.Linear(4, 2)
    )
    fastrnn.save(tmp_path / "file", model)
    return tmp_path / "file"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([("linear", "2")], "expected at least one recurrent layer"),
        ([("relu", ""), ("gru", "1")], "expected another first layer"),
        (
            [("gru", "1"), ("embedding", "0")],
            "expected an embedding as the first layer",
        ),
        ([("gru", "1"), ("gru", "1")], r"expected shape \(any, 4\), got \(12, 3\)"),
        ([("gru", "one")], "one.weight_ih_l0: expected such a tensor"),
        ([("gru", "")], "weight_ih_l0: expected such a tensor"),
    ],
)
def test_rows_of_layers_that_are_no_model(
    layers: Any, message: str, file: Path, library: Library
) -> None:
    with pytest.raises(Refused, match=message):
        library.model(file, *layers)


def test_bad_arguments(file: Path, library: Library) -> None:
    tokens = library.model(file, ("embedding", "0"), ("gru", "1"))
    linear = library.model(file, ("gru", "1"), ("linear", "2"))
    x = np.zeros((6, 2, 3), np.float32)
    ids = np.zeros((6, 2), np.int64)

    def refused(message: str, call: Any, status: int = BAD_ARGUMENT) -> None:
        with pytest.raises(Refused, match=message) as error:
            call()
        assert error.value.status == status

    for bad in (-1, 5, 2**62):
        ids[5, 1] = bad
        refused(f"expected 0 <= token < 5, got {bad}", lambda: tokens.forward(ids))
        refused(f"< 5, got {bad}", lambda: tokens.stepper(2).step(ids[5]))
        tokens.forward(ids, np.array([6, 5]))  # beyond the length
    refused("expected tokens", lambda: tokens.forward(x))
    refused("expected tokens", lambda: tokens.stepper(2).step(x[0]))
    for bad in (-1, 7):
        lengths = np.array([1, bad])
        refused(f"lengths: .*got {bad}", lambda n=lengths: linear.forward(x, n))
    refused("N: expected 1 or more, got 0", lambda: linear.stepper(0))
    refused("no memory", lambda: linear.stepper(2**60), NO_MEMORY)
    refused("no memory", lambda: linear.stepper(2**40), NO_MEMORY)
    for T, N in ((2**62, 1), (1, 2**62), (2**32, 2**32)):
        sizes = ctypes.c_size_t(T), ctypes.c_size_t(N)
        address = x.ctypes.data
        words = linear.handle, *sizes, address, None, None, address, None
        refused("no memory", lambda w=words: library.call("forward", *w), NO_MEMORY)
    for threads in (0, -1, 1025):
        number = ctypes.c_int(threads)
        refused("1 to 1024", lambda n=number: library.call("set_num_threads", n))


def test_null(file: Path, library: Library) -> None:
    model = library.model(file, ("gru", "1"))
    row = (Layer * 1)(Layer(99, b"1", 0))
    opened = library.open(file)
    one = ctypes.c_size_t(1)
    made = ctypes.byref(ctypes.c_void_p())
    for name, *arguments in (
        ("file_open", None, made),
        ("file_open", b"file", None),
        ("file_from_memory", None, one, made),
        ("model_new", None, row, one, made),
        ("model_new", opened, None, one, made),
        ("model_new", opened, row, ctypes.c_size_t(0), made),
        ("model_new", opened, row, one, made),  # of an unknown kind
        ("stepper_new", None, one, made),
        ("stepper_new", model.handle, one, None),
        ("step", None, None, None),
        ("step_tokens", None, None, None),
        ("stepper_get_state", None, None),
        ("stepper_set_state", None, None),
        ("forward", model.handle, one, one, None, None, None, None, None),
        ("forward_tokens", None, one, one, None, None, None, None, None),
    ):
        with pytest.raises(Refused, match="expected") as refused:
            library.call(name, *arguments)
        assert refused.value.status == BAD_ARGUMENT
    for kind in ("file", "model", "stepper"):
        getattr(library.c, f"fastrnn_{kind}_free")(None)
    library.c.fastrnn_file_free(opened)
    for name in ("inputs", "outputs", "state_size"):
        assert getattr(library.c, f"fastrnn_model_{name}")(None) == 0
