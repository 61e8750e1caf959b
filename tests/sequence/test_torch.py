"""The reference against PyTorch in float64: both directions, lengths, losses."""

from typing import Any

import numpy as np
import pytest

from tests.problems import WEIGHTS, Problem, make_problem

torch = pytest.importorskip("torch")

# Sums of at most some hundred terms near 1, in another order.
TOLERANCE = 1e-12


def tensor(a: Any) -> Any:
    return torch.tensor(a, requires_grad=a.dtype.kind == "f")


def make_layer(problems: tuple[Problem, Problem]) -> Any:
    """Return a bidirectional layer that holds the weights of both problems."""
    p = problems[0]
    options = {}
    if p.cell == "rnn":
        options["nonlinearity"] = p.options["nonlinearity"]
    layer = getattr(torch.nn, p.cell.upper())(
        p.arrays["w_ih"].shape[1],
        p.arrays["w_hh"].shape[1],
        bidirectional=True,
        dtype=torch.float64,
        **options,
    )
    weights = [p.arrays[name] for p in problems for name in WEIGHTS]
    for parameter, a in zip(layer.parameters(), weights, strict=True):
        parameter.data[...] = torch.tensor(a)
    return layer


def inputs_of(p: Problem, x: Any, table: Any) -> Any:
    if table is not None:
        return torch.nn.functional.embedding(x, table)
    if x.dtype == torch.int64:
        return torch.nn.functional.one_hot(x, p.arrays["w_ih"].shape[1]).double()
    return x


@pytest.mark.parametrize("ragged", [False, True], ids=["dense", "packed"])
@pytest.mark.parametrize("kind", ["floating", "onehot", "embedding"])
@pytest.mark.parametrize(
    ("cell", "nonlinearity"),
    [("rnn", "tanh"), ("rnn", "relu"), ("gru", "tanh"), ("lstm", "tanh")],
)
def test_both_directions(
    cell: str, nonlinearity: str, kind: str, ragged: bool, module: Any
) -> None:
    """Two calls, one reversed, are PyTorch's bidirectional layer, backward too."""
    pair = tuple(
        make_problem(
            cell, kind=kind, nonlinearity=nonlinearity, reverse=bool(d), seed=d
        )
        for d in range(2)
    )
    shared = {k: pair[0].arrays[k] for k in ("x", "embedding") if k in pair[0].arrays}
    if ragged:
        shared["lengths"] = np.array([3, 6, 1, 4])  # PyTorch takes no length of 0
    states = ("h", "c") if cell == "lstm" else ("h",)

    # PyTorch.
    layer = make_layer(pair)
    x, table = tensor(shared["x"]), None
    if kind == "embedding":
        table = tensor(shared["embedding"])
    initial = [tensor(np.stack([p.arrays[f"{s}0"] for p in pair])) for s in states]
    fed = inputs_of(pair[0], x, table)
    if ragged:
        fed = torch.nn.utils.rnn.pack_padded_sequence(
            fed, torch.tensor(shared["lengths"]), enforce_sorted=False
        )
    out, final = layer(fed, tuple(initial) if cell == "lstm" else initial[0])
    final = final if cell == "lstm" else (final,)
    if ragged:
        out, _ = torch.nn.utils.rnn.pad_packed_sequence(out)
    dy = np.concatenate([p.upstream["dy"] for p in pair], axis=-1)
    upstream = [np.stack([p.upstream[f"d{s}_n"] for p in pair]) for s in states]
    loss = (out * torch.tensor(dy)).sum()
    for a, da in zip(final, upstream, strict=True):
        loss = loss + (a * torch.tensor(da)).sum()
    loss.backward()

    # Ours.
    y, dx = [], 0
    gradients = iter(layer.parameters())
    for d, p in enumerate(pair):
        y_d, final_d, tape = p.forward(module, **shared)
        grads = p.backward(module, tape)
        y.append(y_d)
        if kind != "onehot":
            dx = dx + (grads.dembedding if kind == "embedding" else grads.dx)
        for a, b in zip(final_d, final, strict=True):
            close(a, b[d])
        for name in WEIGHTS:
            close(getattr(grads, f"d{name}"), next(gradients).grad)
        for s, a in zip(states, initial, strict=True):
            close(getattr(grads, f"d{s}0"), a.grad[d])
    close(np.concatenate(y, axis=-1), out)
    if kind != "onehot":
        close(dx, (x if table is None else table).grad)


def close(got: Any, expected: Any) -> None:
    expected = expected.detach().numpy()
    scale = 1 + np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE * scale)


def test_linear(module: Any) -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.random((3, 4, 5)), rng.random((6, 5)), rng.random(6)
    dy = rng.random((3, 4, 6))
    tensors = [tensor(a) for a in (x, w, b)]
    out = torch.nn.functional.linear(*tensors)
    out.backward(torch.tensor(dy))
    close(module.linear_forward(x, w, b), out)
    for got, expected in zip(module.linear_backward(x, w, dy), tensors, strict=True):
        close(got, expected.grad)


@pytest.mark.parametrize("scale", [1, 1e4])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignore_index", [-100, 2])
def test_cross_entropy(
    ignore_index: int, reduction: str, scale: float, module: Any
) -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((5, 4, 3)) * scale
    w, b = rng.standard_normal((7, 3)), rng.standard_normal(7)
    targets = rng.integers(0, 7, (5, 4))
    targets[1, 2] = ignore_index
    tensors = [tensor(a) for a in (y, w, b)]
    logits = torch.nn.functional.linear(*tensors)
    expected = torch.nn.functional.cross_entropy(
        logits.reshape(20, 7),
        torch.tensor(targets).reshape(20),
        ignore_index=ignore_index,
        reduction=reduction,
    )
    expected.sum().backward()
    loss, grads = module.linear_cross_entropy(
        y, w, b, targets, ignore_index=ignore_index, reduction=reduction
    )
    assert np.shape(loss) == ((5, 4) if reduction == "none" else ())
    close(np.ravel(loss), expected.reshape(-1))
    for got, a in zip(grads, tensors, strict=True):
        close(got, a.grad)
    alone, nothing = module.linear_cross_entropy(
        y, w, b, targets,
        ignore_index=ignore_index, reduction=reduction, training=False,
    )  # fmt: skip
    assert nothing is None
    np.testing.assert_array_equal(alone, loss)


def test_all_targets_ignored(module: Any) -> None:
    """The mean of nothing is NaN, as in PyTorch; its gradients are 0."""
    y, w, b = np.ones((2, 3)), np.ones((4, 3)), np.ones(4)
    loss, grads = module.linear_cross_entropy(y, w, b, [-100, -100])
    assert np.isnan(loss)
    assert np.isnan(
        torch.nn.functional.cross_entropy(
            torch.ones(2, 4), torch.tensor([-100, -100])
        ).item()
    )
    for a in grads:
        assert not a.any()
