"""PyTorch in float64: both directions, all kinds of input, lengths."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.problems import KINDS, WEIGHTS, Problem, make_problem

torch = pytest.importorskip("torch")

# Sums of at most a few hundred terms near 1, in another order.
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


@pytest.mark.parametrize(
    ("cell", "nonlinearity"),
    [("rnn", "tanh"), ("rnn", "relu"), ("gru", "tanh"), ("lstm", "tanh")],
)
@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    ragged=st.booleans(),
    size=st.tuples(*(st.integers(1, most) for most in (12, 20, 35, 40))),
    seed=st.integers(0, 2**32 - 1),
)
def test_both_directions(
    cell: str,
    nonlinearity: str,
    module: Any,
    kind: str,
    ragged: bool,
    size: Any,
    seed: int,
) -> None:
    """Two calls, one reversed, are PyTorch's bidirectional layer, backward too."""
    pair = tuple(
        make_problem(
            cell,
            *size,
            kind=kind,
            nonlinearity=nonlinearity,
            reverse=bool(d),
            seed=[seed, d],
        )
        for d in range(2)
    )
    shared = {k: pair[0].arrays[k] for k in ("x", "embedding") if k in pair[0].arrays}
    if ragged:
        T, N = size[:2]
        lengths = np.random.default_rng(seed).integers(
            1, T + 1, N
        )  # none 0, for PyTorch
        shared["lengths"] = np.maximum(lengths, [T] + [1] * (N - 1))
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
