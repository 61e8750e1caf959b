"""Where kernels do not apply, results and errors are PyTorch's."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad  # noqa: E402
from torch.func import functional_call, grad, jacrev, jvp, vmap  # noqa: E402
from torch.nn.utils import parametrizations, parametrize, weight_norm  # noqa: E402

import fastrnn.torch  # noqa: E402
from fastrnn import _core  # noqa: E402
from fastrnn.torch import _ops  # noqa: E402
from tests.torch.comparing import (  # noqa: E402
    H,
    I,
    N,
    T,
    assert_same,
    draw_input,
    draw_states,
    flatten,
    hx_of,
    make_pair,
    results_of,
)

every_cell = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])


@pytest.fixture
def idle(monkeypatch: Any) -> None:
    """Fail if a kernel runs."""

    def refuse(*arguments: Any) -> Any:
        raise AssertionError("a kernel ran")

    for name in ("forward", "backward", "PackedLayer"):
        monkeypatch.setattr(_core, name, refuse)


def outcome(call: Callable[[], Any]) -> Any:
    """Return outputs as a list, or the type of the error."""
    try:
        return flatten(call())
    except Exception as error:
        return type(error)


def assert_same_outcome(ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    expected, got = outcome(theirs), outcome(ours)
    if isinstance(expected, type):
        assert got is expected
    else:
        assert not isinstance(got, type), got
        assert_same(got, expected)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@every_cell
def test_other_dtypes(cell: str, dtype: Any) -> None:
    theirs, ours = make_pair(cell)
    x = draw_input(ours).to(dtype)
    theirs.to(dtype)
    ours.to(dtype)
    for a, b in zip(flatten(ours(x)), flatten(theirs(x)), strict=True):
        assert a.dtype == dtype
        assert torch.equal(a, b)


@pytest.mark.usefixtures("idle")
@every_cell
def test_autocast(cell: str) -> None:
    theirs, ours = make_pair(cell)
    x = draw_input(ours)
    with torch.autocast("cpu", torch.bfloat16):
        got, expected = flatten(ours(x)), flatten(theirs(x))
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


@pytest.mark.usefixtures("idle")
@every_cell
def test_another_device(cell: str) -> None:
    _, ours = make_pair(cell)
    y, _ = ours.to("meta")(torch.empty(T, N, I, device="meta"))
    assert y.device.type == "meta"
    assert y.shape == (T, N, H)


@every_cell
def test_mixed_dtypes(cell: str) -> None:
    theirs, ours = make_pair(cell)
    x = draw_input(ours).double()
    with pytest.raises(ValueError, match=r"RNN input dtype .* does not match weight"):
        ours(x)
    states = [s.double() for s in draw_states(ours)]
    assert_same_outcome(
        lambda: ours(x.float(), hx_of(ours, states)),
        lambda: theirs(x.float(), hx_of(theirs, states)),
    )


@pytest.mark.parametrize("shape", [(0, 4, 5), (7, 0, 5), (7, 4, 4), (7,), (1, 7, 4, 5)])
@every_cell
def test_odd_shapes(cell: str, shape: Any) -> None:
    theirs, ours = make_pair(cell)
    x = torch.zeros(shape)
    assert_same_outcome(lambda: ours(x), lambda: theirs(x))


@pytest.mark.parametrize("shape", [(2, 4, 6), (1, 3, 6), (1, 4, 5), (4, 6)])
@every_cell
def test_states_that_do_not_fit(cell: str, shape: Any) -> None:
    theirs, ours = make_pair(cell)
    x, h = draw_input(ours), torch.zeros(shape)
    hx = (h, h) if cell == "lstm" else h
    assert outcome(lambda: theirs(x, hx)) is RuntimeError
    assert outcome(lambda: ours(x, hx)) is RuntimeError


def test_half_of_the_states() -> None:
    theirs, ours = make_pair("lstm")
    x, h = draw_input(ours), torch.zeros(1, N, H)
    for hx in ((h,), h, (h, h, h)):
        assert_same_outcome(lambda hx=hx: ours(x, hx), lambda hx=hx: theirs(x, hx))


@every_cell
def test_a_pending_negation(cell: str) -> None:
    """The memory of such a tensor holds the opposite of its values."""
    theirs, ours = make_pair(cell)
    noted = torch.randn(T, N, I, dtype=torch.complex64).conj().imag
    assert noted.is_neg()
    assert_same(flatten(ours(noted)), flatten(theirs(noted)))


class Tagged(torch.Tensor):
    """A subclass that sees the functions called on it."""

    seen: list[str] = []  # noqa: RUF012

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        cls.seen.append(getattr(func, "__name__", ""))
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.usefixtures("idle")
@every_cell
def test_a_subclass_of_tensors(cell: str) -> None:
    """Its functions are called, and the result is one of its own."""
    theirs, ours = make_pair(cell)
    x = draw_input(ours).as_subclass(Tagged)
    Tagged.seen.clear()
    y, _ = ours(x)
    assert type(y) is Tagged
    assert Tagged.seen
    assert torch.equal(y, theirs(x)[0])


@pytest.mark.usefixtures("idle")
@every_cell
def test_default_device(cell: str) -> None:
    """Whatever the default is, tensors on the CPU are served as before."""
    _, ours = make_pair(cell)
    x = draw_input(ours)
    with torch.device("meta"), pytest.raises(AssertionError, match="a kernel ran"):
        ours(x)


def through_jvp(module: Any, x: Any) -> Any:
    return jvp(lambda a: module(a)[0], (x,), (x.cos(),))


def through_jvp_of_weights(module: Any, x: Any) -> Any:
    """A known trap: x requires no gradient, and the tangent would silently be 0."""
    weights = {n: p.detach() for n, p in module.named_parameters()}
    tangents = {n: p.sin() for n, p in weights.items()}
    return jvp(lambda w: functional_call(module, w, (x,))[0], (weights,), (tangents,))


def through_dual_tensors(module: Any, x: Any) -> Any:
    with forward_ad.dual_level():
        y, _ = module(forward_ad.make_dual(x, x.cos()))
        return tuple(forward_ad.unpack_dual(y))


def through_grad(module: Any, x: Any) -> Any:
    return grad(lambda a: module(a)[0].square().sum())(x)


def through_jacrev(module: Any, x: Any) -> Any:
    return jacrev(lambda a: module(a)[0].sum((0, 1)))(x)


def through_vmap(module: Any, x: Any) -> Any:
    return vmap(lambda a: module(a)[0], in_dims=1)(x)


def through_vmap_of_grad(module: Any, x: Any) -> Any:
    return vmap(grad(lambda a: module(a)[0].square().sum()), in_dims=1)(x)


def through_ensemble(module: Any, x: Any) -> Any:
    """Several sets of weights at once."""
    weights = {
        n: torch.stack([p.detach(), 2 * p.detach()])
        for n, p in module.named_parameters()
    }
    return vmap(lambda w: functional_call(module, w, (x,))[0])(weights)


TRANSFORMS = [
    through_jvp, through_jvp_of_weights, through_dual_tensors, through_grad,
    through_jacrev, through_vmap, through_vmap_of_grad, through_ensemble,
]  # fmt: skip


@pytest.mark.usefixtures("idle")
@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.filterwarnings("ignore:.torch.jit.:DeprecationWarning")  # PyTorch's own
@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@every_cell
def test_transforms(cell: str, dtype: Any, transform: Any) -> None:
    theirs, ours = make_pair(cell, dtype=dtype)
    x = draw_input(ours)
    assert_same_outcome(lambda: transform(ours, x), lambda: transform(theirs, x))


@pytest.mark.usefixtures("idle")
@pytest.mark.filterwarnings("ignore:.torch.jit.:DeprecationWarning")  # PyTorch's own
@every_cell
def test_transforms_of_what_torch_lacks(cell: str) -> None:
    """PyTorch has no code for ``lengths``; the derivative is still right."""
    _, ours = make_pair(cell, dtype=torch.float64)
    x, v = draw_input(ours), torch.randn(T, N, I, dtype=torch.float64)
    lengths = torch.tensor([3, 7, 1, 0])

    def run(a: Any) -> Any:
        return ours(a, lengths=lengths)[0]

    _, tangent = jvp(run, (x,), (v,))
    step = 1e-5
    difference = (
        run_steps(ours, x + step * v, lengths) - run_steps(ours, x - step * v, lengths)
    ) / (2 * step)
    torch.testing.assert_close(tangent, difference, rtol=0, atol=1e-8)
    assert tangent.abs().max() > 0.01
    mapped = vmap(run)(torch.stack([x, v]))
    assert_same(
        list(mapped), [run_steps(ours, x, lengths), run_steps(ours, v, lengths)]
    )


def run_steps(module: Any, x: Any, lengths: Any) -> Any:
    """Return the output of PyTorch's module, row by row."""
    theirs = fastrnn.torch.restore(copy.deepcopy(module))
    y = x.new_zeros(*x.shape[:2], module.hidden_size)
    for n, length in enumerate(lengths.tolist()):
        if length:
            y[:length, n] = theirs(x[:length, n])[0]
    return y.detach()


@pytest.mark.parametrize("options", ["lengths", "cells"])
def test_extras_in_bfloat16(options: str) -> None:
    _, ours = make_pair("lstm")
    x = draw_input(ours)
    given: Any = (
        {"return_cells": True} if options == "cells" else {"lengths": [7, 3, 0, 1]}
    )
    expected = flatten(ours(x, **given))
    ours.to(torch.bfloat16)
    for a, b in zip(flatten(ours(x.bfloat16(), **given)), expected, strict=True):
        assert a.dtype == torch.bfloat16
        torch.testing.assert_close(a.float(), b, rtol=0, atol=0.05)


def test_operators_refuse_tangents() -> None:
    """Calling the operator directly raises, instead of returning zeros."""
    module = fastrnn.torch.RNN(I, H)
    weights = [p.detach() for p in module.parameters()]

    def run(x: Any) -> Any:
        return _ops.layer(
            "RNN_TANH", "time", False, False, x, *weights, None, None, None, None
        )[0]

    x = torch.randn(T, N, I)
    with pytest.raises(NotImplementedError, match="no forward-mode derivative"):
        jvp(run, (x,), (x,))
    with forward_ad.dual_level(), pytest.raises(NotImplementedError):
        run(forward_ad.make_dual(x, x))


@pytest.mark.filterwarnings("ignore")  # PyTorch's about the tracer
@every_cell
def test_traced_by_torchscript(cell: str) -> None:
    """The trace holds PyTorch's operators, and runs where fastrnn is not installed."""
    theirs, ours = make_pair(cell)
    x = draw_input(ours)
    traced = torch.jit.trace(ours, x)
    assert "fastrnn::" not in str(traced.graph)
    assert_same(flatten(traced(x)), flatten(theirs(x)))


class Doubled(torch.nn.Module):
    """A parametrisation."""

    def forward(self, w: Any) -> Any:
        """Return twice the weight."""
        return 2 * w


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize(
    "how", ["parametrize", "weight_norm", "orthogonal", "old weight_norm"]
)
@every_cell
def test_weights_that_are_computed(cell: str, how: str) -> None:
    theirs, ours = make_pair(cell, dtype=torch.float64)
    for module in (theirs, ours):
        torch.manual_seed(4)
        if how == "parametrize":
            parametrize.register_parametrization(module, "weight_hh_l0", Doubled())
        elif how == "weight_norm":
            parametrizations.weight_norm(module, "weight_hh_l0")
        elif how == "orthogonal":
            parametrizations.orthogonal(module, "weight_hh_l0")
        else:
            weight_norm(module, "weight_hh_l0")

    def call(module: Any, x: Any, states: Any) -> Any:
        return module(x)

    x = draw_input(ours)
    assert_same(results_of(ours, call, x), results_of(theirs, call, x))
    report = fastrnn.torch.report(theirs)
    assert not report.replaced


@every_cell
def test_functional_call(cell: str) -> None:
    theirs, ours = make_pair(cell, num_layers=2, dtype=torch.float64)
    weights = {n: 3 * p.detach() for n, p in ours.named_parameters()}
    for w in weights.values():
        w.requires_grad_()
    x = draw_input(ours)
    results = []
    for module in (ours, theirs):
        y, _ = functional_call(module, weights, (x,))
        results.append(torch.autograd.grad(y.square().sum(), list(weights.values())))
    assert_same(list(results[0]), list(results[1]))


@every_cell
def test_weights_of_other_shapes(cell: str) -> None:
    """Whatever is assigned to a weight's name, nothing is read beyond its end."""
    theirs, ours = make_pair(cell, dtype=torch.float64)
    x = draw_input(ours)
    for module in (theirs, ours):
        module.weight_hh_l0.data = module.weight_hh_l0.data[:, :-1].contiguous()
    assert_same_outcome(lambda: ours(x), lambda: theirs(x))


@every_cell
def test_inference_mode(cell: str) -> None:
    theirs, ours = make_pair(cell)
    with torch.inference_mode():
        x = draw_input(ours)
        assert_same(flatten(ours(x)), flatten(theirs(x)))
