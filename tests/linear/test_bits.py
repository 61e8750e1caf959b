"""The linear layer and the loss: results that must be the same to the last bit."""

from typing import Any

import numpy as np
import pytest

from tests.comparing import assert_same_bits
from tests.implementations import FMA_ISAS, Compiled, every_dtype, every_isa
from tests.linear.problems import (
    call_linear,
    call_loss,
    draw_linear,
    draw_loss,
    every_linear,
    every_loss,
)
from tests.threads import run_as_team


@every_dtype
@pytest.mark.parametrize("isa", FMA_ISAS[1:])
@every_linear
def test_linear_on_every_instruction_set(size: Any, isa: str, dtype: Any) -> None:
    arrays = draw_linear(size, dtype)
    expected = call_linear(Compiled(FMA_ISAS[0]), arrays)
    assert_same_bits(call_linear(Compiled(isa), arrays), expected)


@every_dtype
@pytest.mark.parametrize("isa", FMA_ISAS[1:])
@every_loss
def test_loss_on_every_instruction_set(size: Any, isa: str, dtype: Any) -> None:
    arguments = draw_loss(size, dtype)
    arguments[3][::5] = -100
    expected = call_loss(Compiled(FMA_ISAS[0]), arguments)
    assert_same_bits(call_loss(Compiled(isa), arguments), expected)


@pytest.mark.parametrize("threads", [2, 3, 5])
@every_dtype
@every_isa
@pytest.mark.parametrize("kind", ["linear", "loss"])
def test_every_number_of_threads(kind: str, isa: str, dtype: Any, threads: int) -> None:
    """Use sizes that start a team of threads and do not divide evenly."""
    if kind == "linear":
        call, arguments = call_linear, draw_linear((301, 67, 131), dtype)
    else:
        call, arguments = call_loss, draw_loss((301, 33, 1100), dtype)
        arguments[3][::5] = -100
    expected = call(Compiled(isa), arguments)
    module = Compiled(isa, threads)
    got = run_as_team(lambda: call(module, arguments), threads)
    assert_same_bits(got, expected)


def test_small_calls_keep_to_one_thread() -> None:
    arrays = draw_linear((20, 33, 33), np.float32)
    arguments = draw_loss((20, 33, 100), np.float32)
    run_as_team(lambda: call_linear(Compiled(threads=4), arrays), 1)
    run_as_team(lambda: call_loss(Compiled(threads=4), arguments), 1)


def test_more_threads_than_work_to_share() -> None:
    arguments = draw_loss((1500, 500, 2), np.float32)
    expected = call_loss(Compiled(), arguments)
    assert_same_bits(call_loss(Compiled(threads=9), arguments), expected)
    arrays = draw_linear((100_000, 3, 7), np.float32)
    expected = call_linear(Compiled(), arrays)
    assert_same_bits(call_linear(Compiled(threads=9), arrays), expected)


@every_dtype
@every_isa
def test_a_row_does_not_depend_on_the_others(isa: str, dtype: Any) -> None:
    module = Compiled(isa)
    x, w, b, dy = draw_linear((150, 19, 35), dtype)
    y, targets = x[:, :17].copy(), np.random.default_rng(0).integers(0, 300, 150)
    u, v = draw_loss((1, 17, 300), dtype)[1:3]
    whole = module.linear_forward(x, w, b)
    dx = module.linear_backward(x, w, dy).dx
    options: Any = {"reduction": "none"}
    losses, grads = module.linear_cross_entropy(y, u, v, targets, **options)
    for rows in ([0], [149], [3, 70], list(range(20, 50))):
        assert_same_bits(module.linear_forward(x[rows], w, b), whole[rows])
        assert_same_bits(module.linear_backward(x[rows], w, dy[rows]).dx, dx[rows])
        loss, found = module.linear_cross_entropy(
            y[rows], u, v, targets[rows], **options
        )
        assert_same_bits(loss, losses[rows])
        assert_same_bits(found.dy, grads.dy[rows])


@every_dtype
@every_isa
@every_loss
def test_no_gradients(size: Any, isa: str, dtype: Any) -> None:
    arguments = draw_loss(size, dtype)
    expected = call_loss(Compiled(isa), arguments, reduction="none")
    got = call_loss(Compiled(isa), arguments, reduction="none", training=False)
    assert got.keys() == {"loss"}
    assert_same_bits(got["loss"], expected["loss"])


@every_dtype
@every_isa
def test_layouts_and_inputs(isa: str, dtype: Any) -> None:
    """Any layout gives the same bits, and inputs are not written to."""
    for call, given in (
        (call_linear, draw_linear((130, 9, 35), dtype)),
        (call_loss, draw_loss((130, 9, 300), dtype)),
    ):
        expected = call(Compiled(isa), given)
        strange = [np.asfortranarray(a)[::-1] for a in given]
        before = [a.copy() for a in strange]
        for a in strange:
            a.flags.writeable = False
        plain = [np.ascontiguousarray(a) for a in strange]
        assert_same_bits(call(Compiled(isa), strange), call(Compiled(isa), plain))
        for a, b in zip(strange, before, strict=True):
            assert_same_bits(a, b)
        again = call(Compiled(isa), given)
        assert_same_bits(again, expected)
        for name, a in again.items():
            assert not any(np.shares_memory(a, b) for b in [expected[name], *given])
