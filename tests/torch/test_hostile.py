"""Tensors of every kind in ``torch.ops.fastrnn``: a result, or an exception."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import fastrnn.torch  # noqa: E402
from fastrnn.torch import _ops  # noqa: E402
from tests.torch.comparing import H, I, N, T  # noqa: E402
from tests.torch.test_gradients import layer_arguments  # noqa: E402

REFUSED = (RuntimeError, TypeError, ValueError)
LAYER = ["x", "w_ih", "w_hh", "b_ih", "b_hh", "h0", "c0", "lengths", "resets"]
UPSTREAM = ["y", "gates", "c", "dy", "dh_n", "dc_n", "dc"]
REQUIRED = {"x", "w_ih", "w_hh", "y", "w", "target", "gates", "c"}


def freed(a: Any) -> Any:
    a = a.clone()
    a.untyped_storage().resize_(0)
    return a


def freed_view(a: Any) -> Any:
    whole = torch.cat([a.reshape(-1)] * 2)
    view = whole[a.numel() :].view(a.shape)
    whole.untyped_storage().resize_(0)
    return view


def shrunk(a: Any) -> Any:
    a = a.clone()
    a.untyped_storage().resize_(a.nbytes - a.element_size())
    return a


WRONG: dict[str, Callable[[Any], Any]] = {
    "freed": freed,
    "freed view": freed_view,
    "shrunk": shrunk,
    "meta": lambda a: a.to("meta"),
    "sparse": lambda a: a.to_sparse(),
    "0-d": lambda a: a.reshape(-1)[0],
    "empty": lambda a: a.reshape(-1)[:0],
    "one more axis": lambda a: a[None],
    "one more": lambda a: torch.cat([a, a[:1]]),
    "one less": lambda a: a[..., :-1],
    "complex": lambda a: torch.complex(a.double(), a.double()).conj(),
    "half": lambda a: a.half(),
}
RIGHT: dict[str, Callable[[Any], Any]] = {
    "negated": lambda a: torch._neg_view(-a),
    "strided": lambda a: torch.stack([a, a + 1], -1)[..., 0],
    "transposed": lambda a: a.mT.contiguous().mT if a.dim() > 1 else a,
    "offset": lambda a: torch.cat([a.new_zeros(3), a.reshape(-1)])[3:].view(a.shape),
}


class Operator:
    """An operator with right arguments: ``names`` are those of the tensors."""

    def __init__(self, run: Any, static: list[Any], tensors: list[Any], names: Any):
        self.run, self.static, self.tensors = run, static, tensors
        self.names = names

    def __call__(self, **others: Any) -> Any:
        tensors = [
            others.get(name, a)
            for name, a in zip(self.names, self.tensors, strict=True)
        ]
        return self.run(*self.static, *tensors)


def operators() -> Iterator[Any]:
    for mode in ("RNN_RELU", "GRU", "GRU_BEFORE", "LSTM"):
        for layout in ("time", "batch", "packed"):
            tensors = list(layer_arguments(mode, layout, False))
            if layout == "packed":
                tensors[0] = tensors[0][: int(tensors[7].sum())]
            static = [mode, layout, False, True]
            forward = Operator(_ops.layer, static, tensors, LAYER)
            yield pytest.param(forward, id=f"layer-{mode}-{layout}")
            y, h_n, c_n, gates, c = forward()
            lstm, gated = mode == "LSTM", mode != "RNN_RELU"
            tape = [y, *((gates, c) if gated else (None, None))]
            upstream = [y, h_n, c_n if lstm else None, c if lstm else None]
            back = Operator(
                _ops.layer_backward,
                [mode, layout, False, 31],
                [*tensors, *tape, *upstream],
                [*LAYER, *UPSTREAM],
            )
            yield pytest.param(back, id=f"backward-{mode}-{layout}")
    x, w, b = torch.randn(6, 5), torch.randn(9, 5), torch.randn(9)
    loss = Operator(
        lambda *tensors: torch.ops.fastrnn.linear_cross_entropy(
            *tensors, -100, "mean", 7
        ),
        [],
        [x, w, b, torch.arange(6)],
        ["x", "w", "b", "target"],
    )
    yield pytest.param(loss, id="linear_cross_entropy")


every_operator = pytest.mark.parametrize("operator", list(operators()))


@every_operator
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_tensors_are_refused(kind: str, operator: Operator) -> None:
    for name, a in zip(operator.names, operator.tensors, strict=True):
        if a is None or (kind == "half" and not a.is_floating_point()):
            continue
        if kind == "complex" and name == "resets":
            continue
        with pytest.raises(REFUSED):
            operator(**{name: WRONG[kind](a)})


@every_operator
@pytest.mark.parametrize("kind", RIGHT)
def test_other_forms_of_the_same_numbers(kind: str, operator: Operator) -> None:
    expected = operator()
    for name, a in zip(operator.names, operator.tensors, strict=True):
        if a is None or (kind == "negated" and not a.is_floating_point()):
            continue
        if kind == "strided" and not a.is_floating_point():
            continue
        for found, right in zip(
            operator(**{name: RIGHT[kind](a)}), expected, strict=True
        ):
            assert torch.equal(found, right), name


@every_operator
def test_missing_tensors_are_refused(operator: Operator) -> None:
    for name in REQUIRED.intersection(operator.names):
        if operator.tensors[operator.names.index(name)] is None:
            continue
        with pytest.raises(REFUSED, match=rf"{name}.*: expected"):
            operator(**{name: None})


@pytest.mark.parametrize("mode", ["RNN_TANH", "GRU", "LSTM"])
def test_sizes_of_zero(mode: str) -> None:
    zeros = [torch.zeros(s) for s in [(T, N, I), (0, I), (0, 0), (0,), (0,)]]
    with pytest.raises(ValueError, match="expected I, H >= 1, got I = 5, H = 0"):
        _ops.layer(mode, "time", False, True, *zeros, None, None, None, None)
    with pytest.raises(ValueError, match="expected I, H >= 1"):
        _ops.layer(
            mode, "time", False, True, torch.zeros(T, N, 0), torch.zeros(24, 0),
            torch.zeros(24, 6), None, None, None, None, None, None,
        )  # fmt: skip


@pytest.mark.parametrize("wanted", [-1, 32, 2**40])
def test_bits_of_wanted(wanted: int) -> None:
    tensors = layer_arguments("RNN_TANH", "time", False)
    y = torch.zeros(T, N, H)
    with pytest.raises(ValueError, match="wanted: expected 5 bits"):
        _ops.layer_backward("RNN_TANH", "time", False, wanted, *tensors, y, *[None] * 6)


@pytest.mark.parametrize(
    "wrong",
    [
        torch.tensor(3),
        torch.zeros(0, dtype=torch.long),
        torch.tensor([2.0, 1.0]),
        torch.tensor([2**62, 2**62, 2**62, 2**62, 3]),
        torch.tensor([[2, 1]]),
    ],
)
def test_batch_sizes_of_other_kinds(wrong: Any) -> None:
    arguments = list(layer_arguments("LSTM", "packed", False))
    arguments[0] = arguments[0][:3]
    arguments[7:] = wrong, None
    with pytest.raises(REFUSED, match="batch_sizes: expected"):
        _ops.layer("LSTM", "packed", False, True, *arguments)


@pytest.mark.parametrize("layout", ["time", "packed"])
def test_indices_written_to_meanwhile(layout: str) -> None:
    """They are copied before they are checked, in forward and backward."""
    tensors = list(layer_arguments("LSTM", layout, False))
    lengths = tensors[7] = tensors[7].clone()
    right = lengths.clone()
    done = threading.Event()
    view = lengths.numpy()  # not seen by autograd

    def write() -> None:
        while not done.is_set():
            view[0] = 2**40
            view[:] = right.numpy()

    inputs = [a.requires_grad_() if i < 7 else a for i, a in enumerate(tensors)]
    writer = threading.Thread(target=write)
    writer.start()
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            with contextlib.suppress(ValueError):
                y, h_n, *_ = _ops.layer("LSTM", layout, False, True, *inputs)
                (y.sum() + h_n.sum()).backward()
    finally:
        done.set()
        writer.join()


@pytest.mark.parametrize("through", ["module", "training"])
def test_modules_whose_memory_was_given_back(through: str) -> None:
    """As sharded training does between calls."""
    module = fastrnn.torch.LSTM(I, H, num_layers=2)
    x = torch.randn(T, N, I, requires_grad=through == "training")
    module.weight_hh_l1.untyped_storage().resize_(0)
    with (
        torch.set_grad_enabled(through == "training"),
        pytest.raises(RuntimeError, match="w_hh: expected a tensor that has its mem"),
    ):
        module(x)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_no_rows(cell: str, batch_first: bool) -> None:
    options: dict[str, Any] = {"num_layers": 2, "bidirectional": True}
    ours = getattr(fastrnn.torch, cell)(I, H, batch_first=batch_first, **options)
    shape = (0, T, I) if batch_first else (T, 0, I)
    for extras in ({}, {"lengths": []}, {"lengths": [], "resets": torch.zeros(shape[:2])
                                         .bool()}):  # fmt: skip
        x = torch.zeros(shape, requires_grad=True)
        y, state = ours(x, **extras)
        assert y.shape == (*shape[:2], 2 * H)
        states = state if cell == "LSTM" else (state,)
        assert all(s.shape == (4, 0, H) for s in states)
        ours.zero_grad()
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.shape == shape
        assert all(not p.grad.any() for p in ours.parameters())
