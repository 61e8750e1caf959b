"""Which gradients are computed, changes to tensors in between, second derivatives."""

import gc
import weakref
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils.checkpoint import checkpoint  # noqa: E402

import fastrnn.torch  # noqa: E402
from fastrnn.torch import _kernels, _ops  # noqa: E402
from tests.torch.comparing import (  # noqa: E402
    UNSORTED,
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
    weigh,
)

every_cell = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])

# Only these require a gradient, one set at a time.
PARTS = {
    "x": ["x"],
    "weights": ["weight_ih_l0", "weight_hh_l0"],
    "w_ih": ["weight_ih_l0"],
    "w_hh": ["weight_hh_l0"],
    "biases": ["bias_ih_l0", "bias_hh_l0"],
    "b_hh": ["bias_hh_l0"],
    "x, b_ih": ["x", "bias_ih_l0"],
}


@pytest.mark.parametrize("part", PARTS)
@every_cell
def test_only_what_is_needed(cell: str, part: str, monkeypatch: Any) -> None:
    """The kernel computes no others, and gives the same bits for these."""
    _, ours = make_pair(cell)
    x = draw_input(ours).requires_grad_()
    weigh(flatten(ours(x))).backward()
    every = {"x": x.grad} | {n: p.grad for n, p in ours.named_parameters()}

    asked = []
    backward = _kernels.backward

    def watch(*arguments: Any) -> Any:
        results = backward(*arguments)
        asked.append([a is not None for a in results[:5]])
        return results

    monkeypatch.setattr(_kernels, "backward", watch)
    x = x.detach().requires_grad_("x" in PARTS[part])
    for name, p in ours.named_parameters():
        p.grad = None
        p.requires_grad_(name in PARTS[part])
    weigh(flatten(ours(x))).backward()
    some = {"x": x.grad} | {n: p.grad for n, p in ours.named_parameters()}
    assert asked == [[name in PARTS[part] for name in every]]
    for name, gradient in some.items():
        if name in PARTS[part]:
            assert torch.equal(gradient, every[name])
        else:
            assert gradient is None


@pytest.mark.parametrize("output", [0, 1])
@every_cell
def test_a_loss_of_one_output(cell: str, output: int) -> None:
    theirs, ours = make_pair(cell, dtype=torch.float64)

    def call(module: Any, x: Any, states: Any) -> Any:
        return module(x, hx_of(module, states))[output]

    x, states = draw_input(ours), draw_states(ours)
    assert_same(results_of(ours, call, x, states), results_of(theirs, call, x, states))


@every_cell
def test_outputs_changed_in_place(cell: str) -> None:
    """PyTorch's GRU and RNN allow it; the gradient is that of the original output."""
    _, ours = make_pair(cell, dtype=torch.float64)
    x = draw_input(ours)

    def plain(module: Any, x: Any, states: Any) -> Any:
        return torch.relu(module(x)[0] * 2)

    def in_place(module: Any, x: Any, states: Any) -> Any:
        return torch.relu_(module(x)[0].mul_(2))

    assert_same(results_of(ours, in_place, x), results_of(ours, plain, x))


@every_cell
def test_weights_changed_before_backward(cell: str) -> None:
    """It is refused, as by every operation of PyTorch."""
    _, ours = make_pair(cell)
    y, _ = ours(draw_input(ours))
    with torch.no_grad():
        ours.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@every_cell
def test_backward_twice(cell: str) -> None:
    _, ours = make_pair(cell)
    loss = weigh(flatten(ours(draw_input(ours))))
    loss.backward(retain_graph=True)
    once = [p.grad.clone() for p in ours.parameters()]
    loss.backward(retain_graph=False)
    assert_same([p.grad for p in ours.parameters()], [2 * g for g in once])
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@every_cell
def test_strange_upstream_gradients(cell: str) -> None:
    """Expanded, transposed, and with a pending negation."""
    _, ours = make_pair(cell, dtype=torch.float64)
    x = draw_input(ours)
    noted = torch.randn(T, N, H, dtype=torch.complex128).conj().imag
    assert noted.is_neg()
    for dy in (
        torch.ones(()).double().expand(T, N, H),
        torch.randn(H, N, T).double().mT.mT.permute(2, 1, 0),
        noted,
        torch._neg_view(torch.randn(T, N, H).double()),  # contiguous as it is
    ):
        got = torch.autograd.grad(ours(x)[0], list(ours.parameters()), dy)
        plain = dy.resolve_neg().contiguous().clone()
        expected = torch.autograd.grad(ours(x)[0], list(ours.parameters()), plain)
        assert_same(list(got), list(expected))


@pytest.mark.parametrize("kind", ["padded", "unsorted", "lengths", "resets", "both"])
@pytest.mark.parametrize("batch_first", [False, True], ids=["T-N", "N-T"])
@every_cell
def test_second_derivatives(cell: str, batch_first: bool, kind: str) -> None:
    """Compare with finite differences, in every layout, with both directions.

    The first derivatives, from which they are taken, are those of the kernels.
    """
    module = getattr(fastrnn.torch, cell.upper())(
        2, 3, bidirectional=True, batch_first=batch_first, dtype=torch.float64
    )
    x = torch.randn((4, 3, 2) if not batch_first else (3, 4, 2), dtype=torch.float64)
    options: dict[str, Any] = {}
    if kind in ("lengths", "both"):
        options["lengths"] = torch.tensor([2, 4, 0])
    if kind in ("resets", "both"):
        options["resets"] = torch.rand(x.shape[:2]) < 0.4

    def run(x: Any, w: Any, h: Any) -> Any:
        weights = {"weight_hh_l0_reverse": w}
        fed = x
        if kind == "unsorted":
            fed = torch.nn.utils.rnn.pack_padded_sequence(
                x, [2, 4, 1], batch_first, enforce_sorted=False
            )
        hx = (h, h * 2) if cell == "lstm" else h
        results = torch.func.functional_call(module, weights, (fed, hx), options)
        return tuple(flatten(results))

    w = module.weight_hh_l0_reverse.detach().clone().requires_grad_()
    h = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    inputs = (x.requires_grad_(), w, h)
    outputs = run(*inputs)
    upstream = [torch.randn_like(a) for a in outputs]
    first = torch.autograd.grad(outputs, inputs, upstream, create_graph=True)
    expected = torch.autograd.grad(outputs, inputs, upstream)
    assert_same(list(first), list(expected))
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@every_cell
def test_gradient_penalty(cell: str) -> None:
    """A common use of second derivatives, against PyTorch."""
    theirs, ours = make_pair(cell, num_layers=2, dtype=torch.float64)

    def call(module: Any, x: Any, states: Any) -> Any:
        y, _ = module(x)
        (dx,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return dx.square().sum()

    x = draw_input(ours)
    assert_same(results_of(ours, call, x), results_of(theirs, call, x))


@pytest.mark.parametrize("reentrant", [False, True])
@every_cell
def test_checkpoint(cell: str, reentrant: bool) -> None:
    theirs, ours = make_pair(cell, num_layers=2, dropout=0.5, dtype=torch.float64)

    def call(module: Any, x: Any, states: Any) -> Any:
        return checkpoint(module, x, use_reentrant=reentrant)[0]

    x = draw_input(ours)
    assert_same(results_of(ours, call, x), results_of(theirs, call, x))


@every_cell
def test_saved_on_the_side(cell: str) -> None:
    """Hooks on saved tensors see all of them and may return others."""
    _, ours = make_pair(cell, dtype=torch.float64)
    x = draw_input(ours)
    packed = []

    def pack(a: Any) -> Any:
        packed.append(a.shape)
        return a.clone()

    def call(module: Any, x: Any, states: Any) -> Any:
        return module(x)

    expected = results_of(ours, call, x)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda a: a):
        got = results_of(ours, call, x)
    assert_same(got, expected)
    assert x.shape in packed


OPERATOR_TESTS = [
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    "test_aot_dispatch_static",
]
MODES = ["RNN_TANH", "RNN_RELU", "GRU", "GRU_BEFORE", "LSTM"]


def layer_arguments(mode: str, layout: str, requires_grad: bool) -> tuple[Any, ...]:
    torch.manual_seed(0)
    G = {"GRU": 3, "GRU_BEFORE": 3, "LSTM": 4}.get(mode, 1)
    lead = {"time": (T, N), "batch": (N, T), "packed": (17,)}[layout]
    shapes = [(*lead, I), (G * H, I), (G * H, H), (G * H,), (G * H,), (1, N, H)]
    tensors = [torch.randn(s, requires_grad=requires_grad) for s in shapes]
    c0 = torch.randn(1, N, H) if mode == "LSTM" else None
    lengths, resets = UNSORTED, torch.rand(lead) < 0.2
    if layout == "packed":
        lengths = torch.tensor([4, 3, 3, 2, 2, 2, 1])
    return (*tensors, c0, lengths, resets)


@pytest.mark.parametrize("layout", ["time", "batch", "packed"])
@pytest.mark.parametrize("mode", MODES)
def test_operators(mode: str, layout: str) -> None:
    """PyTorch's own check of operators: schema, fake, autograd, tracing."""
    tensors = layer_arguments(mode, layout, True)
    arguments = (mode, layout, True, False, *tensors)
    found = torch.library.opcheck(_ops.layer, arguments, test_utils=OPERATOR_TESTS)
    assert set(found.values()) == {"SUCCESS"}

    tensors = layer_arguments(mode, layout, False)
    y, h_n, c_n, gates, c = _ops.layer(mode, layout, True, True, *tensors)
    lstm = mode == "LSTM"
    upstream = [y, h_n, c_n if lstm else None, c if lstm else None]
    arguments = (mode, layout, True, 0b10111, *tensors, y, gates, c, *upstream)
    found = torch.library.opcheck(
        _ops.layer_backward, arguments, test_utils=OPERATOR_TESTS
    )
    assert set(found.values()) == {"SUCCESS"}


WRONG: dict[str, tuple[int, Any, type[Exception], str]] = {
    "mode": (0, "ELMAN", ValueError, "mode: expected one of"),
    "layout": (1, "rows", ValueError, "layout: expected 'time', 'batch' or 'packed'"),
    "x": (4, torch.zeros(T, N, I).half(), TypeError, "x: expected dtype float32 or"),
    "w_ih": (5, torch.zeros(24, I + 1), ValueError, r"w_ih: expected shape \(24, 5\)"),
    "w_hh": (6, torch.zeros(4, H), ValueError, "expected shape"),
    "b_ih": (7, torch.zeros(24).double(), TypeError, "b_ih: expected dtype"),
    "h0": (9, torch.zeros(1, N, 1), ValueError, r"h0: expected shape \(1, 4, 6\), got"),
    "lengths": (11, torch.tensor([9, 1, 1, 1]), ValueError, "lengths: length 9"),
    "resets": (12, torch.zeros(N, T).bool(), ValueError, "resets: expected the lead"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_operator_refuses(name: str) -> None:
    """Calling the operator directly gives no access beyond an array's end."""
    at, wrong, error, message = WRONG[name]
    tensors = layer_arguments("LSTM", "time", False)
    arguments: list[Any] = ["LSTM", "time", False, True, *tensors]
    arguments[at] = wrong
    with pytest.raises(error, match=message):
        _ops.layer(*arguments)


@pytest.mark.parametrize("wrong", [[3, 4, 10], [4, 3, 9], [6, 6, 5, 0], [4, 17, -4]])
def test_operator_refuses_batch_sizes(wrong: list[int]) -> None:
    arguments = list(layer_arguments("LSTM", "packed", False))
    arguments[5:7] = torch.zeros(2, 1, wrong[0], H)
    arguments[7:] = torch.tensor(wrong), None
    with pytest.raises(ValueError, match="batch_sizes: expected positive, not incr"):
        _ops.layer("LSTM", "packed", False, True, *arguments)


@every_cell
def test_nothing_stays(cell: str) -> None:
    """A graph without references is freed at once, not by the garbage collector."""
    _, ours = make_pair(cell)
    gc.disable()
    try:
        x = draw_input(ours).requires_grad_()
        outputs = flatten(ours(x))
        alive = [weakref.ref(a) for a in (x, *outputs)]
        weigh(outputs).backward()
        del x, outputs
        assert [a() for a in alive] == [None] * len(alive)
    finally:
        gc.enable()
