"""PyTorch's recurrent modules on fastrnn's kernels.

One line for a model that exists, trained or in training::

    fastrnn.torch.accelerate(model)

`RNN`, `LSTM`, `GRU` are PyTorch's modules with other insides; `restore` undoes
`accelerate`; `linear_cross_entropy` is the loss of a language model without its logits.
What the kernels do not serve (other devices and dtypes, autocast, ``proj_size``,
function transforms) runs PyTorch's own code.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError(
        "fastrnn.torch needs PyTorch: pip install 'fastrnn[torch]', or for the "
        "processor alone: pip install torch --index-url "
        "https://download.pytorch.org/whl/cpu",
        name="torch",
    ) from None

from fastrnn.torch import _compile, _threads  # noqa: F401 - for their effects
from fastrnn.torch._accelerate import Report, accelerate, report, restore
from fastrnn.torch._cross_entropy import linear_cross_entropy
from fastrnn.torch._modules import GRU, LSTM, RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Report",
    "accelerate",
    "linear_cross_entropy",
    "report",
    "restore",
]
