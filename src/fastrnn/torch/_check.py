"""Checks of what the modules guarantee, for callers of the operators themselves.

Here is everything that the kernels rely on: whoever calls ``torch.ops.fastrnn`` with
tensors of any kind gets a result or an exception.
"""

from typing import Any

import torch
from torch import Tensor

from fastrnn.torch import _kernels

LAYOUTS = {"time": "(T, N, I)", "batch": "(N, T, I)", "packed": "(rows, I)"}


def check_layer(
    mode: str,
    layout: str,
    reverse: bool,
    training: Any,
    x: Any,
    *others: Any,
) -> None:
    """Check the arguments of ``layer``, and those that ``layer_backward`` shares."""
    if mode not in _kernels.MODES:
        raise ValueError(f"mode: expected one of {list(_kernels.MODES)}, got {mode!r}")
    if layout not in LAYOUTS:
        raise ValueError(
            f"layout: expected 'time', 'batch' or 'packed', got {layout!r}"
        )
    w_ih, w_hh, b_ih, b_hh, h0, c0, lengths, resets = others[:8]
    check_readable(x=x, w_ih=w_ih, w_hh=w_hh)
    check_optional(b_ih=b_ih, b_hh=b_hh, h0=h0, c0=c0, lengths=lengths, resets=resets)
    if x.dtype not in _kernels.DTYPES:
        raise TypeError(f"x: expected dtype float32 or float64, got {x.dtype}")
    check_rank("x", x, LAYOUTS[layout])
    check_rank("w_ih", w_ih, "(G*H, I)")
    check_rank("w_hh", w_hh, "(G*H, H)")
    if layout == "packed" and (lengths is None or h0 is None):
        raise TypeError("lengths, h0: expected batch_sizes and states, got None")
    if layout == "packed":
        lengths = _kernels.check_batch_sizes(lengths, x.shape[0])
    _, N, I = _kernels.sizes(layout, x, lengths)  # noqa: E741
    H = w_hh.shape[-1]
    if H < 1 or I < 1:
        raise ValueError(f"x, w_hh: expected I, H >= 1, got I = {I}, H = {H}")
    GH = _kernels.MODES[mode].cell.gates * H
    check_all(
        x.dtype,
        {
            "w_ih": (w_ih, (GH, I)),
            "w_hh": (w_hh, (GH, H)),
            "b_ih": (b_ih, (GH,)),
            "b_hh": (b_hh, (GH,)),
            "h0": (h0, (1, N, H)),
            "c0": (c0, (1, N, H)),
        },
    )


def check_backward(
    mode: str, layout: str, reverse: bool, wanted: int, *tensors: Any
) -> None:
    """Check the arguments of ``layer_backward``."""
    check_layer(mode, layout, reverse, True, *tensors[:9])
    check_wanted(wanted, 5)
    x, _, w_hh = tensors[:3]
    y, gates, c, dy, dh_n, dc_n, dc = tensors[9:]
    check_readable(y=y)
    check_optional(gates=gates, c=c, dy=dy, dh_n=dh_n, dc_n=dc_n, dc=dc)
    gated = _kernels.MODES[mode].gated
    if gated and (gates is None or c is None):
        raise TypeError("gates, c: expected tensors, got None")
    lengths = tensors[7]
    if layout == "packed":
        lengths = _kernels.check_batch_sizes(lengths, x.shape[0])
    _, N, _ = _kernels.sizes(layout, x, lengths)
    H = w_hh.shape[1]
    lead = tuple(x.shape[:-1])
    check_all(
        x.dtype,
        {
            "y": (y, (*lead, H)),
            "gates": (gates if gated else None, (*lead, w_hh.shape[0])),
            "c": (c if gated else None, (*lead, H)),
            "dy": (dy, (*lead, H)),
            "dh_n": (dh_n, (1, N, H)),
            "dc_n": (dc_n, (1, N, H)),
            "dc": (dc, (*lead, H)),
        },
    )


def check_cross_entropy(x: Any, w: Any, b: Any, target: Any, wanted: int) -> None:
    """Check what the gate of the function, which comes after it, takes for granted."""
    check_readable(x=x, w=w, target=target)
    check_optional(b=b)
    check_wanted(wanted, 3)


def check_readable(**tensors: Any) -> None:
    """Refuse tensors whose memory cannot be read as it is."""
    for name, a in tensors.items():
        if a is None:
            raise RuntimeError(f"{name}: expected a tensor, got None")
    check_optional(**tensors)


def check_optional(**tensors: Any) -> None:
    """Check tensors that may be None."""
    for name, a in tensors.items():
        if a is None:
            continue
        if a.device.type != "cpu" or a.layout is not torch.strided:
            raise RuntimeError(
                f"{name}: expected a dense tensor on the CPU, got {a.layout} on "
                f"{a.device}"
            )
        _kernels.require_storage(name, a)


def require_one_device(*tensors: Any) -> None:
    """Refuse a mixture of devices, where there is no memory to look at."""
    found = {str(a.device) for a in tensors if isinstance(a, Tensor)}
    if len(found) > 1:
        raise RuntimeError(f"expected tensors on one device, got {sorted(found)}")


def check_rank(name: str, a: Tensor, symbols: str) -> None:
    if a.dim() != symbols.count(",") + 1:
        raise ValueError(
            f"{name}: expected shape {symbols}, got shape {tuple(a.shape)}"
        )


def check_wanted(wanted: int, bits: int) -> None:
    if not 0 <= wanted < 1 << bits:
        raise ValueError(f"wanted: expected {bits} bits, got {wanted}")


def check_all(dtype: torch.dtype, expected: dict[str, Any]) -> None:
    for name, (a, shape) in expected.items():
        if a is None:
            continue
        if a.dtype != dtype:
            raise TypeError(
                f"{name}: expected dtype {dtype} (that of x), got {a.dtype}"
            )
        if tuple(a.shape) != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {tuple(a.shape)}")
