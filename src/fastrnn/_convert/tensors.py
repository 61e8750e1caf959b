"""Arrays from PyTorch's tensors, wherever they come from."""

from __future__ import annotations

from typing import Any

from fastrnn._convert.build import as_floating
from fastrnn._convert.files.safetensors import Tensor, as_numpy, widen
from fastrnn._types import DType


def as_weight(where: str, name: str, tensor: Any, dtype: DType | None) -> Any:
    """Return a tensor as an array of float32 or float64.

    Parameters
    ----------
    where : str
        The file it is from.
    name : str
        Its name.
    tensor : torch.Tensor, Tensor of a file, or array
        On any device.
    dtype : dtype, optional
        Convert floating numbers to it.

    Raises
    ------
    TypeError
        Another dtype, or a tensor that holds no numbers one after another.
    """
    if isinstance(tensor, Tensor):
        if tensor.dtype != "BF16":
            return as_floating(name, as_numpy(where, name, tensor), dtype)
        require_target(name, dtype)
        tensor = widen(tensor)
    elif hasattr(tensor, "detach"):
        tensor = as_readable(name, tensor.detach())
        if str(tensor.dtype) == "torch.bfloat16":
            require_target(name, dtype)
            tensor = tensor.float()
    return as_floating(name, tensor, dtype)


def require_target(name: str, dtype: DType | None) -> None:
    if dtype is None:
        raise TypeError(
            f"{name}: expected float32 or float64, got bfloat16; dtype= converts it"
        )


def as_readable(name: str, tensor: Any) -> Any:
    """Return a dense tensor in this computer's memory."""
    kind = "meta" if tensor.is_meta else str(tensor.layout)
    if kind == "torch.strided" and not tensor.is_quantized:
        tensor = tensor.cpu()
        last = sum(
            (size - 1) * stride
            for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
        )
        end = (tensor.storage_offset() + last + 1) * tensor.element_size()
        if tensor.numel() == 0 or end <= tensor.untyped_storage().nbytes():
            return tensor
        kind = "freed"
    raise TypeError(f"{name}: expected a dense tensor with memory, got a {kind} one")
