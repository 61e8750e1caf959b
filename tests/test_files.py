"""Saving and loading: contents, complete files, other programs' files, errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn._files import write_whole
from tests.errors import bad_values, raises

pytest.importorskip("safetensors")
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
    from safetensors.numpy import save_file

    save_file({"a": np.ones(2)}, tmp_path / "a", {"format": "pt"})
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


@bad_values(
    TypeError={
        "arrays: expected a layer or a dict of arrays, got list": {"arrays": [1]},
        "arrays['a']: expected a NumPy array, got list": {"arrays": {"a": [1]}},
        "Object of type set is not JSON serializable": {"facts": {"a": {1}}},
    }
)
def test_bad_arguments(
    bad: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with raises(error, message):
        fastrnn.save(**{"path": tmp_path / "a", "arrays": {}, **bad})
    assert not [*tmp_path.iterdir()]


def test_the_old_file_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]
    with path.open("rb") as before:
        write_whole(path, b"new")
        assert before.read() == b"old"  # another file, of the same name
    assert path.read_bytes() == b"new"
