"""Turn the recurrent modules of a model into fastrnn's, and back."""

import logging
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrize

from fastrnn.torch import _kernels, _modules, _weight_cache

ModelT = TypeVar("ModelT", bound=nn.Module)

OURS: dict[type, type] = {
    nn.RNN: _modules.RNN,
    nn.LSTM: _modules.LSTM,
    nn.GRU: _modules.GRU,
}
THEIRS = {ours: theirs for theirs, ours in OURS.items()}
SCRIPTED = ("RNN", "LSTM", "GRU")

log = logging.getLogger("fastrnn.torch")


class Report(NamedTuple):
    """A model's recurrent modules, by the names of ``model.named_modules()``.

    Attributes
    ----------
    replaced : list of str
        Those that run fastrnn's kernels.
    left : dict of str to str
        Those that do not, and why.
    """

    replaced: list[str]
    left: dict[str, str]


def accelerate(model: ModelT) -> ModelT:
    """Let every `torch.nn.RNN`, `LSTM` and `GRU` of a model run fastrnn's kernels.

    In place: the modules stay the same objects with the same parameters, buffers and
    hooks, so that optimizers, checkpoints and references to them go on. What was left
    is logged as a warning with the reason (logger ``fastrnn.torch``), what was replaced
    as information; `report` says the same at any time.

    Parameters
    ----------
    model : torch.nn.Module
        A model that contains such modules, or one of them.

    Returns
    -------
    torch.nn.Module
        The same object.

    Raises
    ------
    TypeError
        ``model`` is not a `torch.nn.Module`.
    """
    check_module(model)
    for name, module in model.named_modules():
        ours = OURS.get(type(module))
        why = why_left(module)
        if ours is not None and not why:
            module.__class__ = ours
            log.info("%s: replaced", name or "the model")
        elif why:
            log.warning("%s: left as it is: %s", name or "the model", why)
    return model


def restore(model: ModelT) -> ModelT:
    """Undo `accelerate`, in place; return the model.

    Raises
    ------
    TypeError
        ``model`` is not a `torch.nn.Module`.
    """
    check_module(model)
    for module in model.modules():
        if type(module) in THEIRS:
            _weight_cache.drop(module)
            module.__class__ = THEIRS[type(module)]
    return model


def report(model: nn.Module) -> Report:
    """Return which recurrent modules run fastrnn's kernels, and why others do not.

    Raises
    ------
    TypeError
        ``model`` is not a `torch.nn.Module`.
    """
    check_module(model)
    replaced, left = [], {}
    for name, module in model.named_modules():
        if isinstance(module, _modules.Recurrent):
            replaced.append(name)
        elif type(module) in OURS:
            left[name] = why_left(module) or "accelerate was not called"
        elif why := why_left(module):
            left[name] = why
    return Report(replaced, left)


def check_module(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model: expected a torch.nn.Module, got {type(model).__name__}"
        )


def why_left(module: nn.Module) -> str:
    """Return why a recurrent module cannot be replaced; "" for all others."""
    if isinstance(module, nn.RNNCellBase):
        return "a cell of one step; whole sequences are served"
    if isinstance(module, torch.jit.ScriptModule):
        scripted = getattr(module, "original_name", "") in SCRIPTED
        return "compiled by TorchScript" if scripted else ""
    if not isinstance(module, nn.RNNBase) or isinstance(module, _modules.Recurrent):
        return ""
    if parametrize.is_parametrized(module):
        return "parametrised"
    if type(module) not in OURS:
        return f"a class of its own, {type(module).__name__}"
    if module.proj_size:
        return f"proj_size={module.proj_size}"
    for a in module.parameters():
        if a.dtype not in _kernels.DTYPES or a.device.type != "cpu":
            return f"{a.dtype} on {a.device}; float32 and float64 on the CPU are served"
    return ""
