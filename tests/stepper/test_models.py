"""`fastrnn.Stepper` of whole models: bits, states, locks, refusals, copies, Cython."""

import copy
import gc
import pickle
import shutil
import threading
from typing import Any

import numpy as np
import pytest

import fastrnn
from benchmarks.cython_loop import build_step_loop
from tests.comparing import assert_same_bits
from tests.errors import raises
from tests.implementations import ISAS, every_dtype, every_isa, using
from tests.layers import as_tuple, class_of
from tests.problems import CELLS
from tests.stepper.test_parameters import step_round
from tests.threads import run_as_team

V, T = 11, 5
STALE = r"Stepper: expected the layer's parameters as they were packed, got changed"
ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu")


def fill(model: Any, scale: float = 1.0) -> Any:
    """Write parameters and buffers that no two of which are alike."""
    rng = np.random.default_rng(3)
    model.flat_params *= scale
    for name, a in model.buffers.items():
        a[...] = rng.random(a.shape) if "var" in name else rng.standard_normal(a.shape)
    return model


def language_model(dtype: Any = np.float32, size: int = 20, **options: Any) -> Any:
    return fill(fastrnn.Sequential(
        embedding=fastrnn.Embedding(V, 6, dtype=dtype, seed=0),
        rnn=fastrnn.LSTM(6, size, 2, dropout=0.5, dtype=dtype, seed=1, **options),
        drop=fastrnn.Dropout(0.5, seed=2),
        head=fastrnn.Linear(size, V, dtype=dtype, seed=3),
    ))  # fmt: skip


def deep_model(dtype: Any, activation: str = "gelu") -> Any:
    """Every layer that goes step by step, nested, with a tied head."""
    embedding = fastrnn.Embedding(V, 13, dtype=dtype, trainable=False, seed=1)
    return fill(fastrnn.Sequential(
        fastrnn.Sequential(embedding, fastrnn.Dropout(0.5),
                           fastrnn.LayerNorm(13, dtype=dtype)),
        fastrnn.Sequential(
            fastrnn.LSTM(13, 37, 2, dtype=dtype, seed=2),
            fastrnn.Activation(activation),
            fastrnn.BatchNorm(37, dtype=dtype),
            fastrnn.Sequential(fastrnn.GRU(37, 131, dtype=dtype, seed=3)),
        ),
        fastrnn.LayerNorm(131, dtype=dtype),
        fastrnn.Linear(131, 13, bias=False, dtype=dtype, seed=4),
        fastrnn.Activation(activation),
        fastrnn.Linear(13, V, tied=embedding, dtype=dtype, seed=5),
    ), 1.5)  # fmt: skip


def tokens(N: int, steps: int = T) -> Any:
    return np.random.default_rng(7).integers(0, V, (steps, N))


def flat(state: Any) -> list[Any]:
    return [a for one in as_tuple(state) for a in
            (flat(one) if isinstance(one, tuple) else [one])]  # fmt: skip


def assert_same_state(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    for one, other in zip(flat(a), flat(b), strict=True):
        assert_same_bits(one, other)


def assert_steps(model: Any, x: Any) -> None:
    """Compare two sequences with steps, the state carried from one to the other."""
    model.eval()
    y, state = model(x)
    more, end = model(x[::-1].copy(), state)
    stepper = fastrnn.Stepper(model)
    assert_same_bits(np.stack([stepper.step(x_t) for x_t in x]), y)
    assert_same_state(stepper.state, state)
    other = fastrnn.Stepper(model)
    other.state = state
    assert_same_bits(np.stack([other.step(x_t) for x_t in x[::-1]]), more)
    assert_same_state(other.state, end)


# --- bits ----------------------------------------------------------------------------


@pytest.mark.parametrize("N", [1, 3, 19])
@every_dtype
@every_isa
def test_language_models(isa: str, dtype: Any, N: int) -> None:
    with using(isa):
        for size in (1, 16, 20, 150):
            assert_steps(language_model(dtype, size), tokens(N))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("N", [1, 4])
@every_dtype
@every_isa
def test_every_layer(isa: str, dtype: Any, N: int, activation: str) -> None:
    with using(isa):
        assert_steps(deep_model(dtype, activation), tokens(N))


@pytest.mark.parametrize("cell", CELLS)
@every_dtype
def test_floating_input(dtype: Any, cell: str) -> None:
    """It may come first to a linear layer, an activation or a norm."""
    for first in ([fastrnn.Linear(9, 9, dtype=dtype, seed=0)],
                  [fastrnn.Activation("tanh"), fastrnn.Dropout(0.1)],
                  [fastrnn.LayerNorm(9, dtype=dtype)], []):  # fmt: skip
        layer = class_of(cell)(9, 12, dtype=dtype, seed=1)
        model = fastrnn.Sequential(*first, layer, fastrnn.Activation("relu"))
        for N in (1, 3):
            x = np.random.default_rng(N).standard_normal((T, N, 9)).astype(dtype)
            assert_steps(model, x)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 16, 127, 128, 129, 136, 300, 1031])
@every_dtype
def test_norms_have_the_bits_of_numpy(dtype: Any, width: int) -> None:
    model = fill(fastrnn.Sequential(
        fastrnn.LayerNorm(width, dtype=dtype), fastrnn.RNN(width, width, dtype=dtype,
        nonlinearity="relu", seed=0), fastrnn.LayerNorm(width, dtype=dtype),
        fastrnn.BatchNorm(width, dtype=dtype),
    ))  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2, 2, width)).astype(dtype)
    assert_steps(model, x)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@every_dtype
def test_activations_of_every_kind_of_number(dtype: Any, activation: str) -> None:
    model = fastrnn.Sequential(
        fastrnn.GRU(1, 1, dtype=dtype), fastrnn.Linear(1, 16, dtype=dtype),
        fastrnn.Activation(activation),
    )  # fmt: skip
    tiny = np.finfo(dtype).smallest_subnormal
    model.params["1.weight"][...] = 0
    model.params["1.bias"][...] = [
        0, -0.0, np.nan, np.inf, -np.inf, tiny, -tiny, 1e-3, -1e-3, 1, -1, 5, -5, 50,
        -50, np.finfo(dtype).max,
    ]  # fmt: skip
    assert_steps(model, np.ones((2, 1, 1), dtype))


def test_bfloat16_of_a_layer_in_a_model() -> None:
    model = language_model().eval()
    full = fastrnn.Stepper(model).step(3)
    model.layers["rnn"].eval(weights="bfloat16")
    expected, _ = model(np.array([[3]]))
    stepper = fastrnn.Stepper(model)
    for other in (stepper, stepper.clone(), copy.deepcopy(stepper)):
        got = other.step(3)
        assert_same_bits(got, expected[0, 0])
        assert np.any(got != full)
        other.reset()


@pytest.mark.parametrize("N", [1, 3])
def test_threads_share_large_steps(N: int) -> None:
    model = fastrnn.Sequential(
        fastrnn.Embedding(V, 300, seed=0), fastrnn.LSTM(300, 515, seed=1),
        fastrnn.LayerNorm(515), fastrnn.Linear(515, 3003, seed=2),
    )  # fmt: skip
    x = tokens(N, 3)

    def run() -> Any:
        stepper = fastrnn.Stepper(model)
        return np.stack([stepper.step(x_t) for x_t in x])

    with using(ISAS[0]):
        expected = run()
    for threads in (2, 3):
        with using(ISAS[0], threads):
            assert_same_bits(run_as_team(run, threads), expected)


# --- states, rows and input ----------------------------------------------------------


def test_states_have_the_form_of_the_model() -> None:
    model = deep_model(np.float64).eval()
    stepper = fastrnn.Stepper(model)
    stepper.step([1, 2])
    first, second = stepper.state  # an inner model without a state has an empty one
    assert first == ()
    (h, c), (inner,) = second
    assert h.shape == c.shape == (2, 2, 37)
    assert inner.shape == (1, 2, 131)
    stepper.state = ((), ((h, None), None))
    assert not flat(stepper.state)[1].any()
    stepper.reset(1)
    assert not flat(stepper.state)[0][:, 1].any()
    assert flat(stepper.state)[0][:, 0].all()
    stepper.state = None
    assert stepper.step([1, 2, 3]).shape == (3, V)


def test_bad_states() -> None:
    stepper = fastrnn.Stepper(language_model(), 2)
    h = np.zeros((2, 2, 20), np.float32)
    for value, error, message in (
        (h, TypeError, "state: expected a tuple of states, got ndarray"),
        ((h, h), ValueError, "state: expected 1 states, got 2"),
        ((h,), TypeError, "state[0]: expected a pair (h, c), got ndarray"),
        (((h, h[:, :1]),), ValueError,
         "state[0][1]: expected shape (L*D, N, H) = (2, 2, 20), got (2, 1, 20)"),
    ):  # fmt: skip
        with raises(error, message):
            stepper.state = value


def test_bad_input() -> None:
    stepper = fastrnn.Stepper(language_model())
    for x, error, message in (
        (np.zeros(V, np.float32), TypeError,
         "x: expected integer token ids (the first layer is an Embedding), "
         "got float32"),
        (V, ValueError, f"x: token {V} is out of range 0 <= token < I = {V}"),
        (np.array([3, -1]), ValueError,
         f"x: token -1 at [n=1] is out of range 0 <= token < I = {V}"),
        (np.array([[1]]), ValueError,
         "x: expected a token id or shape (N,), got (1, 1)"),
    ):  # fmt: skip
        with raises(error, message):
            stepper.step(x)
    assert not flat(stepper.state)[0].any()
    stepper = fastrnn.Stepper(fastrnn.Sequential(
        fastrnn.Linear(3, 4), fastrnn.GRU(4, 4)))  # fmt: skip
    for x, error, message in (
        (2, TypeError, "x: expected dtype float32 (that of the layer), got int64"),
        (np.zeros(4, np.float32), ValueError,
         "x: expected shape (I,) or (N, I) with I = 3, got (4,)"),
    ):  # fmt: skip
        with raises(error, message):
            stepper.step(x)


def test_kinds_of_tokens() -> None:
    model = language_model()
    expected = fastrnn.Stepper(model).step(3)
    assert expected.shape == (V,)
    for token in (np.int8(3), np.array(3), np.uint64(3)):
        assert_same_bits(fastrnn.Stepper(model).step(token), expected)
    for rows in (np.array([3, 1]), np.array([3, 1], np.int8), [3, 1],
                 np.array([3, 9, 1])[::2]):  # fmt: skip
        stepper = fastrnn.Stepper(model)
        for _ in range(2):
            got = stepper.step(rows)
            stepper.reset()
            assert_same_bits(got[0], expected)
    many = np.full(100, 3)
    assert_same_bits(fastrnn.Stepper(model, 100).step(many)[99], expected)


class Doubled(fastrnn.Linear):
    def __call__(self, x: Any) -> Any:
        return 2 * super().__call__(x)


def test_what_cannot_go_step_by_step_is_refused_by_name() -> None:
    GRU = fastrnn.GRU
    known = (
        "RNN, GRU, LSTM, Embedding, Linear, Activation, Dropout, LayerNorm, BatchNorm"
    )
    for layers, error, message in (
        ({"rnn": GRU(3, 3, bidirectional=True)}, ValueError,
         "layer: expected bidirectional=False, got True in its rnn"),
        ({"rnn": GRU(3, 3, zoneout=0.25)}, ValueError,
         "layer: expected zoneout=0, got 0.25 in its rnn"),
        ({"rnn": GRU(3, 3), "pool": fastrnn.Last()}, TypeError,
         f"layer: expected layers that go step by step ({known}), got Last in its "
         "pool"),
        ({"rnn": GRU(3, 3), "pool": fastrnn.Attention(3)}, TypeError, "Attention"),
        ({"rnn": GRU(3, 3), "heads": fastrnn.Heads(a=fastrnn.Linear(3, 1))}, TypeError,
         "got Heads in its heads"),
        ({"rnn": GRU(3, 3), "head": Doubled(3, 3)}, TypeError,
         "got Doubled in its head"),
        ({"body": fastrnn.Sequential(a=GRU(3, 3), b=fastrnn.MeanOverTime())}, TypeError,
         "got MeanOverTime in its body.b"),
        ({"a": fastrnn.Linear(3, 3)}, ValueError,
         "layer: expected at least one recurrent layer, got none"),
        ({"a": fastrnn.Dropout(0.5), "b": fastrnn.Embedding(3, 3), "c": GRU(3, 3)},
         ValueError, "layer: expected Embedding as the first layer, got Dropout"),
        ({"a": GRU(3, 3), "b": fastrnn.Embedding(3, 3)}, ValueError,
         "layer: expected an Embedding as the first layer only, got b"),
    ):  # fmt: skip
        model = fastrnn.Sequential(**layers)
        with pytest.raises(error) as caught:
            fastrnn.Stepper(model)
        assert message in str(caught.value)
        assert model.flat_params.flags.writeable
    with raises(TypeError, "layer: expected a layer RNN, GRU or LSTM, or a Sequential, "
                           "got Linear"):  # fmt: skip
        fastrnn.Stepper(fastrnn.Linear(3, 3))


# --- parameters ----------------------------------------------------------------------


def test_the_model_is_read_only_while_a_stepper_lives() -> None:
    model = language_model()
    adam = fastrnn.Adam(model)
    stepper = fastrnn.Stepper(model)
    for a in (model.flat_params, *model.params.values(),
              model.layers["head"].flat_params):  # fmt: skip
        with pytest.raises(ValueError, match="read-only"):
            a[...] = 0
    with pytest.raises(RuntimeError, match="call train"):
        model.load_state_dict(model.state_dict())
    del stepper
    gc.collect()
    adam.step()


@pytest.mark.parametrize("which", ["model", "embedding", "rnn", "drop", "head"])
def test_training_any_layer_releases_the_model(which: str) -> None:
    model = language_model().eval()
    stepper = fastrnn.Stepper(model)
    stepper.step(3)
    (model if which == "model" else model.layers[which]).train()
    with pytest.raises(RuntimeError, match=STALE):
        stepper.step(3)
    state = stepper.state
    model.flat_params *= 1.5
    expected, _ = model.eval()(np.array([[3]]), state)
    stepper.refresh()
    assert_same_bits(stepper.step(3), expected[0, 0])
    with pytest.raises(ValueError, match="read-only"):
        model.flat_params[:] = 0


@pytest.mark.parametrize("name", ["embedding.weight", "rnn.bias_hh_l1", "head.bias"])
def test_a_write_through_an_older_view_is_noticed(name: str) -> None:
    model = language_model(size=200)
    older = model.params[name][:]
    stepper = fastrnn.Stepper(model)
    older[-1] += 1
    with pytest.raises(RuntimeError, match=STALE):
        stepper.reset()
    with pytest.raises(RuntimeError, match=STALE):
        step_round(stepper, 3)
    with pytest.raises(RuntimeError, match=STALE):
        stepper.step(3)


@pytest.mark.parametrize("buffer", ["0.0.weight", "1.2.running_mean"])
def test_a_write_to_a_buffer_is_noticed(buffer: str) -> None:
    model = deep_model(np.float32)
    stepper = fastrnn.Stepper(model)
    model.buffers[buffer][-1] += 1
    with pytest.raises(RuntimeError, match=STALE):
        stepper.clone()
    stepper.refresh()
    assert_same_bits(stepper.step(1), model.eval()(np.array([[1]]))[0][0, 0])


def test_a_tied_embedding_outside_the_model() -> None:
    embedding = fastrnn.Embedding(V, 8, seed=0)
    head = fastrnn.Linear(8, V, tied=embedding)
    model = fastrnn.Sequential(fastrnn.GRU(V, 8, seed=1), head).eval()
    assert_steps(model, tokens(2))
    stepper = fastrnn.Stepper(model)
    with pytest.raises(ValueError, match="read-only"):
        embedding.weight[...] = 0
    embedding.train()
    with pytest.raises(RuntimeError, match=STALE):
        stepper.step(1)
    assert model.flat_params.flags.writeable
    stepper.refresh()
    model.train()
    embedding.weight[...] = 0
    stepper.refresh()
    assert not (stepper.step(1) - head.params["bias"]).any()
    del stepper
    gc.collect()
    assert embedding.flat_params.flags.writeable


def test_copies_go_on_as_the_original() -> None:
    model = deep_model(np.float32).eval()
    stepper = fastrnn.Stepper(model)
    stepper.step([1, 2])
    others = [stepper.clone(), copy.copy(stepper), copy.deepcopy(stepper),
              pickle.loads(pickle.dumps(stepper))]  # fmt: skip
    expected = stepper.step([3, 4])
    for other in others:
        assert_same_bits(other.step([3, 4]), expected)
    assert others[0].layer is others[1].layer is model
    for other in others[2:]:
        other.layer.train()
        other.layer.flat_params[:] = 0
    stepper.step([5, 6])


def test_threads_each_with_its_own() -> None:
    model = language_model(size=64).eval()
    x = [np.random.default_rng(k).integers(0, V, 300) for k in range(4)]
    expected = [model(x_k[:, np.newaxis])[0][:, 0] for x_k in x]
    steppers = [fastrnn.Stepper(model) for _ in x]
    found: list[Any] = [None] * len(x)

    def work(k: int) -> None:
        found[k] = np.stack([steppers[k].step(int(i)) for i in x[k]])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(x))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(found, expected, strict=True):
        assert_same_bits(a, b)


# --- from Cython ---------------------------------------------------------------------

STEPPED, WRONG_INPUT = 0, 3


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("Cython")
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    return build_step_loop(tmp_path_factory.mktemp("step_loop"))


def test_the_same_from_cython(loop: Any) -> None:
    model = language_model().eval()
    x = tokens(3, 40)
    expected, state = model(x)
    stepper = fastrnn.Stepper(model, 3)
    logits = np.zeros_like(expected)
    assert loop.run_tokens(stepper, x, logits) == STEPPED
    assert_same_bits(logits, expected)
    assert_same_state(stepper.state, state)


def test_without_a_result_only_the_state_goes_on(loop: Any) -> None:
    model = fastrnn.Sequential(
        fastrnn.Linear(4, 4, seed=0), fastrnn.GRU(4, 5, seed=1), fastrnn.Linear(5, 3)
    ).eval()
    x = np.random.default_rng(0).standard_normal(4).astype(np.float32)
    stepper, other = fastrnn.Stepper(model), fastrnn.Stepper(model)
    assert loop.repeat(stepper, x, 3) == STEPPED
    for _ in range(3):
        other.step(x)
    assert_same_state(stepper.state, other.state)
    assert_same_bits(stepper.step(x), other.step(x))


def test_other_input_is_said_by_a_number(loop: Any) -> None:
    stepper = fastrnn.Stepper(language_model())
    assert loop.repeat(stepper, np.zeros(V, np.float32), 1) == WRONG_INPUT
    model = fastrnn.Sequential(fastrnn.Linear(4, 4), fastrnn.GRU(4, 5))
    y = np.zeros((1, 1, 5), np.float32)
    assert loop.run_tokens(fastrnn.Stepper(model), tokens(1, 1), y) == WRONG_INPUT
