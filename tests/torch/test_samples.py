"""PyTorch's own samples for its recurrent modules, run against ours.

They run as in PyTorch's ``test_modules.py``: forward against the reference of a sample,
the gradient by finite differences, non-contiguous arrays, and the errors of bad input.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's testing module needs it")

from torch.testing._internal import common_modules  # noqa: E402

import fastrnn.torch  # noqa: E402
from tests.torch.comparing import flatten  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")

INFOS = {
    info.module_cls.__name__: info
    for info in common_modules.module_db
    if info.module_cls in (torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM)
}
every_info = pytest.mark.parametrize("name", sorted(INFOS))
every_dtype = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64], ids=["float32", "float64"]
)


def samples(
    name: str, dtype: Any, training: bool, packed: bool = False
) -> Iterator[Any]:
    info = INFOS[name]
    make = info.module_inputs_func
    if packed and name != "LSTM":
        make = partial(make, with_packed_sequence=True)
    torch.manual_seed(0)
    yield from make(
        info, device="cpu", dtype=dtype, requires_grad=False, training=training
    )


def make_module(name: str, sample: Any, dtype: Any, training: bool) -> Any:
    options = sample.constructor_input.kwargs
    torch.manual_seed(1)
    module = getattr(fastrnn.torch, name)(*sample.constructor_input.args, **options)
    return module.to(dtype).train(training)


def call(module: Any, sample: Any) -> Any:
    return module(*sample.forward_input.args, **sample.forward_input.kwargs)


def test_there_are_samples() -> None:
    assert sorted(INFOS) == ["GRU", "LSTM", "RNN"]
    assert all(len(list(samples(n, torch.float64, True))) >= 16 for n in INFOS)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@every_dtype
@every_info
def test_forward(name: str, dtype: Any, training: bool) -> None:
    for sample in samples(name, dtype, training, packed=True):
        module = make_module(name, sample, dtype, training)
        got = flatten(call(module, sample))
        theirs = getattr(torch.nn, name)(**sample.constructor_input.kwargs).to(dtype)
        theirs.load_state_dict(module.state_dict())
        tolerance = 1e-12 if dtype == torch.float64 else 1e-5
        close = partial(torch.testing.assert_close, rtol=0, atol=tolerance)
        for a, b in zip(got, flatten(call(theirs, sample)), strict=True):
            close(a, b)
        if sample.reference_fn is None or not isinstance(
            sample.forward_input.args[0], torch.Tensor
        ):
            continue
        expected = sample.reference_fn(module, *sample.forward_input.args)
        for a, b in zip(got, flatten(expected), strict=True):
            close(a, b)


@every_info
def test_gradient(name: str) -> None:
    """Compare with finite differences of all outputs by all inputs and parameters."""
    for sample in samples(name, torch.float64, True):
        module = make_module(name, sample, torch.float64, True)
        if getattr(module, "proj_size", 0):
            continue  # PyTorch's own code
        inputs = flatten(sample.forward_input.args)
        parameters = dict(module.named_parameters())

        def run(*tensors: Any, module: Any = module, names: Any = parameters) -> Any:
            weights = dict(zip(names, tensors, strict=False))
            x, *states = tensors[len(names) :]
            hx = None if not states else tuple(states) if len(states) > 1 else states[0]
            return tuple(flatten(torch.func.functional_call(module, weights, (x, hx))))

        tensors = [
            a.detach().clone().requires_grad_() for a in (*parameters.values(), *inputs)
        ]
        assert torch.autograd.gradcheck(run, tensors, fast_mode=True)
        assert torch.autograd.gradgradcheck(run, tensors, fast_mode=True)


@every_info
def test_arrays_that_are_not_contiguous(name: str) -> None:
    def spread(a: Any) -> Any:
        if isinstance(a, tuple):
            return tuple(spread(b) for b in a)
        return a.repeat_interleave(2, -1)[..., ::2]

    for sample in samples(name, torch.float32, True):
        module = make_module(name, sample, torch.float32, True)
        expected = flatten(call(module, sample))
        got = flatten(module(*(spread(a) for a in sample.forward_input.args)))
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


@every_dtype
@every_info
def test_error_inputs(name: str, dtype: Any) -> None:
    """Input that PyTorch refuses is refused with PyTorch's message."""
    info = INFOS[name]
    make = info.module_error_inputs_func
    found = list(
        make(info, device="cpu", dtype=dtype, requires_grad=False, training=False)
    )
    assert found
    for error in found:
        sample = error.module_error_input
        options = sample.constructor_input.kwargs
        ours = getattr(fastrnn.torch, name)
        with pytest.raises(error.error_type, match=error.error_regex):
            call(ours(*sample.constructor_input.args, **options), sample)
