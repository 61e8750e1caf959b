"""The C library, built and installed once for all tests, and called through ctypes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn

ROOT = Path(__file__).parents[2]
KINDS = (
    "embedding", "rnn_tanh", "rnn_relu", "gru", "lstm", "linear", "relu", "tanh",
    "sigmoid", "gelu", "layer_norm", "batch_norm",
)  # fmt: skip
OK, BAD_ARGUMENT, BAD_FILE, NO_MEMORY = range(4)
FLOATS = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")


def find_cmake() -> str:
    """Return the path of cmake, or skip the test."""
    found = shutil.which("cmake") or shutil.which(
        "cmake", path=Path(sys.executable).parent
    )
    if not found:
        pytest.skip("no cmake")
    return found


def run(*words: Any, **options: Any) -> str:
    """Run a program that is to succeed, and return what it printed."""
    words = tuple(map(str, words))
    done = subprocess.run(words, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def build(source: Path, folder: Path, *options: str) -> None:
    """Configure and build a CMake project in a folder."""
    cmake = find_cmake()
    if not shutil.which(os.environ.get("CXX", "c++")):
        pytest.skip("no C++ compiler")
    run(cmake, "-S", source, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", *options)
    run(cmake, "--build", folder, "--parallel", "2")


def install_library(folder: Path) -> Path:
    """Build and install libfastrnn for one instruction set; return the prefix.

    ``FASTRNN_C_PREFIX`` names one that is installed already.
    """
    if prefix := os.environ.get("FASTRNN_C_PREFIX"):
        return Path(prefix)
    build(
        ROOT, folder / "build", "-DFASTRNN_PYTHON=OFF",
        f"-DFASTRNN_ONLY_ISAS={fastrnn.isa()}",
    )  # fmt: skip
    run(
        find_cmake(), "--install", folder / "build", "--strip",
        "--prefix", folder / "prefix",
    )  # fmt: skip
    return folder / "prefix"


class Layer(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int), ("name", ctypes.c_char_p), ("eps", ctypes.c_double)
    )  # fmt: skip


class Refused(Exception):  # noqa: N818 - as the library names it
    """A status that is not OK, with the message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def pointer(a: Any) -> Any:
    """Return a C-contiguous array's address, or NULL for None."""
    assert a is None or a.flags.c_contiguous
    return None if a is None else a.ctypes.data


class Library:
    """The functions of fastrnn.h; a status that is not OK raises `Refused`."""

    def __init__(self, prefix: Path) -> None:
        (path,) = prefix.glob("lib*/libfastrnn.so")
        self.path = path
        self.c = ctypes.CDLL(str(path))
        self.c.fastrnn_message.restype = ctypes.c_char_p
        self.c.fastrnn_version.restype = ctypes.c_char_p
        self.c.fastrnn_isa.restype = ctypes.c_char_p
        for name in ("inputs", "outputs", "state_size"):
            getattr(self.c, f"fastrnn_model_{name}").restype = ctypes.c_size_t

    def call(self, name: str, *arguments: Any) -> None:
        words = [
            ctypes.c_void_p(a) if a is None or isinstance(a, int) else a
            for a in arguments
        ]
        status = getattr(self.c, f"fastrnn_{name}")(*words)
        if status != OK:
            raise Refused(status, self.c.fastrnn_message().decode(errors="replace"))

    def make(self, name: str, *arguments: Any) -> Any:
        made = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(made))
        return made

    def open(self, path: Path) -> Any:
        return self.make("file_open", os.fsencode(path))

    def parse(self, content: bytes) -> None:
        """Raise `Refused`, unless these are the bytes of a safetensors file."""
        file = self.make("file_from_memory", content, ctypes.c_size_t(len(content)))
        self.c.fastrnn_file_free(file)

    def model(self, path: Path, *layers: tuple[Any, ...]) -> CModel:
        """Return a model of layers given as (kind, name[, eps])."""
        rows = [
            Layer(KINDS.index(kind), name.encode(), *rest)
            for kind, name, *rest in layers
        ]
        file = self.open(path)
        try:
            made = self.make(
                "model_new",
                file,
                (Layer * len(rows))(*rows),
                ctypes.c_size_t(len(rows)),
            )
        finally:
            self.c.fastrnn_file_free(file)
        return CModel(self, made)


class CModel:
    def __init__(self, library: Library, model: Any) -> None:
        self.library, self.handle = library, model
        c = library.c
        self.inputs = c.fastrnn_model_inputs(model)
        self.outputs = c.fastrnn_model_outputs(model)
        self.state_size = c.fastrnn_model_state_size(model)

    def __del__(self) -> None:
        self.library.c.fastrnn_model_free(self.handle)

    def forward(
        self, x: Any, lengths: Any = None, state: Any = None
    ) -> tuple[Any, Any]:
        T, N = x.shape[:2]
        y = np.full((T, N, self.outputs), np.nan, np.float32)
        state_n = np.empty(N * self.state_size, np.float32)
        self.library.call(
            "forward_tokens" if x.dtype == np.int64 else "forward",
            self.handle, ctypes.c_size_t(T), ctypes.c_size_t(N),
            *map(pointer, (x, lengths, state, y, state_n)),
        )  # fmt: skip
        return y, state_n

    def stepper(self, N: int = 1) -> CStepper:
        made = self.library.make("stepper_new", self.handle, ctypes.c_size_t(N))
        return CStepper(self, made, N)


class CStepper:
    def __init__(self, model: CModel, stepper: Any, N: int) -> None:
        self.library, self.handle, self.N = model.library, stepper, N
        self.outputs, self.state_size = model.outputs, N * model.state_size

    def __del__(self) -> None:
        self.library.c.fastrnn_stepper_free(self.handle)

    def step(self, x: Any) -> Any:
        y = np.empty((self.N, self.outputs), np.float32)
        name = "step_tokens" if x.dtype == np.int64 else "step"
        self.library.call(name, self.handle, pointer(x), pointer(y))
        return y

    @property
    def state(self) -> Any:
        state = np.empty(self.state_size, np.float32)
        self.library.call("stepper_get_state", self.handle, pointer(state))
        return state

    @state.setter
    def state(self, value: Any) -> None:
        self.library.call("stepper_set_state", self.handle, pointer(value))
