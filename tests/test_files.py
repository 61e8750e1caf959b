"""Saving and loading: contents, complete files, other programs' files, errors."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import bad_values, raises
from tests.processes import run_python

FACTS = {"text": "é\n", "numbers": [1, 2.5, None], "nested": {"a": True}}


def make_model(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return fastrnn.Sequential(
        rnn=fastrnn.GRU(3, 4, seed=rng), head=fastrnn.Linear(4, 2, seed=rng)
    )


def test_a_model_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model, other = make_model(), make_model(1)
    fastrnn.save(path, model, FACTS)
    arrays, facts = fastrnn.load(path)
    other.load_state_dict(arrays)
    np.testing.assert_array_equal(model.flat_params, other.flat_params)
    assert facts == FACTS
    assert [*tmp_path.iterdir()] == [path]


def test_equal_things_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fastrnn.save(tmp_path / name, make_model().state_dict(), FACTS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_any_array_comes_back(tmp_path: Path) -> None:
    arrays = {
        "strided": np.arange(12.0).reshape(3, 4).T,
        "scalar": np.array(7, np.int64),
        "empty": np.zeros((0, 3), np.float32),
        "bool": np.array([True, False]),
    }
    fastrnn.save(tmp_path / "a", arrays)
    found, facts = fastrnn.load(tmp_path / "a")
    assert facts == {}
    for name, a in arrays.items():
        assert found[name].dtype == a.dtype
        assert found[name].shape == a.shape
        np.testing.assert_array_equal(found[name], a)


def test_files_of_other_programs(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy")
    library.save_file({"a": np.ones(2)}, tmp_path / "a", {"format": "pt"})
    arrays, facts = fastrnn.load(tmp_path / "a")
    assert arrays["a"].sum() == 2
    assert facts == {}
    message = f"{tmp_path / 'a'}: expected a file of kind 'mine', got 'format'"
    with raises(ValueError, message):
        fastrnn.load(tmp_path / "a", kind="mine")
    fastrnn.save(tmp_path / "b", arrays, {"n": 1}, kind="mine")
    assert fastrnn.load(tmp_path / "b", kind="mine")[1] == {"n": 1}


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "a"
    fastrnn.save(path, make_model())
    whole = path.read_bytes()
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="a: damaged or not a safetensors file: "):
            fastrnn.load(path)
    with pytest.raises(OSError, match="No such file"):
        fastrnn.load(tmp_path / "none")
    with pytest.raises(OSError, match="No such file"):
        fastrnn.save(tmp_path / "none" / "a", make_model())


DAMAGE = {
    "expected a header and its length, got 0 bytes": b"",
    "expected a header and its length, got 9 bytes": b"\x02" + bytes(8),
    "expected a header and its length, got 10 bytes": b"\xff" * 10,
    "expected a JSON object as header": "[]",
    "expected each name once": '{"a":1,"a":1}',
    "expected strings as metadata": {"__metadata__": {"a": 1}},
    "a: expected dtype, shape and data_offsets": {"a": {"dtype": "F32"}},
    "a: expected a dtype, got 3": {"a": (3, [1], [0, 4])},
    "a: expected sizes as shape, got [-1]": {"a": ("F32", [-1], [0, 4])},
    "a: expected sizes as shape, got [True]": {"a": ("F32", [True], [0, 4])},
    "a: expected sizes as shape, got [1.0]": {"a": ("F32", [1.0], [0, 4])},
    f"a: expected sizes as shape, got [{2**62}]": {"a": ("F32", [2**62], [0, 4])},
    "a: expected sizes as shape, got 4": {"a": ("F32", 4, [0, 4])},
    f"a: expected sizes as shape, got {str([1] * 65)[:60]}": {
        "a": ("F32", [1] * 65, [0, 4])
    },
    "a: expected data_offsets within 4 bytes, got [0, 8]": {"a": ("F32", [2], [0, 8])},
    "a: expected data_offsets within 4 bytes, got [4, 0]": {"a": ("F32", [1], [4, 0])},
    "a: expected data_offsets within 4 bytes, got [4]": {"a": ("F32", [1], [4])},
    "a: expected 4 bytes, got shape [2] of F32": {"a": ("F32", [2], [0, 4])},
    "a: expected 4 bytes, got shape [3] of BF16": {"a": ("BF16", [3], [0, 4])},
    f"a: expected 0 bytes, got shape [0, {2**61}, {2**61}] of F32": {
        "a": ("F32", [0, 2**61, 2**61], [0, 0]),
        "b": ("F32", [1], [0, 4]),
    },
    "a: expected bytes of 0 and 1": {"a": ("BOOL", [4], [0, 4])},
    "expected an array at byte 0, got one at 1": {"a": ("U8", [3], [1, 4])},
    "expected an array at byte 3, got one at 1": {
        "a": ("U8", [3], [0, 3]),
        "b": ("U8", [3], [1, 4]),
    },
    "expected arrays of 4 bytes, got 3": {"a": ("U8", [3], [0, 3])},
}


WITHOUT_POSIX = """
import os, sys
sys.modules["fcntl"] = None
for name in ("O_NONBLOCK", "O_DIRECTORY", "O_NOFOLLOW", "fchown", "fchmod",
             "sched_getaffinity"):
    delattr(os, name)
import fastrnn
for seed in range(2):
    fastrnn.save(sys.argv[1], fastrnn.GRU(2, 3, seed=seed))
saved = fastrnn.load(sys.argv[1])[0]["bias_ih_l0"]
assert list(saved) == list(fastrnn.GRU(2, 3, seed=1).params["bias_ih_l0"])
assert os.listdir(os.path.dirname(sys.argv[1])) == ["file"]
"""


def test_a_system_without_locks_of_files(tmp_path: Path) -> None:
    """As Windows is."""
    done = run_python("-c", WITHOUT_POSIX, str(tmp_path / "file"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("message", DAMAGE, ids=range(len(DAMAGE)))
def test_hostile_files(message: str, tmp_path: Path) -> None:
    path, content = tmp_path / "a", DAMAGE[message]
    if not isinstance(content, bytes):
        content = content if isinstance(content, str) else json.dumps(spell(content))
        content = len(content).to_bytes(8, "little") + content.encode() + b"\3\2\1\0"
    path.write_bytes(content)
    with raises(ValueError, f"{path}: damaged or not a safetensors file: {message}"):
        fastrnn.load(path)


def spell(header: dict[str, Any]) -> dict[str, Any]:
    names = ("dtype", "shape", "data_offsets")
    return {
        key: dict(zip(names, entry, strict=True)) if type(entry) is tuple else entry
        for key, entry in header.items()
    }


def write_raw(path: Path, header: dict[str, Any], data: bytes = b"") -> None:
    text = json.dumps(spell(header)).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize("text", ["{", "[]", "3", "[" * 100_000], ids=lambda t: t[:2])
def test_facts_that_are_no_facts(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_raw(path, {"__metadata__": {"fastrnn": text}})
    message = (
        f"{path}: expected facts as a JSON object in the metadata entry 'fastrnn', "
        f"got {text[:40]!r}"
    )
    with raises(ValueError, message):
        fastrnn.load(path)


@pytest.mark.parametrize("header", [b"{", b"\xff", b"[" * 100_000], ids=range(3))
def test_headers_that_are_no_json(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    message = (
        f"^{path}: damaged or not a safetensors file: expected a header in JSON, got"
    )
    with pytest.raises(ValueError, match=message):
        fastrnn.load(path)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2", "F4", "X"])
def test_dtypes_that_numpy_lacks(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_raw(path, {"a": (dtype, [2 if dtype == "BF16" else 4], [0, 4])}, bytes(4))
    message = f"{path}: a: expected a dtype that NumPy has, got {dtype}"
    with raises(ValueError, message):
        fastrnn.load(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for call in (fastrnn.load, lambda path: fastrnn.save(path, {})):
        with pytest.raises(OSError, match=f"expected a regular file: '{tmp_path}/fifo"):
            call(tmp_path / "fifo")
        with pytest.raises(IsADirectoryError, match=f"{tmp_path}"):
            call(tmp_path)
        with pytest.raises(OSError, match=f"{tmp_path}/loop"):
            call(tmp_path / "loop")
        with pytest.raises(OSError, match=f"{tmp_path}/none/a'$"):
            call(tmp_path / "none" / "a")


@pytest.mark.parametrize("kind", ["fastrnn", "mine"])
def test_checksums(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(3, np.float32)}
    fastrnn.save(path, arrays, {"n": 1}, kind=kind, checksum=True)
    found, facts = fastrnn.load(path, kind=kind)
    assert facts == {"n": 1}
    np.testing.assert_array_equal(found["a"], arrays["a"])
    whole = path.read_bytes()
    for old, new in [(b'n\\": 1', b'n\\": 2'), (b"[2,3]", b"[3,2]"), (b'"b"', b'"c"')]:
        assert whole.count(old) == 1
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(ValueError, match="its checksum is that of other data"):
            fastrnn.load(path)
    for place in (-1, -20, -60):  # of an array's bytes
        bad = bytearray(whole)
        bad[place] ^= 1
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="its checksum is that of other data"):
            fastrnn.load(path)


def test_numbers_of_numpy_and_tuples_among_facts(tmp_path: Path) -> None:
    facts = {"mean": np.float32(3), "n": np.int64(2), "yes": np.True_, "t": (1, [2])}
    fastrnn.save(tmp_path / "a", {}, facts)
    found = fastrnn.load(tmp_path / "a")[1]
    assert found == {"mean": 3.0, "n": 2, "yes": True, "t": [1, [2]]}
    assert type(found["yes"]) is bool


def test_the_order_of_arrays_and_any_names(tmp_path: Path) -> None:
    names = ["z", "a", "é", "", "a.b", '"', "\n", "b" * 1000]
    arrays = {name: np.zeros(i, f"f{4 + 4 * (i % 2)}") for i, name in enumerate(names)}
    fastrnn.save(tmp_path / "a", arrays)
    assert list(fastrnn.load(tmp_path / "a")[0]) == names
    library = pytest.importorskip("safetensors.numpy")
    found = library.load_file(tmp_path / "a")
    assert {k: len(a) for k, a in found.items()} == {n: i for i, n in enumerate(names)}


def test_other_byte_orders(tmp_path: Path) -> None:
    a = np.arange(4, dtype=">f4")
    fastrnn.save(tmp_path / "a", {"a": a})
    found = fastrnn.load(tmp_path / "a")[0]["a"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, a)


DEEP: dict[str, Any] = {}
DEEP["a"] = DEEP


@bad_values(
    TypeError={
        "path: expected a path, got int": {"path": 5},
        "path: expected a path, got NoneType": {"path": None},
        "arrays: expected a layer or a dict of arrays, got list": {"arrays": [1]},
        "arrays: expected a layer or a dict of arrays, got NoneType": {"arrays": None},
        "arrays['a']: expected a NumPy array, got list": {"arrays": {"a": [1]}},
        "arrays: expected a str as name, got int": {"arrays": {1: np.ones(2)}},
        "arrays['a']: expected dtype bool, integer, float16, float32, float64 or "
        "complex64, got object": {"arrays": {"a": np.array([None])}},
        "arrays['a']: expected dtype bool, integer, float16, float32, float64 or "
        "complex64, got <U1": {"arrays": {"a": np.array(["a"])}},
        "facts: expected a dict, got list": {"facts": [1]},
        "facts['a']: expected what JSON can hold, got set": {"facts": {"a": {1}}},
        "facts['a'][1]['b']: expected what JSON can hold, got ndarray": {
            "facts": {"a": [1, {"b": np.ones(2)}]}
        },
        "facts['a']: expected what JSON can hold, got bytes": {"facts": {"a": b"a"}},
        "facts['a']: expected str as keys, got 1 (int)": {"facts": {"a": {1: 2}}},
        "kind: expected a str as name, got int": {"kind": 1},
        "checksum: expected a bool, got int": {"checksum": 1},
    },
    ValueError={
        "path: expected a path that a file can have, got ''": {"path": ""},
        "path: expected a path that a file can have, got 'a\\x00'": {"path": "a\0"},
        "path: expected a path that a file can have, got '\\ud800'": {"path": "\ud800"},
        "arrays: expected another name than '__metadata__'": {
            "arrays": {"__metadata__": np.ones(2)}
        },
        "arrays: expected a name that is valid text, got '\\ud800'": {
            "arrays": {"\ud800": np.ones(2)}
        },
        "kind: expected another name than 'fastrnn_sha256'": {"kind": "fastrnn_sha256"},
        "facts: expected what JSON can hold, got too deep a nesting": {"facts": DEEP},
        "facts['n']: expected an int of at most 4000 digits, got more": {
            "facts": {"n": 10**5000}
        },
    },
)
def test_bad_arguments(
    bad: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with raises(error, message):
        fastrnn.save(**{"path": tmp_path / "a", "arrays": {}, **bad})
    assert not [*tmp_path.iterdir()]
    if "path" in bad:
        with raises(error, message):
            fastrnn.load(bad["path"])


def test_bad_kinds(tmp_path: Path) -> None:
    fastrnn.save(tmp_path / "a", {})
    with raises(TypeError, "kind: expected a str as name, got int"):
        fastrnn.load(tmp_path / "a", kind=1)  # type: ignore[arg-type]
