"""A change of the layer's parameters is refused or noticed, never ignored."""

import copy
import gc
import pickle
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.comparing import assert_same_bits
from tests.implementations import every_dtype, every_isa, using
from tests.stepper.test_bits import draw_input, make_layer

STALE = r"Stepper: expected the layer's parameters as they were packed, got changed"
PARTS = 256  # a step looks at one of them, or at none


def get_state(stepper: fastrnn.Stepper) -> Any:
    return stepper.state


def step_round(stepper: fastrnn.Stepper, x: Any) -> None:
    for _ in range(PARTS):
        stepper.step(x)


@pytest.fixture
def layer() -> Any:
    return make_layer("lstm", 5, 20, num_layers=2)


@pytest.fixture
def x(layer: Any) -> Any:
    return draw_input(layer, 1, steps=3)[:, 0]


def test_arrays_are_read_only_while_a_stepper_lives(layer: Any) -> None:
    flat, w = layer.flat_params, layer.params["weight_hh_l1"]
    stepper = fastrnn.Stepper(layer)
    for a in (flat, w, *layer.params.values(), w[3:5]):
        with pytest.raises(ValueError, match="read-only"):
            a[...] = 1
    with pytest.raises(ValueError, match="read-only"):
        layer.flat_params -= layer.flat_grads
    with pytest.raises(ValueError, match="expected a writeable array"):
        fastrnn.SGD([layer.flat_params], lr=1.0).step([layer.flat_grads])
    with pytest.raises(
        RuntimeError, match=r"load_state_dict: expected parameters that"
    ):
        layer.load_state_dict(layer.state_dict())
    del stepper
    gc.collect()
    w[3, 4] = 1
    flat[:] = 2


def test_the_last_of_several_steppers_gives_the_parameters_back(layer: Any) -> None:
    first = fastrnn.Stepper(layer)
    second = first.clone()
    del first
    gc.collect()
    assert not layer.flat_params.flags.writeable
    del second
    gc.collect()
    assert layer.flat_params.flags.writeable


def test_training_on_and_refresh(layer: Any, x: Any) -> None:
    stepper = fastrnn.Stepper(layer)
    stepper.step(x[0])
    clone = stepper.clone()
    layer.train()
    late = stepper.clone()
    for s in (stepper, clone, late):
        with pytest.raises(RuntimeError, match=STALE):
            s.step(x[1])
    late.reset()
    with pytest.raises(RuntimeError, match=STALE):
        late.step(x[:2])  # of another number of rows
    state = stepper.state
    layer.flat_params *= 1.5
    late = stepper.clone()
    with pytest.raises(RuntimeError, match=STALE):
        late.step(x[1])
    assert layer.flat_params.flags.writeable
    expected, _ = layer(x[1:2, None], state)
    stepper.refresh()
    assert not layer.flat_params.flags.writeable
    assert_same_bits(stepper.step(x[1]), expected[0, 0])
    with pytest.raises(RuntimeError, match=STALE):
        clone.step(x[1])


def test_training_ends_bfloat16(layer: Any, x: Any) -> None:
    layer.eval(weights="bfloat16").train()
    y = fastrnn.Stepper(layer).step(x[0])
    assert_same_bits(y, layer.eval()(x[:1, None])[0][0, 0])


def test_eval_does_not_give_the_parameters_back(layer: Any) -> None:
    stepper = fastrnn.Stepper(layer)
    layer.eval()
    assert not layer.flat_params.flags.writeable
    del stepper


@every_dtype
@every_isa
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_write_through_an_older_view_is_noticed(
    place: str, isa: str, dtype: Any
) -> None:
    """The step that checks that part, within 256, notices it and does nothing."""
    layer = make_layer("gru", 5, 20, dtype=dtype)
    k = {"first": 0, "middle": layer.flat_params.size // 2, "last": -1}[place]
    older = layer.flat_params[:]
    x = draw_input(layer, 1)[0, 0]
    with using(isa):
        for taken in range(0, PARTS + 3, 7):  # from places in the round
            stepper = fastrnn.Stepper(layer)
            for _ in range(taken):
                stepper.step(x)
            before = older[k]
            older[k] = np.nextafter(before, dtype(9))
            with pytest.raises(RuntimeError, match=STALE):
                step_round(stepper, x)
            with pytest.raises(RuntimeError, match=STALE):
                stepper.step(x)
            for look in (fastrnn.Stepper.reset, fastrnn.Stepper.clone, get_state):
                with pytest.raises(RuntimeError, match=STALE):
                    look(stepper)
            stepper.refresh()
            stepper.step(x)


@every_isa
def test_changes_that_a_plain_sum_would_miss(isa: str) -> None:
    layer = make_layer("lstm", 8, 64)
    older = layer.flat_params[:]
    original = older.copy()
    swapped = original.copy()
    swapped[0:64], swapped[64:128] = original[64:128], original[0:64]
    changes = [-original, original[::-1], swapped, np.roll(original, 64)]
    with using(isa):
        stepper = fastrnn.Stepper(layer)
        for changed in changes:
            older[:] = changed
            with pytest.raises(RuntimeError, match=STALE):
                stepper.reset()
            older[:] = original
            stepper.reset()


def test_copies_of_the_layer_are_their_own(layer: Any, x: Any) -> None:
    stepper = fastrnn.Stepper(layer)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        other.flat_params[:] = 0
        stepper.step(x[0])


@every_isa
@pytest.mark.parametrize("weights", [None, "bfloat16"])
def test_a_layer_in_eval_mode_sees_every_change(weights: str | None, isa: str) -> None:
    """Its packed weights are kept between calls."""
    layer = make_layer("gru", 5, 20, num_layers=2, bidirectional=True)
    older = layer.flat_params[7:8]
    x = draw_input(layer, 2)
    with using(isa):
        for change in (0.0, 1e-2, -3.0):
            older += np.float32(change)
            fresh = copy.deepcopy(layer).eval(weights=weights)
            assert_same_bits(layer.eval(weights=weights)(x)[0], fresh(x)[0])


def test_packed_weights_are_kept_and_dropped(layer: Any) -> None:
    x = draw_input(layer, 1)
    layer.eval()(x)
    packed = layer._packed._weights
    layer(x)
    assert layer._packed._weights is packed
    layer.flat_params[-1] += 1
    layer(x)
    assert layer._packed._weights is not packed
    layer.train()
    assert layer._packed._weights is None


def test_a_layer_in_a_model(layer: Any, x: Any) -> None:
    """The model's array becomes read-only too; a layer that moves is released."""
    before = fastrnn.Stepper(layer)
    model = fastrnn.Sequential(layer, fastrnn.Linear(20, 3))
    with pytest.raises(RuntimeError, match=STALE):
        before.step(x[0])
    stepper = fastrnn.Stepper(layer)
    with pytest.raises(ValueError, match="read-only"):
        model.flat_params[:] = 0
    model.params["0.weight_hh_l0"][...] = 0  # a view that the model made
    with pytest.raises(RuntimeError, match=STALE):
        step_round(stepper, x[0])
    model.train()
    model.flat_params[:] = 0
    stepper.refresh()
    stepper.reset()
    assert not stepper.step(x[0]).any()
    before.refresh()
    assert_same_bits(before.step(x[0]), np.zeros(20, np.float32))
    del stepper, before
    gc.collect()
    assert model.flat_params.flags.writeable


def test_what_the_user_made_read_only_stays_so(layer: Any) -> None:
    layer.flat_params.flags.writeable = False
    layer.train()
    assert not layer.flat_params.flags.writeable


def test_an_unpickled_layer_is_given_back_too(layer: Any) -> None:
    other = pickle.loads(pickle.dumps(layer))
    stepper = fastrnn.Stepper(other)
    assert not other.flat_params.flags.writeable
    del stepper
    gc.collect()
    other.flat_params[:] = 0
