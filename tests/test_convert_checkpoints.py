"""Files and checkpoints of PyTorch: keys, prefixes, dtypes, order, bad arguments."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.converting import H, I, N, T, V, assert_same, draw, forward
from tests.errors import bad_values, raises

torch = pytest.importorskip("torch")
nn = torch.nn


def checkpoint() -> tuple[Any, dict[str, Any]]:
    module = nn.Linear(I, H)
    module(torch.ones(I)).sum().backward()
    optimizer = torch.optim.Adam(module.parameters())
    optimizer.step()
    d = {"epoch": 3, "loss": torch.zeros(()), "optimizer": optimizer.state_dict()}
    return module, d


@pytest.mark.parametrize("key", ["state_dict", "nets.student", "a.b"])
@pytest.mark.parametrize("as_file", [False, True], ids=["dict", "file"])
def test_checkpoints(key: str, as_file: bool, tmp_path: Path) -> None:
    module, d = checkpoint()
    first, _, second = key.partition(".")
    states = module.state_dict()
    if key == "a.b":
        d[key] = states  # a key with a dot in it
    else:
        d[first] = {second: states} if second else states
    source: Any = d
    if as_file:
        source = tmp_path / "checkpoint.pt"
        torch.save(d, source)
    where = str(source) if as_file else "source"
    x = draw(N, I)
    assert_same(fastrnn.load_torch(source, key=key), x, forward(module, x))
    message = (
        f"{where}: expected key={key!r}, where the weights of this checkpoint are, "
        f"got none"
    )
    with raises(ValueError, message):
        fastrnn.load_torch(source)
    with raises(ValueError, f"key: expected {key!r}, got 'model'"):
        fastrnn.load_torch(source, key="model")
    with raises(TypeError, f"{where}['epoch']: expected a state dict, got int"):
        fastrnn.load_torch(source, key="epoch")


def test_keys_of_two_states_and_of_modules() -> None:
    module, d = checkpoint()
    d |= {"model": module.state_dict(), "ema": module}
    message = (
        "source: expected key='model' or 'ema', where the weights of this checkpoint "
        "are, got none"
    )
    with raises(ValueError, message):
        fastrnn.load_torch(d)
    x = draw(N, I)
    assert_same(fastrnn.load_torch(d, key="ema"), x, forward(module, x))
    message = "key: expected None, since there is no checkpoint, got 'model'"
    with raises(ValueError, message):
        fastrnn.load_torch(module.state_dict(), key="model")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers(prefix: str) -> None:
    module = nn.GRU(I, H)
    d = {f"{prefix}{name}": a for name, a in module.state_dict().items()}
    layer = fastrnn.load_torch(d)
    assert type(layer) is fastrnn.GRU
    assert_same(layer, draw(T, N, I), forward(module, draw(T, N, I)))


def test_any_name_of_a_module() -> None:
    """Python's own words, too."""
    for name in ("self", "layers", "class", "é"):
        d = {f"{name}.weight": torch.ones(3, 3), f"{name}.bias": torch.ones(3)}
        assert list(fastrnn.load_torch(d).layers) == [name]


# --- dtypes and order ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["module", "dict", "model.pt", "model.safetensors"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_halves(half: str, dtype: Any, kind: str, tmp_path: Path) -> None:
    module = nn.GRU(I, H, dtype=getattr(torch, half))
    source: Any = module if kind == "module" else module.state_dict()
    if kind == "model.pt":
        source = tmp_path / kind
        torch.save(module.state_dict(), source)
    if kind == "model.safetensors":
        source = tmp_path / kind
        pytest.importorskip("safetensors.torch").save_file(module.state_dict(), source)
    with pytest.raises(TypeError, match=f"expected float32 or float64, got {half}"):
        fastrnn.load_torch(source)
    layer = fastrnn.load_torch(source, dtype=dtype)
    for name, a in module.state_dict().items():
        expected = a.to(getattr(torch, np.dtype(dtype).name)).numpy()
        assert layer.params[name].dtype == dtype
        np.testing.assert_array_equal(layer.params[name], expected)


def test_dtype_of_a_model() -> None:
    """One dtype for modules of two."""
    module = nn.Sequential(nn.Linear(I, H), nn.Linear(H, V).double())
    with pytest.raises(TypeError, match="1: expected dtype float32"):
        fastrnn.load_torch(module)
    assert fastrnn.load_torch(module, dtype=np.float64).dtype == np.float64


def test_safetensors_do_not_keep_the_order(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    path = tmp_path / "a.safetensors"

    def states(**modules: Any) -> dict[str, Any]:
        return {
            f"{name}.{key}": a
            for name, module in modules.items()
            for key, a in module.state_dict().items()
        }

    # Sizes tell: the head comes after the rest, and layer 10 after layer 9.
    word, rnn, head = nn.Embedding(V, I), nn.LSTM(I, H), nn.Linear(H, V)
    save_file(states(word=word, rnn=rnn, head=head), path)
    assert list(fastrnn.load_torch(path).layers) == ["word", "rnn", "head"]
    layers = {str(i): nn.Linear(I, I) for i in range(12)}
    save_file(states(**layers), path)
    assert list(fastrnn.load_torch(path).layers) == list(layers)
    # Here they do not.
    save_file(states(rnn=nn.LSTM(H, H), head=nn.Linear(H, H)), path)
    message = (
        f"{path}: expected order=, the names in the order in which data goes through "
        f"them, since the file does not keep it and sizes do not tell; got head, rnn"
    )
    with raises(ValueError, message):
        fastrnn.load_torch(path)
    found = fastrnn.load_torch(path, order=["rnn", "head"])
    assert list(found.layers) == ["rnn", "head"]
    # Files of our own keep it.
    fastrnn.save(path, found)
    assert list(fastrnn.load_torch(path).layers) == ["rnn", "head"]


@bad_values(
    TypeError={
        "source: expected a module, a state dict or a path, got int": {"source": 5},
        "source: expected a module, a state dict or a path, got NoneType": {
            "source": None
        },
        "source: expected a module, a state dict or a path, got list": {"source": []},
        "key: expected a str, got int": {"key": 1},
        "nonlinearity: expected a str, got int": {"nonlinearity": 1},
        "batch_first: expected a bool, got int": {"batch_first": 1},
        "dtype: expected float32 or float64, got float16": {"dtype": np.float16},
        "dtype: expected float32 or float64, got half of it": {"dtype": "half of it"},
        "order: expected a sequence of names, got str": {"order": "a"},
        "order: expected a sequence of names, got int": {"order": 1},
        "seed: expected None, an int >= 0 or a NumPy generator, got 'a'": {"seed": "a"},
    },
    ValueError={
        "source: expected a path that a file can have, got ''": {"source": ""},
        "source: expected a path that a file can have, got 'a\\x00'": {"source": "a\0"},
        "nonlinearity: expected 'tanh' or 'relu', got 'elu'": {"nonlinearity": "elu"},
        "order: expected the names a, each once, got ['b']": {"order": ["b"]},
        "order: expected the names a, each once, got [1]": {"order": [1]},
    },
)
def test_bad_arguments(bad: Any, error: type[Exception], message: str) -> None:
    d = {"a.weight": torch.ones(3, 3), "a.bias": torch.ones(3)}
    with raises(error, message):
        fastrnn.load_torch(**{"source": d, **bad})


@pytest.mark.parametrize("name", ["missing.pt", "missing.safetensors"])
def test_missing_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / name}"):
        fastrnn.load_torch(tmp_path / name)


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_damaged_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    for content in (b"", b"nothing of the kind"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{path}: "):
            fastrnn.load_torch(path)


def test_a_file_of_a_whole_module(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(nn.Linear(I, H), path)
    message = (
        f"{path}: expected a state dict that torch.save wrote, got a file that "
        f"torch.load(weights_only=True) refuses (UnpicklingError)"
    )
    with raises(ValueError, message):
        fastrnn.load_torch(path)
