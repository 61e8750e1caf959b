"""The safetensors format, between bytes and arrays.

A file is the length of its header in 8 bytes, the header, and the arrays' bytes. The
header is a JSON object: for each array its dtype, shape and place among the bytes, and
under ``__metadata__`` strings by name. Everything is little-endian; nothing lies
between arrays, or overlaps. See https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

DTYPES: dict[str, Any] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
    "C64": np.dtype("<c8"),
}
OTHERS = {"BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}  # bytes of what NumPy lacks
NAMES = {dtype: name for name, dtype in DTYPES.items()}
LONGEST_HEADER = 100_000_000  # the format's own limit, against hostile files
CHECKSUM = "fastrnn_sha256"  # the metadata entry


class Tensor(NamedTuple):
    """An array as the file has it; its dtype may be one that NumPy lacks."""

    dtype: str
    shape: tuple[int, ...]
    raw: memoryview


def encode(
    arrays: Mapping[str, Any], metadata: Mapping[str, str], *, checksum: bool
) -> bytes:
    """Return the bytes of a file; `decode` gives the arrays in the same order."""
    little = {}
    for name, a in arrays.items():
        dtype = a.dtype.newbyteorder("<")
        if dtype not in NAMES:
            raise TypeError(
                f"arrays[{name!r}]: expected dtype bool, integer, float16, float32, "
                f"float64 or complex64, got {a.dtype}"
            )
        little[name] = a.astype(dtype, order="C", copy=False)
    # The widest come first, so that every array is aligned.
    placed = sorted(little, key=lambda name: (-little[name].dtype.itemsize, name))
    pieces = [little[name].tobytes() for name in placed]
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    places = dict(zip(placed, zip([0, *ends], ends, strict=False), strict=True))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    for name, a in little.items():
        header[name] = {
            "dtype": NAMES[a.dtype],
            "shape": list(a.shape),
            "data_offsets": list(places[name]),
        }
    if checksum:
        header["__metadata__"][CHECKSUM] = digest(header, *pieces)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *pieces])


def decode(path: str, content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a file's bytes.

    Raises
    ------
    ValueError
        They are not those of a whole safetensors file.
    """
    try:
        header, data = split(content)
        metadata = header.pop("__metadata__", {})
        require(
            isinstance(metadata, dict)
            and all(isinstance(text, str) for text in metadata.values()),
            "expected strings as metadata",
        )
        tensors = {name: find(name, entry, data) for name, entry in header.items()}
        require_covered(header, len(data))
        if CHECKSUM in metadata:
            rest = {k: v for k, v in metadata.items() if k != CHECKSUM}
            found = digest({"__metadata__": rest, **header}, data)
            require(found == metadata[CHECKSUM], "its checksum is that of other data")
    except Damaged as error:
        raise ValueError(
            f"{path}: damaged or not a safetensors file: {error}"
        ) from None
    return tensors, metadata


def as_numpy(path: str, name: str, tensor: Tensor) -> Any:
    """Return a tensor as an array of its own.

    Raises
    ------
    ValueError
        NumPy has no such dtype.
    """
    if tensor.dtype not in DTYPES:
        raise ValueError(
            f"{path}: {name}: expected a dtype that NumPy has, got {tensor.dtype}"
        )
    dtype = DTYPES[tensor.dtype]
    a = np.frombuffer(tensor.raw, dtype).reshape(tensor.shape)
    return a.astype(dtype.newbyteorder("="))


def widen(tensor: Tensor) -> Any:
    """Return a tensor of bfloat16 as an array of float32, which holds it exactly."""
    halves = np.frombuffer(tensor.raw, "<u2").reshape(tensor.shape)
    return (halves.astype(np.uint32) << 16).view(np.float32)


class Damaged(Exception):  # noqa: N818 - never leaves this module
    """The content is not that of a safetensors file."""


def require(true: bool, otherwise: str) -> None:
    if not true:
        raise Damaged(otherwise)


def split(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the header and the arrays' bytes."""
    length = int.from_bytes(content[:8], "little")
    require(
        len(content) >= 8 and length <= min(len(content) - 8, LONGEST_HEADER),
        f"expected a header and its length, got {len(content)} bytes",
    )
    try:
        header = json.loads(
            content[8 : 8 + length].decode(), object_pairs_hook=without_repeats
        )
    except (ValueError, RecursionError) as error:
        raise Damaged(f"expected a header in JSON, got {error}") from None
    require(isinstance(header, dict), "expected a JSON object as header")
    return header, memoryview(content)[8 + length :]


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    require(len(names) == len(pairs), "expected each name once")
    return names


def find(name: str, entry: Any, data: memoryview) -> Tensor:
    """Return the tensor that an entry of the header describes."""
    require(
        isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"},
        f"{name}: expected dtype, shape and data_offsets",
    )
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    require(isinstance(dtype, str), f"{name}: expected a dtype, got {dtype!r}")
    for what, sizes in (("shape", shape), ("data_offsets", offsets)):
        require(
            isinstance(sizes, list)
            and len(sizes) <= 32
            and all(type(size) is int and 0 <= size < 2**62 for size in sizes),
            f"{name}: expected sizes as {what}, got {str(sizes)[:60]}",
        )
    require(
        len(offsets) == 2 and offsets[0] <= offsets[1] <= len(data),
        f"{name}: expected data_offsets within {len(data)} bytes, got {offsets}",
    )
    raw = data[offsets[0] : offsets[1]]
    if dtype in DTYPES or dtype in OTHERS:
        itemsize = DTYPES[dtype].itemsize if dtype in DTYPES else OTHERS[dtype]
        size = math.prod(shape) * itemsize
        require(
            size == len(raw) and math.prod(filter(None, shape)) < 2**60,
            f"{name}: expected {len(raw)} bytes, got shape {shape} of {dtype}",
        )
    if dtype == "BOOL":
        values = np.frombuffer(raw, np.uint8)
        require(not (values > 1).any(), f"{name}: expected bytes of 0 and 1")
    return Tensor(dtype, tuple(shape), raw)


def require_covered(header: dict[str, Any], size: int) -> None:
    """Require that the arrays follow one another and fill the file."""
    end = 0
    for start, stop in sorted(entry["data_offsets"] for entry in header.values()):
        require(start == end, f"expected an array at byte {end}, got one at {start}")
        end = stop
    require(end == size, f"expected arrays of {size} bytes, got {end}")


def digest(header: Mapping[str, Any], *data: bytes | memoryview) -> str:
    """Return the SHA-256 of a file's content, however the header is written."""
    text = json.dumps(header, sort_keys=True)
    found = hashlib.sha256(text.encode())
    for piece in data:
        found.update(piece)
    return found.hexdigest()
