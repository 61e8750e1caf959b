"""Programs in C, built with CMake and pkg-config against the installed library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.c.building import KINDS, ROOT, Library, build, run
from tests.comparing import assert_same_bits

# Of the library for one instruction set; tiles of AVX-512 are larger.
MOST_BYTES = 500_000 if fastrnn.isa() == "avx512" else 400_000


@pytest.fixture(scope="module")
def steps(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steps")
    build(ROOT / "tests" / "c", folder, f"-DCMAKE_PREFIX_PATH={prefix}")
    return folder / "steps"


@pytest.fixture(scope="module")
def stream(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stream")
    build(ROOT / "examples" / "c", folder, f"-DCMAKE_PREFIX_PATH={prefix}")
    return folder / "stream"


def save_with_head(path: Path, name: str, layer: Any, head: Any) -> None:
    """Write a file as PyTorch names what is in a module."""
    arrays = {f"{name}.{k}": v for k, v in layer.state_dict().items()}
    fastrnn.save(path, arrays | {f"head.{k}": v for k, v in head.state_dict().items()})


def take_steps(steps: Path, file: Path, kind: str, N: int, **variables: str) -> int:
    words = [steps, file, str(KINDS.index(kind)), "rnn", str(N)]
    done = subprocess.run(words, env=os.environ | variables, capture_output=True)
    if done.returncode == 77:
        pytest.skip("seccomp is not allowed here")
    return done.returncode


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
@pytest.mark.parametrize("N", [1, 4])
@pytest.mark.parametrize("kind", ["rnn_tanh", "gru", "lstm"])
def test_steps_need_nothing(kind: str, N: int, steps: Path, tmp_path: Path) -> None:
    """A step takes no memory and no lock, and calls nothing of the system."""
    make = getattr(fastrnn, kind.split("_")[0].upper())
    save_with_head(
        tmp_path / "file", "rnn", make(5, 300, num_layers=2), fastrnn.Linear(300, 9)
    )
    assert take_steps(steps, tmp_path / "file", kind, N) == 0
    assert take_steps(steps, tmp_path / "file", kind, N, TAKE="1") == 5
    assert take_steps(steps, tmp_path / "file", kind, N, CALL="1") < 0


def run_stream(stream: Path, file: Path, samples: Any) -> Any:
    done = subprocess.run([stream, file], input=samples.tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    return np.frombuffer(done.stdout, np.float32)


def test_audio_is_streamed_with_the_bits_of_a_stepper(
    stream: Path, tmp_path: Path
) -> None:
    gru, head = fastrnn.GRU(1, 32, seed=0), fastrnn.Linear(32, 1, seed=1)
    save_with_head(tmp_path / "file", "gru", gru, head)
    samples = np.random.default_rng(0).standard_normal(4000, np.float32)
    stepper = fastrnn.Stepper(fastrnn.Sequential(gru, head).eval())
    expected = [stepper.step(sample[None])[0] for sample in samples]
    found = run_stream(stream, tmp_path / "file", samples)
    assert_same_bits(found, np.array(expected, np.float32))


def test_the_example_with_weights_of_pytorch(stream: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    file = tmp_path / "denoiser.safetensors"
    run(sys.executable, ROOT / "examples" / "c" / "train.py", file, 2)
    arrays, _ = fastrnn.load(file)
    gru, head = torch.nn.GRU(1, 32), torch.nn.Linear(32, 1)
    for name, module in (("gru", gru), ("head", head)):
        own = {k[len(name) + 1 :]: v for k, v in arrays.items() if k.startswith(name)}
        module.load_state_dict({k: torch.from_numpy(v) for k, v in own.items()})
    samples = np.random.default_rng(0).standard_normal(500, np.float32)
    with torch.no_grad():
        y = head(gru(torch.from_numpy(samples)[:, None])[0])[:, 0].numpy()
    found = run_stream(stream, file, samples)
    np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-6)


def test_errors_of_the_example(stream: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no weights")
    for words, code, message in (
        ([stream], 2, "usage"),
        ([stream, tmp_path / "missing"], 1, "No such file"),
        ([stream, tmp_path / "file"], 1, "damaged"),
    ):
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == code
        assert message in done.stderr


def test_pkg_config(prefix: Path, library: Library, tmp_path: Path) -> None:
    if not (shutil.which("pkg-config") and shutil.which("cc")):
        pytest.skip("no pkg-config, or no C compiler")
    folder = library.path.parent / "pkgconfig"
    env = os.environ | {"PKG_CONFIG_PATH": str(folder)}
    assert run("pkg-config", "--modversion", "fastrnn", env=env).strip() == (
        fastrnn.__version__
    )
    flags = run("pkg-config", "--cflags", "--libs", "fastrnn", env=env).split()
    source = ROOT / "examples" / "c" / "stream.c"
    strict = ["-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror"]
    run("cc", *strict, source, "-o", tmp_path / "stream", *flags)
    env = {"LD_LIBRARY_PATH": str(library.path.parent)}
    done = subprocess.run([tmp_path / "stream"], env=env, capture_output=True)
    assert done.returncode == 2


@pytest.mark.skipif(not shutil.which("nm"), reason="no nm")
def test_size_and_symbols(library: Library) -> None:
    assert library.path.stat().st_size <= MOST_BYTES
    listing = run("nm", "-D", "--defined-only", library.path)
    names = {line.split()[-1] for line in listing.splitlines()}
    header = (library.path.parents[1] / "include" / "fastrnn.h").read_text("utf-8")
    assert names
    assert all(name.startswith("fastrnn_") and f"{name}(" in header for name in names)
    needed = run("readelf", "-d", library.path)
    assert "python" not in needed.lower()
