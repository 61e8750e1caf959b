"""Save and load arrays and facts in one safetensors file, never half written.

safetensors (``pip install safetensors``) is imported when a file is written or read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn._gate.arguments import plain
from fastrnn._layers.parameters import Parameters

KIND = "fastrnn"  # the metadata entry that holds the facts


def save(
    path: str | os.PathLike[str],
    arrays: Parameters | Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    *,
    kind: str = KIND,
) -> None:
    """Write arrays and facts as one safetensors file.

    Parameters
    ----------
    path : path
        The file is written under another name, then renamed: whatever happens, either
        the old or the new file is there.
    arrays : layer, or mapping of str to array
        A layer stands for its ``state_dict()``.
    facts : mapping of str, optional
        Anything JSON can hold: settings, a vocabulary's ``state_dict()``.
    kind : str
        The name of the metadata entry that holds the facts. If you name it after your
        program, `load` can tell its files from others.

    Raises
    ------
    ImportError
        safetensors is not installed.
    OSError
        The file cannot be written.
    TypeError
        ``arrays`` is not a layer or a mapping of arrays, or JSON cannot hold the facts.

    Notes
    -----
    Equal arrays and facts give equal files. PyTorch reads them with
    ``safetensors.torch.load_file``.
    """
    safetensors = import_safetensors()
    found = arrays.state_dict() if isinstance(arrays, Parameters) else arrays
    if not isinstance(found, Mapping):
        got = type(arrays).__name__
        raise TypeError(f"arrays: expected a layer or a dict of arrays, got {got}")
    whole = {
        name: np.ascontiguousarray(plain(f"arrays[{name!r}]", a)).reshape(a.shape)
        for name, a in found.items()
    }
    # All facts in one entry: safetensors writes several in no fixed order.
    text = json.dumps(dict(facts or {}))
    write_whole(Path(path), safetensors.numpy.save(whole, {kind: text}))


def load(
    path: str | os.PathLike[str], *, kind: str | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a file that `save` wrote, or any safetensors file.

    Parameters
    ----------
    path : path
        What to read.
    kind : str, optional
        As given to `save`; a file of another kind is then refused.

    Returns
    -------
    arrays : dict of str to array
    facts : dict
        Empty where there are none: another program wrote the file.

    Raises
    ------
    ImportError
        safetensors is not installed.
    OSError
        The file cannot be read.
    ValueError
        The file is damaged, not a safetensors file, or of another kind.
    """
    safetensors = import_safetensors()
    try:
        with safetensors.safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path}: damaged or not a safetensors file: {error}"
        ) from None
    if kind is not None and kind not in metadata:
        found = ", ".join(map(repr, metadata)) or "none"
        raise ValueError(f"{path}: expected a file of kind {kind!r}, got {found}")
    return arrays, json.loads(metadata.get(kind or KIND, "{}"))


def import_safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "safetensors is not installed: pip install safetensors"
        ) from None
    return safetensors


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside `path`, then rename it, so that `path` is never half new."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
