"""Whole files: arrays and facts in one safetensors file, old or new but never half."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn._convert.files.safetensors import CHECKSUM, as_numpy, decode, encode
from fastrnn._convert.files.whole import check_path, read_whole, write_whole
from fastrnn._gate.arguments import check_flag, plain
from fastrnn._layers.parameters import Parameters

KIND = "fastrnn"  # the metadata entry that holds the facts
MOST_DIGITS = 4000  # Python reads integers of 4300 digits, and refuses longer ones


def save(
    path: str | os.PathLike[str],
    arrays: Parameters | Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    *,
    kind: str = KIND,
    checksum: bool = False,
) -> None:
    """Write arrays and facts as one safetensors file.

    Parameters
    ----------
    path : path
        The file to write. If it is a symbolic link, the file it points to is written.
    arrays : layer, or mapping of str to array
        A layer stands for its ``state_dict()``. Arrays are bool, integer, float16,
        float32, float64 or complex64.
    facts : mapping of str, optional
        Anything JSON can hold: settings, a vocabulary's ``state_dict()``. Numbers of
        NumPy become Python's, tuples become lists.
    kind : str
        The name of the metadata entry that holds the facts. Name it after your program
        and `load` can tell its files from others.
    checksum : bool
        Write a SHA-256 of the whole content too, which `load` then verifies.

    Raises
    ------
    OSError
        The file cannot be written.
    TypeError
        An entry is not an array of these dtypes, or JSON cannot hold a fact.
    ValueError
        A name is reserved or not valid text.

    Notes
    -----
    Whatever happens, a reader finds the old file or the new one, whole: the new one is
    written beside it, synchronised with the disk, and renamed. Threads and processes
    may save to one path at once; the last one wins. A program that is killed can leave
    a hidden file, ``.NAME.xxxxxxxxxxxxxxxx.tmp``, which the next save to the same path
    removes. The permissions of an old file are kept.

    Equal arrays, in the same order, and equal facts give equal files. PyTorch reads
    them with ``safetensors.torch.load_file``.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> fastrnn.save(path, fastrnn.GRU(2, 4, seed=0), {"units": 4})
    >>> arrays, facts = fastrnn.load(path)
    >>> again = fastrnn.GRU(2, facts["units"])
    >>> again.load_state_dict(arrays)
    """
    path = check_path("path", path)
    content = arrays.state_dict() if isinstance(arrays, Parameters) else arrays
    if not isinstance(content, Mapping):
        got = type(arrays).__name__
        raise TypeError(f"arrays: expected a layer or a dict of arrays, got {got}")
    check_name("kind", kind)
    if facts is not None and not isinstance(facts, Mapping):
        raise TypeError(f"facts: expected a dict, got {type(facts).__name__}")
    whole: dict[str, Any] = {}
    for name, a in content.items():
        check_name("arrays", name)
        whole[name] = plain(f"arrays[{name!r}]", a)
    try:
        text = json.dumps(plain_facts("facts", facts or {}))
    except RecursionError:
        raise ValueError(
            "facts: expected what JSON can hold, got too deep a nesting"
        ) from None
    # All facts are in one entry, so that they need not be strings.
    data = encode(whole, {kind: text}, checksum=check_flag("checksum", checksum))
    write_whole(path, data)


def load(
    path: str | os.PathLike[str], *, kind: str | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a file that `save` wrote, or any safetensors file.

    Parameters
    ----------
    path : path
        The file to read.
    kind : str, optional
        As given to `save`; a file of another kind is then refused.

    Returns
    -------
    arrays : dict of str to array
        In the order in which they were saved.
    facts : dict
        Empty if there are none: another program wrote the file.

    Raises
    ------
    OSError
        The file cannot be read.
    TypeError
        The path or the kind has a wrong type.
    ValueError
        It is damaged, not a safetensors file, of another kind, or has a dtype that
        NumPy does not know.
    """
    path = check_path("path", path)
    if kind is not None:
        check_name("kind", kind)
    tensors, metadata = decode(path, read_whole(path))
    if kind is not None and kind not in metadata:
        kinds = ", ".join(map(repr, metadata)) or "none"
        raise ValueError(f"{path}: expected a file of kind {kind!r}, got {kinds}")
    arrays = {name: as_numpy(path, name, t) for name, t in tensors.items()}
    try:
        facts = json.loads(metadata.get(kind or KIND, "{}"))
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise ValueError(
            f"{path}: expected facts as a JSON object in the metadata entry "
            f"{kind or KIND!r}, got {metadata[kind or KIND][:40]!r}"
        )
    return arrays, facts


def check_name(argument: str, name: Any) -> None:
    if not isinstance(name, str):
        kind = type(name).__name__
        raise TypeError(f"{argument}: expected a str as name, got {kind}")
    reserved = {"arrays": "__metadata__", "kind": CHECKSUM}
    if name == reserved[argument]:
        raise ValueError(f"{argument}: expected another name than {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{argument}: expected a name that is valid text, got {name!r}"
        ) from None


def plain_facts(where: str, value: Any) -> Any:
    """Return facts with Python's numbers in place of NumPy's; name what JSON lacks."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                got = f"{key!r} ({type(key).__name__})"
                raise TypeError(f"{where}: expected str as keys, got {got}")
        return {k: plain_facts(f"{where}[{k!r}]", v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_facts(f"{where}[{i}]", v) for i, v in enumerate(value)]
    if value is not None and not isinstance(value, (str, int, float)):
        kind = type(value).__name__
        raise TypeError(f"{where}: expected what JSON can hold, got {kind}")
    if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        raise ValueError(
            f"{where}: expected an int of at most {MOST_DIGITS} digits, got more"
        )
    return value
