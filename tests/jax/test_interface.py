"""Our declarations of XLA's C interface agree with the header that jaxlib ships."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from fastrnn import _core  # noqa: E402

OURS = Path(__file__).parents[2] / "csrc" / "bindings"
COMPILER = shutil.which("g++") or shutil.which("clang++")

# Ours, XLA's, and the members in both.
STRUCTS = {
    "Extension": ("XLA_FFI_Extension_Base", "size:struct_size type next"),
    "Version": (
        "XLA_FFI_Api_Version",
        "size:struct_size extensions:extension_start major_version minor_version",
    ),
    "ErrorCreateArgs": (
        "XLA_FFI_Error_Create_Args",
        "size:struct_size extensions:extension_start message code:errc",
    ),
    "Buffer": (
        "XLA_FFI_Buffer",
        "size:struct_size extensions:extension_start dtype data rank dims",
    ),
    "Buffers": (
        "XLA_FFI_Args",
        "size:struct_size extensions:extension_start count:size types buffers:args",
    ),
    "Text": ("XLA_FFI_ByteSpan", "data:ptr length:len"),
    "Scalar": ("XLA_FFI_Scalar", "dtype value"),
    "Attributes": (
        "XLA_FFI_Attrs",
        "size:struct_size extensions:extension_start count:size types names "
        "values:attrs",
    ),
    "MetadataExtension": ("XLA_FFI_Metadata_Extension", "base:extension_base metadata"),
}
# Of these XLA's may be longer: we use the first members only.
BEGINNINGS = {
    "Api": (
        "XLA_FFI_Api",
        "size:struct_size extensions:extension_start version:api_version "
        "internal:internal_api create_error:XLA_FFI_Error_Create",
    ),
    "CallFrame": (
        "XLA_FFI_CallFrame",
        "size:struct_size extensions:extension_start api context:ctx stage "
        "arguments:args results:rets attributes:attrs",
    ),
    "Metadata": (
        "XLA_FFI_Metadata",
        "size:struct_size version:api_version traits",
    ),
}
RESULTS = ("XLA_FFI_Rets", "size:struct_size count:size types buffers:rets")
TYPES = ["S8", "S16", "S32", "S64", "U8", "U16", "U32", "U64", "F32", "F64"]
VALUES = {
    "kMetadataExtension": "XLA_FFI_Extension_Metadata",
    "kInvalidArgument": "XLA_FFI_Error_Code_INVALID_ARGUMENT",
    "kResourceExhausted": "XLA_FFI_Error_Code_RESOURCE_EXHAUSTED",
    "kInternal": "XLA_FFI_Error_Code_INTERNAL",
    "kBool": "XLA_FFI_DataType_PRED",
    **{f"k{n}": f"XLA_FFI_DataType_{n}" for n in TYPES},
    "kBuffer": "XLA_FFI_ArgType_BUFFER",
    "kScalar": "XLA_FFI_AttrType_SCALAR",
    "kString": "XLA_FFI_AttrType_STRING",
    "kExecute": "XLA_FFI_ExecutionStage_EXECUTE",
    "kMajor": "XLA_FFI_API_MAJOR",
}


def offsets(ours: str, theirs: str, members: str) -> list[str]:
    lines = []
    for member in members.split():
        own, _, other = member.partition(":")
        place = f"offsetof(fastrnn::xla::{ours}, {own})"
        lines.append(f"{place} == offsetof({theirs}, {other or own})")
        size = f"sizeof(fastrnn::xla::{ours}::{own})"
        lines.append(f"{size} <= sizeof({theirs}::{other or own})")
    return lines


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
def test_structs_are_those_of_jaxlib(tmp_path: Path) -> None:
    facts = [
        f"sizeof(fastrnn::xla::{ours}) == sizeof({theirs})"
        for ours, (theirs, _) in STRUCTS.items()
    ]
    for ours, (theirs, members) in {**STRUCTS, **BEGINNINGS}.items():
        facts += offsets(ours, theirs, members)
    facts += offsets("Buffers", *RESULTS)
    facts += [f"int(fastrnn::xla::{n}) == int({value})" for n, value in VALUES.items()]
    facts.append("fastrnn::xla::kMinor <= XLA_FFI_API_MINOR")
    lines = ['#include "xla_ffi.h"', '#include "xla/ffi/api/c_api.h"']
    lines += [f'static_assert({fact}, "{fact}");' for fact in facts]
    program = tmp_path / "layout.cpp"
    program.write_text("\n".join(lines) + "\n")
    command = [COMPILER, "-std=c++17", "-fsyntax-only", "-Wno-invalid-offsetof"]
    command += [f"-I{OURS}", f"-I{jax.ffi.include_dir()}", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(facts) > 100


def test_handlers() -> None:
    assert set(_core.xla_handlers()) == {"fastrnn_forward", "fastrnn_backward"}


OPTIONS = {"cell": "lstm", "nonlinearity": "tanh", "padding": "right", "reverse": False}


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("options", [OPTIONS, {**OPTIONS, "cell": "none"}, {}])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_handler_refuses_what_is_not_ours(
    direction: str, options: dict[str, Any], rank: int
) -> None:
    """A call that another program has written is an error, whatever it holds."""
    import fastrnn.jax  # noqa: F401 - registers the handlers

    arguments = [jnp.ones((2,) * rank)] * (9 if direction == "forward" else 15)
    results = [jax.ShapeDtypeStruct((1,), jnp.float32)] * 7
    call = jax.ffi.ffi_call(f"fastrnn_{direction}", results)
    with pytest.raises(jax.errors.JaxRuntimeError):
        jax.block_until_ready(call(*arguments, **options))
    with pytest.raises(jax.errors.JaxRuntimeError, match="expected more arguments"):
        jax.block_until_ready(call(*arguments[:1], **OPTIONS))


def test_a_handler_refuses_a_result_without_a_place() -> None:
    import fastrnn.jax  # noqa: F401 - registers the handlers

    x, w_ih, w_hh = jnp.ones((3, 2, 4)), jnp.ones((20, 4)), jnp.ones((20, 5))
    none, shapes = jnp.zeros(0), [(0,), (2, 5), (2, 5), (0,), (0,)]
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    call = jax.ffi.ffi_call("fastrnn_forward", results)
    with pytest.raises(jax.errors.JaxRuntimeError, match="result 0: expected an array"):
        jax.block_until_ready(call(x, w_ih, w_hh, *[none] * 6, **OPTIONS))
