"""`fastrnn.torch.linear_cross_entropy` against PyTorch's two operations."""

import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.func import grad, jvp  # noqa: E402
from torch.nn import functional  # noqa: E402

import fastrnn.torch  # noqa: E402
from fastrnn.torch import _cross_entropy  # noqa: E402
from tests.torch.comparing import assert_same  # noqa: E402

V, H = 11, 6
every_reduction = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
every_bias = pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])


def draw(lead: tuple[int, ...] = (5, 4), dtype: Any = torch.float64) -> list[Any]:
    torch.manual_seed(0)
    x, w, b = (torch.randn(s, dtype=dtype) for s in ((*lead, H), (V, H), (V,)))
    target = torch.randint(0, V, lead)
    if target.numel() > 3:
        target.view(-1)[1::3] = -100
    return [x, w, b, target]


def ours(x: Any, w: Any, b: Any, target: Any, **options: Any) -> Any:
    return fastrnn.torch.linear_cross_entropy(x, w, target, linear_bias=b, **options)


def theirs(x: Any, w: Any, b: Any, target: Any, reduction: str = "mean") -> Any:
    logits = functional.linear(x, w, b).reshape(-1, V)
    loss = functional.cross_entropy(logits, target.reshape(-1), reduction=reduction)
    return loss.reshape(target.shape) if reduction == "none" else loss


def results_of(function: Any, tensors: Any, **options: Any) -> list[Any]:
    *floating, target = tensors
    floating = [None if a is None else a.clone().requires_grad_() for a in floating]
    loss = function(*floating, target, **options)
    (loss * 1.5).sum().backward()
    return [loss.detach(), *(None if a is None else a.grad for a in floating)]


@pytest.mark.parametrize("lead", [(5, 4), (20,), (2, 5, 2), ()], ids=str)
@every_bias
@every_reduction
def test_same_as_torch(reduction: str, bias: bool, lead: Any) -> None:
    x, w, b, target = draw(lead)
    tensors = [x, w, b if bias else None, target]
    got = results_of(ours, tensors, reduction=reduction)
    assert_same(got, results_of(theirs, tensors, reduction=reduction))


@every_reduction
def test_without_gradients(reduction: str) -> None:
    tensors = draw(dtype=torch.float32)
    with torch.no_grad():
        got = ours(*tensors, reduction=reduction)
    assert not got.requires_grad
    assert_same([got], [theirs(*tensors, reduction=reduction)])


@pytest.mark.parametrize("part", [0, 1, 2])
def test_only_what_requires_a_gradient(part: int) -> None:
    tensors = draw()
    tensors[part].requires_grad_()
    (got,) = torch.autograd.grad(ours(*tensors), tensors[part])
    (expected,) = torch.autograd.grad(theirs(*tensors), tensors[part])
    assert_same([got], [expected])


def test_backward_twice() -> None:
    """The first backward passes its gradients on without a copy; the second copies."""
    x, w, b, target = draw()
    w.requires_grad_()
    loss = ours(x, w, b, target)
    loss.backward(retain_graph=True)
    once = w.grad.clone()
    (3 * loss).backward(retain_graph=True)
    assert_same([w.grad], [4 * once])
    loss.backward()
    assert_same([w.grad], [5 * once])


def test_differentiated_twice() -> None:
    tensors = draw()
    floating = [a.requires_grad_() for a in tensors[:3]]

    def run(*a: Any) -> Any:
        return ours(*a, tensors[3])

    assert torch.autograd.gradcheck(run, floating)
    assert torch.autograd.gradgradcheck(run, floating)


def test_ignore_index() -> None:
    x, w, b, target = draw()
    target[target == -100] = 7
    got = ours(x, w, b, target, ignore_index=7)
    expected = functional.cross_entropy(
        functional.linear(x, w, b).reshape(-1, V), target.reshape(-1), ignore_index=7
    )
    assert_same([got], [expected])


def test_same_as_torchs_function() -> None:
    """It can replace PyTorch's function of that name, where there is one."""
    function = getattr(functional, "linear_cross_entropy", None)
    if function is None:
        pytest.skip("not in this version of PyTorch")
    x, w, b, target = draw((20,))
    assert_same(
        [fastrnn.torch.linear_cross_entropy(x, w, target, linear_bias=b)],
        [function(x, w, target, linear_bias=b, ignore_index=-100)],
    )


@pytest.mark.parametrize(
    "needs", [*itertools.product([False, True], repeat=3)], ids=str
)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_gradients_not_needed_are_not_computed(
    needs: tuple[int, ...], compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    kernel = _cross_entropy.run_kernel

    def run_kernel(*arguments: Any) -> Any:
        results = kernel(*arguments)
        asked.append(sum((a is not None) << i for i, a in enumerate(results[1:])))
        return results

    monkeypatch.setattr(_cross_entropy, "run_kernel", run_kernel)
    tensors = draw()
    for a, need in zip(tensors, needs, strict=False):
        a.requires_grad_(bool(need))
    loss = ours
    if compiled:
        torch.compiler.reset()
        loss = torch.compile(ours, fullgraph=True, backend="aot_eager")
    got = loss(*tensors)
    assert asked == [sum(need << i for i, need in enumerate(needs))]
    if not any(needs):
        assert not got.requires_grad
        return
    got.backward()
    found = [a.grad for a in tensors[:3]]
    for a in tensors[:3]:
        a.grad = None
    theirs(*tensors).backward()
    for a, grad_ in zip(tensors, found, strict=False):
        assert (grad_ is None) == (a.grad is None)
        if grad_ is not None:
            assert_same([grad_], [a.grad])


BAD_CALLS: dict[str, tuple[int, Any, type[Exception], str]] = {
    "w": (1, torch.zeros(V, H + 1), ValueError, "linear_weight: expected shape"),
    "b": (2, torch.zeros(V + 1), ValueError, "linear_bias: expected shape"),
    "shape": (3, torch.zeros(4, 5).long(), ValueError, "target: expected shape"),
    "range": (3, torch.full((5, 4), V), ValueError, "target 11 at .* is out of range"),
    "target": (3, torch.zeros(5, 4), TypeError, "target: expected an integer dtype"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_calls(name: str) -> None:
    at, wrong, error, message = BAD_CALLS[name]
    tensors = draw(dtype=torch.float32)
    tensors[at] = wrong
    with pytest.raises(error, match=message):
        ours(*tensors)


@pytest.mark.filterwarnings("ignore:.torch.jit.:DeprecationWarning")  # PyTorch's own
def test_fallback() -> None:
    x, w, b, target = draw(dtype=torch.float32)
    half = [a.bfloat16() for a in (x, w, b)]
    assert torch.equal(ours(*half, target), theirs(*half, target))
    with torch.autocast("cpu"):
        assert torch.equal(ours(x, w, b, target), theirs(x, w, b, target))
    runs = [lambda w, f=f: f(x, w, b, target) for f in (ours, theirs)]
    assert_same(*([grad(run)(w)] for run in runs))
    assert_same(*(list(jvp(run, (w,), (w.cos(),))) for run in runs))
    arguments = (x, w, b, target, -100, "mean", 0)
    with pytest.raises(NotImplementedError, match="no forward-mode derivative"):
        jvp(lambda w: _cross_entropy.operator(x, w, *arguments[2:])[0], (w,), (w,))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_operator(reduction: str) -> None:
    """PyTorch's own check of operators."""
    tensors = draw(dtype=torch.float32)
    for a in tensors[:3]:
        a.requires_grad_()
    arguments = (*tensors, -100, reduction, 0b111)
    tests = ["test_schema", "test_autograd_registration", "test_faketensor"]
    found = torch.library.opcheck(_cross_entropy.operator, arguments, test_utils=tests)
    assert set(found.values()) == {"SUCCESS"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled() -> None:
    torch.compiler.reset()
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    tensors = draw()
    assert_same(results_of(compiled, tensors), results_of(theirs, tensors))
