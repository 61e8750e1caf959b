"""Random calls whose results are known: from the reference, or from other calls.

Each check draws a case, counts the public calls that it makes, and raises
`AssertionError` if a result is wrong.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

import fastrnn
from fastrnn import data, reference, text
from tests.comparing import assert_same_bits
from tests.layers import arguments_of, as_tuple, class_of
from tests.linear.problems import call_linear, call_loss, double
from tests.problems import CELLS, GATES, KINDS, VARIANTS, Problem, make_problem

Calls = Counter[str]


def require_near(got: dict[str, Any], expected: dict[str, Any], terms: float) -> None:
    """Compare as `tests.comparing.assert_near` does, in a fraction of the time."""
    assert got.keys() == expected.keys()
    for name, a in got.items():
        b = expected[name]
        assert a.shape == b.shape, name
        if a.size:
            most = np.abs(b).max()
            eps = np.finfo(a.dtype).eps
            tolerance = 4 * eps * (8 + terms + np.sqrt(terms) * most)
            worst = np.abs(a - b).max()
            assert worst <= tolerance, f"{name}: {worst} > {tolerance}"


def draw_problem(rng: random.Random, variant: str, **fixed: Any) -> Problem:
    yes = lambda: rng.random() < 0.5  # noqa: E731
    # In float32 a sum within a rounding of 0 may fall on the other side of relu's kink.
    dtypes = (np.float64,) if variant == "rnn-relu" else (np.float32, np.float64)
    options = {
        "T": rng.choice((0, 1, 2, 3, 5)),
        "N": rng.choice((0, 1, 2, 3, 4, 9)),
        "I": rng.randint(1, 9),
        "H": rng.choice((1, 2, 3, 7, 8, 9, 17)),
        "V": rng.randint(1, 9),
        "dtype": rng.choice(dtypes),
        "kind": rng.choice(KINDS),
        "padding": rng.choice((None, "right", "left")),
        "resets": yes(),
        "reverse": yes(),
        "recurrent_mask": yes(),
        "zoneout": yes(),
        "seed": rng.getrandbits(32),
    }
    problem = make_problem(variant, **{**options, **fixed}).contracting()
    return problem._replace(
        arrays=without_some(rng, problem.arrays, ("b_ih", "b_hh", "h0", "c0")),
        upstream=without_some(rng, problem.upstream, tuple(problem.upstream)),
    )


def without_some(
    rng: random.Random, arrays: dict[str, Any], optional: tuple[str, ...]
) -> dict[str, Any]:
    """Return arrays of any layout, some of them missing."""
    return {
        name: laid_out(rng, a)
        for name, a in arrays.items()
        if name not in optional or rng.random() < 0.7
    }


def laid_out(rng: random.Random, a: Any) -> Any:
    """Return the same values, now and then in another order in memory."""
    which = rng.randrange(12)
    if which == 0:
        return np.asfortranarray(a)
    if which == 1:
        return a[::-1].copy()[::-1]
    if which == 2:
        return np.repeat(a, 2, axis=-1)[..., ::2]
    return a


def sequence(rng: random.Random, calls: Calls) -> None:
    """Compare a forward and a backward function with the reference in float64."""
    problem = draw_problem(rng, rng.choice(VARIANTS))
    cell = problem.cell
    for prefix in ("", "reference."):
        calls.update([f"{prefix}{cell}_forward", f"{prefix}{cell}_backward"])
    expected = problem.converted(np.float64).run(reference)
    require_near(problem.run(fastrnn), expected, problem.terms())


def layer(rng: random.Random, calls: Calls) -> None:
    """Compare a layer with the function, with itself in eval mode, and a stepper."""
    cell = rng.choice(CELLS)
    problem = draw_problem(rng, cell, kind="floating", recurrent_mask=False,
                           zoneout=False, reverse=False)  # fmt: skip
    x = problem.arrays["x"]
    H = len(problem.arrays["w_hh"]) // GATES[cell]
    made = class_of(cell)(x.shape[2], H, dtype=x.dtype, seed=rng.getrandbits(16))
    cell = problem.cell
    options = {k: problem.options[k] for k in ("lengths", "padding", "resets")
               if k in problem.options}  # fmt: skip
    y, _ = made(x, **options)
    given = arguments_of(made)
    expected = getattr(fastrnn, f"{cell}_forward")(x, **given, **options)
    name = type(made).__name__
    calls.update([name, f"{name}.__call__", f"{cell}_forward"])
    assert_same_bits(y, expected[0], "y")
    dy = problem.upstream.get("dy")
    if dy is not None and dy.shape[2] != made.output_size:
        dy = None
    dx, _ = made.backward(dy)
    grads = getattr(fastrnn, f"{cell}_backward")(expected[2], dy)
    assert_same_bits(dx, grads.dx, "dx")
    assert_same_bits(made.grads["weight_hh_l0"], grads.dw_hh, "dw_hh")
    calls.update([f"{name}.backward", f"{cell}_backward"])
    again, last = made.eval()(x, **options)
    assert_same_bits(again, y, "y in eval mode")
    calls.update([f"{name}.eval", f"{name}.__call__"])
    if not options and x.size:
        stepper = fastrnn.Stepper(made, rows=x.shape[1])
        for x_t, y_t in zip(x, y, strict=True):
            assert_same_bits(stepper.step(np.ascontiguousarray(x_t)), y_t, "step")
        for a, b in zip(as_tuple(stepper.state), as_tuple(last), strict=True):
            assert_same_bits(a, b, "state")
        calls.update(["Stepper", *["Stepper.step"] * len(x)])


def linear(rng: random.Random, calls: Calls) -> None:
    dtype = rng.choice((np.float32, np.float64))
    rows, I, O = rng.randrange(20), rng.randint(1, 20), rng.randint(1, 20)  # noqa: E741
    draw = np.random.default_rng(rng.getrandbits(32)).standard_normal
    shapes = ((rows, I), (O, I), (O,), (rows, O))
    arrays = [laid_out(rng, draw(shape).astype(dtype)) for shape in shapes]
    bias = rng.random() < 0.5
    expected = call_linear(reference, double(arrays), bias)
    require_near(call_linear(fastrnn, arrays, bias), expected, max(rows, I, O))
    for prefix in ("", "reference."):
        calls.update([f"{prefix}linear_forward", f"{prefix}linear_backward"])


def loss(rng: random.Random, calls: Calls) -> None:
    dtype = rng.choice((np.float32, np.float64))
    rows, H, V = rng.randrange(20), rng.randint(1, 9), rng.randint(1, 300)
    generator = np.random.default_rng(rng.getrandbits(32))
    y, w, b = (
        laid_out(rng, generator.standard_normal(shape).astype(dtype))
        for shape in ((rows, H), (V, H), (V,))
    )
    targets = generator.integers(0, V, rows)
    targets[generator.random(rows) < 0.2] = -100
    reduction = "sum" if (targets < 0).all() else rng.choice(("mean", "sum", "none"))
    arguments = [y, w, b, targets]
    expected = call_loss(reference, double(arguments), reduction=reduction)
    got = call_loss(fastrnn, arguments, reduction=reduction)
    require_near(got, expected, 8 * (H + V + rows))
    calls.update(["linear_cross_entropy", "reference.linear_cross_entropy"])


def streams(rng: random.Random, calls: Calls) -> None:
    lengths = [rng.randrange(6) for _ in range(rng.randint(1, 9))]
    sequences = [[rng.randrange(1, 99) for _ in range(n)] for n in lengths]
    packed = data.pack_streams(sequences, rng.randint(1, 4), dtype=np.int64)
    for k, one in enumerate(sequences):
        start, row = packed.starts[k], packed.rows[k]
        assert packed.x[start : start + len(one), row].tolist() == one
    x, found = data.pad_sequences(sequences, value=-1, dtype=np.int64)
    assert found.tolist() == lengths
    assert (x == -1).sum() == x.size - sum(lengths)
    batches = data.bucket_batches(lengths, rng.randint(1, 9), seed=rng.getrandbits(32))
    assert sorted(int(i) for b in batches for i in b) == list(range(len(lengths)))
    calls.update(["data.pack_streams", "data.pad_sequences", "data.bucket_batches"])


def vocabulary(rng: random.Random, calls: Calls) -> None:
    letters = [
        chr(rng.choice((97, 0x400, 0x1F600)) + rng.randrange(9)) for _ in "12345"
    ]
    written = "".join(rng.choices(letters, k=rng.randint(1, 30)))
    made = text.Vocabulary(written, eos=rng.random() < 0.5)
    d = made.state_dict()
    rng.shuffle(d["tokens"])
    for one in (made, text.Vocabulary.from_state_dict(d)):
        assert one.decode(one.encode(written)) == written
    logits = np.array([rng.gauss(0, 3) for _ in letters])
    chosen = text.choose(logits, rng.getrandbits(32), top_k=1)
    assert chosen == logits.argmax() == text.choose(logits, temperature=0)
    names = ("encode", "decode", "state_dict", "from_state_dict", "encode", "decode")
    calls.update([f"text.Vocabulary.{name}" for name in names])
    calls.update(["text.Vocabulary", "text.choose", "text.choose"])


CHECKS: dict[Callable[[random.Random, Calls], None], float] = {
    sequence: 5,
    layer: 2,
    linear: 2,
    loss: 1,
    streams: 1,
    vocabulary: 1,
}
