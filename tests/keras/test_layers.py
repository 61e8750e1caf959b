"""Each option and each mask, against Keras's own code: outputs and all gradients."""

import sys
from typing import Any

import pytest

keras = pytest.importorskip("keras", exc_type=ImportError)
torch = pytest.importorskip("torch")
if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

from keras import layers  # noqa: E402

from tests.keras.comparing import (  # noqa: E402
    CELLS,
    MASKS,
    H,
    I,
    N,
    T,
    assert_same,
    compare,
    counting,
    draw,
    make,
    new,
    randomise,
    results_of,
    states_for,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own
every_cell = pytest.mark.parametrize("cell", CELLS)


@pytest.fixture
def _precise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Keras's cells multiply in float64: on torch, theirs is in float32."""
    ops = sys.modules[layers.LSTMCell.__module__].ops  # type: ignore[attr-defined]

    def matmul(a: Any, b: Any) -> Any:
        return torch.matmul(a, getattr(b, "value", b))

    monkeypatch.setattr(ops, "matmul", matmul)


@every_cell
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [*((kind, "float64") for kind in MASKS), ("none", "float32"), ("holes", "float32")],
)
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("outputs", ["last", "last-zero", "all", "all-zero"])
@pytest.mark.usefixtures("_precise")
def test_options_and_masks(
    cell: str, kind: str, dtype: str, backwards: bool, outputs: str
) -> None:
    layer = make(
        cell,
        dtype,
        return_sequences="all" in outputs,
        zero_output_for_mask="zero" in outputs,
        return_state=True,
        go_backwards=backwards,
    )
    x, mask = draw(0, N, T, I, dtype=dtype), MASKS[kind]
    compare(layer, x, states_for(layer, dtype), mask=mask)


@every_cell
@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"trainable": False}])
def test_without_states(cell: str, options: Any) -> None:
    compare(make(cell, **options), draw(0, N, T, I))


def test_relu() -> None:
    compare(make("SimpleRNN", activation="relu"), draw(0, N, T, I), mask=MASKS["left"])


@every_cell
@pytest.mark.parametrize("kind", ["none", "holes"])
def test_dropout_of_inputs_draws_as_keras_does(cell: str, kind: str) -> None:
    layer = make(cell, dropout=0.4, seed=3, return_sequences=True)
    x, mask = draw(0, N, T, I), MASKS[kind]
    compare(layer, x, mask=mask, training=True)
    compare(layer, x, mask=mask, training=False)


@pytest.mark.parametrize("kind", ["none", "left", "holes"])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize(
    ("cell", "merge"),
    [("SimpleRNN", "ave"), ("GRU", "mul"), ("GRU-before", "sum"), ("LSTM", "concat"),
     ("LSTM", None)],
)  # fmt: skip
def test_bidirectional(
    cell: str, merge: str | None, kind: str, sequences: bool
) -> None:
    inner = new(cell, return_sequences=sequences, return_state=True)
    layer = layers.Bidirectional(inner, merge_mode=merge)
    layer.build((N, T, I))
    compare(randomise(layer), draw(0, N, T, I), mask=MASKS[kind])


@every_cell
@pytest.mark.parametrize("kind", ["none", "left"])
def test_stateful(cell: str, kind: str) -> None:
    """A batch goes on where the one before ended, and its gradient stops there.

    Compared with a layer that is given its states, since without a mask Keras's own
    LSTM and GRU cannot be trained this way on torch: they write into what is saved.
    """
    layer, other = make(cell, stateful=True), make(cell, return_state=True)
    states = [torch.zeros_like(a) for a in states_for(layer)]
    for k in range(3):
        x, mask = draw(k, N, T, I), MASKS[kind]
        (_, *finals), _ = results_of(other, x, states, mask=mask)
        given = {"initial_state": states, "mask": mask}
        expected = other(x, **given)[0]
        want = torch.autograd.grad(expected.sum(), list(values(other)))
        with counting() as served:
            found = layer(x, mask=mask)
            grads = torch.autograd.grad(found.sum(), list(values(layer)))
        assert served == [True]
        assert_same([found.detach()], [expected.detach()], 2e-5)
        assert_same(grads, want, 2e-4)
        assert_same([s.value for s in layer.states], finals, 2e-5)
        states = finals
    layer.reset_state()
    assert all((s.value == 0).all() for s in layer.states)


def values(layer: Any) -> Any:
    return (v.value for v in layer.trainable_variables)


@pytest.mark.parametrize("kind", ["none", "holes"])
@pytest.mark.parametrize("cell", ["GRU", "GRU-before"])
def test_second_derivatives(cell: str, kind: str) -> None:
    layer = make(cell, "float64")
    x = draw(0, N, T, I, dtype="float64").requires_grad_()
    with counting() as served:
        assert torch.autograd.gradgradcheck(
            lambda a: layer(a, mask=MASKS[kind]), x, fast_mode=True
        )
    assert all(served)


@every_cell
def test_inference_keeps_no_graph(cell: str) -> None:
    layer, x = make(cell), draw(0, N, T, I)
    expected = layer(x).detach()
    with counting() as served, torch.no_grad():
        found = layer(x)
    assert served == [True]
    assert not found.requires_grad
    assert_same([found], [expected], 2e-5)


@every_cell
def test_integers_are_inputs(cell: str) -> None:
    layer, x = make(cell), torch.arange(N * T * I).reshape(N, T, I) % 3
    expected = layer(x).detach()
    with counting() as served:
        found = layer(x).detach()
    assert served == [True]
    assert_same([found], [expected], 2e-5)


LEFT = {
    "unroll": ("LSTM", {"unroll": True}),
    "activation": ("GRU", {"activation": "relu"}),
    "leaky": ("SimpleRNN", {"activation": "sigmoid"}),
    "recurrent_activation": ("LSTM", {"recurrent_activation": "hard_sigmoid"}),
    "recurrent_dropout": ("LSTM", {"recurrent_dropout": 0.3, "seed": 1}),
    "implementation": (
        "GRU",
        {"dropout": 0.3, "implementation": 1, "use_cudnn": False},
    ),
    "all dropped": ("LSTM", {"dropout": 1.0}),
    "dtype": ("LSTM", {"dtype": "float16", "recurrent_initializer": "zeros"}),
    "mixed": ("GRU", {"dtype": "mixed_bfloat16"}),
}


@pytest.mark.parametrize("name", LEFT)
def test_other_options_run_keras(name: str) -> None:
    cell, options = LEFT[name]
    layer = getattr(keras.layers, cell)(H, **options)
    layer.build((N, T, I))
    x = draw(0, N, T, I)
    options = {"mask": MASKS["holes"], "training": True}
    expected = results_of(layer, x, **options)
    with counting() as served:
        found = results_of(layer, x, **options)
    assert not any(served)
    for a, b in zip(found, expected, strict=True):
        assert_same(a, b, 0.0)


@every_cell
def test_recurrent_dropout_is_served_in_inference(cell: str) -> None:
    layer = make(cell, recurrent_dropout=0.3)
    compare(layer, draw(0, N, T, I), mask=MASKS["holes"])


@every_cell
def test_errors_are_those_of_keras(cell: str) -> None:
    layer = make(cell)
    bad: list[tuple[Any, dict[str, Any]]] = [
        (draw(0, N, T, I + 1), {}),
        (draw(0, N, I), {}),
        (draw(0, N, T, I), {"initial_state": [draw(0, N, H + 1)] * 2}),
    ]
    for x, options in bad:
        with pytest.raises(Exception) as theirs:  # noqa: PT011 - of whatever type
            layer(x, **options)
        with counting(), pytest.raises(theirs.type):
            layer(x, **options)


def test_no_steps() -> None:
    layer = make("LSTM")
    with counting() as served, pytest.raises((IndexError, ValueError)):
        layer(draw(0, N, 0, I))
    assert not any(served)


def test_masks_of_numbers() -> None:
    layer, x = make("LSTM"), draw(0, N, T, I)
    expected = layer(x, mask=MASKS["left"]).detach()
    with counting() as served:
        found = layer(x, mask=MASKS["left"].float()).detach()
    assert served == [True]
    assert_same([found], [expected], 2e-5)


def test_masked_inputs_are_not_read() -> None:
    """Not a number on a masked step harms neither outputs nor gradients."""
    layer, x, mask = make("LSTM"), draw(0, N, T, I), MASKS["holes"]
    x[~mask] = torch.nan
    with counting():
        outputs, grads = results_of(layer, x, mask=mask)
    assert all(torch.isfinite(a).all() for a in (*outputs, *grads))
