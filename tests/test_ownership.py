"""One owner of parameters: dead memory is refused, and a copied pair stays a pair."""

import copy
import gc
import io
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import raises

T, N, I, H, O = 4, 3, 3, 5, 2  # noqa: E741


def make_layers() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "rnn": fastrnn.LSTM(I, H, seed=rng),
        "head": fastrnn.Linear(H, O, seed=rng),
    }


def make_model() -> Any:
    layers = make_layers()
    inner = fastrnn.Sequential(rnn=layers["rnn"])
    return fastrnn.Sequential(body=inner, head=layers["head"])


def train(model: Any, adam: Any, step: Callable[[], None], steps: int = 3) -> float:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((T, N, I)).astype(np.float32)
    targets = rng.integers(0, O, (T, N))
    loss = 0.0
    for _ in range(steps):
        loss, _ = model.cross_entropy(x, targets)
        model.zero_grad()
        model.backward()
        step()
    return float(loss)


LEFT = (
    "{}: expected an array that a layer still uses, got one that it left when it moved "
    "into a Sequential: make the optimizer after the model, or pass the model itself"
)

# --- memory that a model has left ---------------------------------------------------


def test_an_optimizer_of_arrays_that_were_left() -> None:
    layers = make_layers()
    arrays = [a.flat_params for a in layers.values()]
    grads = [a.flat_grads for a in layers.values()]
    adam = fastrnn.Adam(arrays, lr=0.1)
    before = arrays[0].copy()
    model = fastrnn.Sequential(**layers)
    with raises(RuntimeError, LEFT.format("params[0]")):
        adam.step([a.flat_grads for a in layers.values()])
    with raises(RuntimeError, LEFT.format("params")):
        fastrnn.SGD(arrays[0], 0.1)
    with raises(RuntimeError, LEFT.format("grads[1]")):
        fastrnn.clip_grad_norm([layers["rnn"].flat_grads, grads[1]], 1.0)
    with raises(RuntimeError, LEFT.format("grads")):
        fastrnn.clip_grad_value(grads[0], 1.0)
    new = fastrnn.SGD([a.flat_params for a in layers.values()], 0.1)
    with raises(RuntimeError, LEFT.format("grads[0]")):
        new.step(grads)
    with raises(RuntimeError, LEFT.format("params[0]")):
        pickle.dumps(adam)
    for a in (arrays[0], grads[0], layers["rnn"].flat_params.base[:0]):
        assert not a.size or not a.flags.writeable
    np.testing.assert_array_equal(arrays[0], before)
    bias = model.params["rnn.bias_ih_l0"]
    np.testing.assert_array_equal(bias, before[-8 * H : -4 * H])


def test_views_that_were_left() -> None:
    """A slice keeps its flag, and an optimizer refuses it; other views are locked."""
    layers = make_layers()
    part, view = layers["rnn"].flat_params[3:9], layers["rnn"].params["bias_ih_l0"]
    sgd = fastrnn.SGD([part, view], 0.5)
    keep = fastrnn.Sequential(**layers)
    with pytest.raises(ValueError, match="read-only"):
        view += 1
    with raises(RuntimeError, LEFT.format("params[0]")):
        sgd.step([part.copy(), view.copy()])
    assert keep.flat_params.flags.writeable


def test_an_optimizer_of_layers_goes_with_them() -> None:
    layers = make_layers()
    adam = fastrnn.Adam(list(layers.values()), lr=0.1)
    model = fastrnn.Sequential(**layers)
    first = train(model, adam, adam.step, 1)
    assert train(model, adam, adam.step, 50) < 0.5 * first


def test_memory_in_use_is_not_refused() -> None:
    """Of a model that is gone one layer stays where it is, and another moves on."""
    layers = make_layers()
    model = fastrnn.Sequential(**layers)
    rnn, head = layers.values()
    arrays = model.flat_params, rnn.flat_params, head.flat_params
    del model
    keep = fastrnn.Sequential(rnn)
    fastrnn.SGD(arrays[2], 0.5).step(np.ones_like(arrays[2]))
    for a in arrays[:2]:
        with raises(RuntimeError, LEFT.format("params")):
            fastrnn.SGD(a, 0.5)
    fastrnn.SGD(keep.flat_params, 0.5)


def test_nothing_is_remembered_of_memory_that_is_gone() -> None:
    from fastrnn._gate import memory

    gc.collect()
    before = len(memory.ALLOCATIONS), len(memory.RETIRED)
    model = fastrnn.Sequential(**make_layers())
    assert len(memory.RETIRED) == before[1]  # nobody holds the layers' old arrays
    del model
    gc.collect()
    assert (len(memory.ALLOCATIONS), len(memory.RETIRED)) == before


# --- one model ------------------------------------------------------------------------

OWN = (
    "{}: expected a layer of its own, got one that is in a Sequential already "
    "(copy.deepcopy makes another)"
)


def test_a_layer_is_in_one_model() -> None:
    model = make_model()
    rnn, head = model.layers["body"].layers["rnn"], model.layers["head"]
    for build in (
        lambda: fastrnn.Sequential(rnn, copy.deepcopy(head)),
        lambda: fastrnn.Sequential(fastrnn.Sequential(rnn)),
        lambda: fastrnn.Sequential(model.layers["body"]),
    ):
        with raises(ValueError, OWN.format("0")):
            build()
    with raises(ValueError, OWN.format("1")):
        fastrnn.Sequential(fastrnn.Linear(2, 5), head)
    assert np.shares_memory(rnn.flat_params, model.flat_params)


def test_a_layer_twice_in_one_model() -> None:
    layer = fastrnn.GRU(H, H)
    inner = fastrnn.Sequential(layer)
    with raises(ValueError, OWN.format("b")):
        fastrnn.Sequential(a=inner, b=layer)
    with raises(ValueError, OWN.format("a")):
        fastrnn.Sequential(a=layer, b=inner)


def test_a_layer_of_a_model_that_is_gone_can_go_into_another() -> None:
    layers = make_layers()
    values = [a.flat_params.copy() for a in layers.values()]
    fastrnn.Sequential(**layers)
    model = fastrnn.Sequential(**layers)
    np.testing.assert_array_equal(model.flat_params, np.concatenate(values))


def test_the_layers_of_a_model_stay() -> None:
    model = make_model()
    with pytest.raises(TypeError):
        model.layers["head"] = fastrnn.Linear(H, O)
    with pytest.raises(TypeError):
        del model.layers["head"]
    with pytest.raises(AttributeError):
        model.layers = {}


# --- copies --------------------------------------------------------------------------

SOURCES: dict[str, Callable[[Any], Any]] = {
    "model": lambda m: m,
    "layers": lambda m: list(m.layers.values()),
    "flat": lambda m: m.flat_params,
    "views": lambda m: list(m.params.values()),
    "slices": lambda m: [m.flat_params[:7], m.flat_params[7:]],
}
GRADS: dict[str, Callable[[Any], Any]] = {
    "model": lambda m: None,
    "layers": lambda m: [a.flat_grads for a in m.layers.values()],
    "flat": lambda m: m.flat_grads,
    "views": lambda m: list(m.grads.values()),
    "slices": lambda m: [m.flat_grads[:7], m.flat_grads[7:]],
}


def through_pickle(pair: Any) -> Any:
    return pickle.loads(pickle.dumps(pair))


def through_buffers(pair: Any, kept: Any = None) -> Any:
    """Out of band, and read-only as a shared or mapped buffer would be."""
    buffers: list[Any] = []
    data = pickle.dumps(pair, protocol=5, buffer_callback=buffers.append)
    kept = [] if kept is None else kept
    kept += [bytes(b) for b in buffers]
    return pickle.loads(data, buffers=kept)


def through_joblib(pair: Any) -> Any:
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump(pair, file)
    file.seek(0)
    return joblib.load(file)


COPIES = (copy.deepcopy, through_pickle, through_buffers, through_joblib)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["model_first", "adam_first"])
@pytest.mark.parametrize("duplicate", COPIES, ids=lambda f: f.__name__)
def test_a_copied_pair_goes_on_together(
    duplicate: Callable[[Any], Any], order: tuple[int, int], source: str
) -> None:
    model = make_model()
    adam = fastrnn.Adam(SOURCES[source](model), lr=0.1)
    train(model, adam, lambda: adam.step(GRADS[source](model)))
    pair = model, adam
    copied = duplicate((pair[order[0]], pair[order[1]]))
    model2, adam2 = copied[order[0]], copied[order[1]]
    assert not np.shares_memory(model2.flat_params, model.flat_params)
    np.testing.assert_array_equal(model2.flat_params, model.flat_params)
    for m, a in ((model, adam), (model2, adam2)):
        before = m.flat_params.copy()
        train(m, a, lambda m=m, a=a: a.step(GRADS[source](m)))  # type: ignore[misc]
        assert (m.flat_params != before).any()
    np.testing.assert_array_equal(model2.flat_params, model.flat_params)
    for name, state in adam.state_dict().items():
        np.testing.assert_array_equal(adam2.state_dict()[name], state)


def test_copies_do_not_write_into_read_only_buffers() -> None:
    layer = fastrnn.Linear(I, O, seed=0)
    adam = fastrnn.Adam(layer)
    layer.flat_grads[...] = 1
    adam.step()
    buffers: list[bytes] = []
    layer2, adam2 = through_buffers((layer, adam), buffers)
    before = [bytes(bytearray(b)) for b in buffers]
    assert len(before) == 4
    layer2(np.ones((N, I), np.float32))
    layer2.backward(np.ones((N, O), np.float32))
    adam2.step()
    assert buffers == before


@pytest.mark.parametrize("duplicate", COPIES[:3], ids=lambda f: f.__name__)
def test_an_optimizer_alone_brings_its_layers(duplicate: Callable[[Any], Any]) -> None:
    """In its copy, not those of the original."""
    layer = fastrnn.Linear(I, O, seed=0)
    before = layer.flat_params.copy()
    for sgd in (fastrnn.SGD(layer, 0.5), fastrnn.SGD(layer.flat_params, 0.5)):
        other = duplicate(sgd)
        other.step(np.ones_like(layer.flat_grads))
        np.testing.assert_array_equal(layer.flat_params, before)


def test_arrays_that_belong_to_no_layer() -> None:
    w, b = np.ones((2, 2)), np.zeros(2)
    sgd = fastrnn.SGD([w, b], 0.5)
    for duplicate in (copy.deepcopy, through_pickle):
        w2, b2, sgd2 = duplicate((w, b, sgd))
        sgd2.step([np.ones((2, 2)), np.ones(2)])
        np.testing.assert_array_equal(w2, 0.5)
        np.testing.assert_array_equal(b2, -0.5)
    np.testing.assert_array_equal(w, 1)


def train_in_a_process(pair: Any) -> Any:
    model, adam = pair
    train(model, adam, adam.step)
    return pair


def test_a_pair_goes_to_another_process_and_back() -> None:
    model = make_model()
    adam = fastrnn.AdamW(model, lr=0.1)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        model2, adam2 = pool.apply(train_in_a_process, ((model, adam),))
    train_in_a_process((model, adam))
    np.testing.assert_array_equal(model2.flat_params, model.flat_params)
    for m, a in ((model, adam), (model2, adam2)):
        train_in_a_process((m, a))
    np.testing.assert_array_equal(model2.flat_params, model.flat_params)


def test_copy_of_a_layer_is_whole() -> None:
    for layer in (fastrnn.LSTM(I, H, seed=0), make_model()):
        other = copy.copy(layer)
        np.testing.assert_array_equal(other.flat_params, layer.flat_params)
        assert not np.shares_memory(other.flat_params, layer.flat_params)
        assert not np.shares_memory(other.flat_grads, layer.flat_grads)
        other.flat_params[...] = 0
        other.eval()
        assert layer.training
        assert layer.flat_params.any()


def test_copy_of_an_optimizer_is_refused() -> None:
    adam = fastrnn.Adam(np.ones(3))
    with pytest.raises(
        TypeError, match=r"^copy\.copy: expected copy\.deepcopy\(\(model"
    ):
        copy.copy(adam)


# --- read-only and overlapping arrays -----------------------------------------------

READ_ONLY = "{}: expected a writeable array, got a read-only one"


def test_read_only_is_asked_at_each_step() -> None:
    w, whole = np.ones(3), np.ones(5)
    part = whole[1:4]
    for array, lock in ((w, w), (part, part), (part, whole)):
        sgd = fastrnn.SGD(array, 0.5)
        lock.flags.writeable = False
        with raises(ValueError, READ_ONLY.format("params")):
            sgd.step(np.ones(3))
        with raises(ValueError, READ_ONLY.format("grads")):
            fastrnn.clip_grad_norm(array, 0.1)
        with raises(ValueError, READ_ONLY.format("grads")):
            fastrnn.clip_grad_value(array, 0.1)
        np.testing.assert_array_equal(array, 1)
        assert sgd.state_dict()["step"] == 0
        lock.flags.writeable = True
        sgd.step(np.zeros(3))


@pytest.mark.parametrize("source", SOURCES)
def test_what_a_stepper_reads_is_read_only(source: str) -> None:
    model = make_model()
    sgd = fastrnn.SGD(SOURCES[source](model), 0.5)
    of_the_head = fastrnn.SGD(model.layers["head"], 0.5)
    before = model.flat_params.copy()
    grads = GRADS[source](model)
    stepper = fastrnn.Stepper(model.layers["body"].layers["rnn"])
    with pytest.raises(ValueError, match="expected a writeable array, got a read-only"):
        sgd.step(grads)
    np.testing.assert_array_equal(model.flat_params, before)
    of_the_head.step()  # nobody reads that
    with pytest.raises(ValueError, match="read-only"):
        model.flat_params[:] = 0
    del stepper
    gc.collect()
    sgd.step(grads)


def test_two_steppers_in_one_model() -> None:
    first, second = fastrnn.GRU(2, 2), fastrnn.GRU(2, 2)
    model = fastrnn.Sequential(first, second)
    steppers = [fastrnn.Stepper(first), fastrnn.Stepper(second)]
    first.train()
    assert first.flat_params.flags.writeable
    assert not second.flat_params.flags.writeable
    assert not model.flat_params.flags.writeable
    second.train()
    assert model.flat_params.flags.writeable
    del steppers


APART = "{}, {}: expected arrays that share no memory, got two that do"


def test_overlapping_arrays() -> None:
    base, other = np.arange(6.0), np.ones(5)
    with raises(ValueError, APART.format("grads", "params")):
        fastrnn.SGD(base[1:], 0.5).step(base[:-1])
    with raises(ValueError, APART.format("grads", "params")):
        fastrnn.SGD(base, 0.5).step(base)
    with raises(ValueError, APART.format("params[0]", "grads[1]")):
        fastrnn.SGD([base[:5], other], 0.5).step([other.copy(), base[1:]])
    with raises(ValueError, APART.format("params[0]", "params[1]")):
        fastrnn.SGD([base[:3], base[2:5]], 0.5).step([np.ones(3), np.ones(3)])
    for clip in (fastrnn.clip_grad_norm, fastrnn.clip_grad_value):
        with raises(ValueError, APART.format("grads[0]", "grads[2]")):
            clip([base[:4], other, base[3:]], 0.1)
        with raises(ValueError, APART.format("grads[0]", "grads[1]")):
            clip([other, other], 0.1)
    np.testing.assert_array_equal(base, np.arange(6))
    fastrnn.SGD([base[:3], base[3:]], 1.0).step([other[:3], other[2:]])
    np.testing.assert_array_equal(base, np.arange(6) - 1)
    fastrnn.SGD(base[:5:2].copy(), 0.5).step(base[::2])  # a copy of the strided one


def test_memory_that_is_not_of_numpy() -> None:
    """Two arrays over one buffer have no array in common."""
    buffer = bytearray(8 * 6)
    first, second = (np.frombuffer(buffer, count=4, offset=k) for k in (0, 8))
    with raises(ValueError, APART.format("params", "grads")):
        fastrnn.SGD(first, 0.5).step(second)
    with raises(ValueError, APART.format("params[0]", "grads[0]")):
        fastrnn.SGD([first, np.ones(2)], 0.5).step([second, np.ones(2)])
    with raises(ValueError, APART.format("grads[0]", "grads[1]")):
        fastrnn.clip_grad_norm([first, second], 1.0)


def test_parameters_from_one_another() -> None:
    """Views of a layer as its own new state are read before they are written."""
    layer = fastrnn.RNN(3, 3, seed=0)
    d = layer.state_dict()
    views = layer.params
    swapped = {
        "weight_ih_l0": views["weight_hh_l0"],
        "weight_hh_l0": views["weight_ih_l0"],
        "bias_ih_l0": views["bias_hh_l0"],
        "bias_hh_l0": views["bias_ih_l0"],
    }
    layer.load_state_dict(swapped)
    np.testing.assert_array_equal(layer.params["weight_hh_l0"], d["weight_ih_l0"])
    np.testing.assert_array_equal(layer.params["weight_ih_l0"], d["weight_hh_l0"])


# --- attributes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (
            lambda: fastrnn.RNN(I, H),
            [
                *("input_size", "hidden_size", "num_layers", "nonlinearity", "bias"),
                *("batch_first", "dropout", "recurrent_dropout", "zoneout", "dtype"),
                *("weight_dropout", "bidirectional", "rng", "params", "grads"),
            ],
        ),
        (lambda: fastrnn.Linear(I, O), ["in_features", "out_features", "bias"]),
        (lambda: fastrnn.Embedding(I, O), ["num_embeddings", "embedding_dim", "dtype"]),
        (lambda: fastrnn.Dropout(0.5), ["p", "rng", "dtype"]),
    ],
    ids=["RNN", "Linear", "Embedding", "Dropout"],
)
def test_options_are_read_only(make: Callable[[], Any], names: list[str]) -> None:
    layer = make()
    for name in names:
        value = getattr(layer, name)
        stays = f"{name}: expected to stay as the layer was made, got"
        with raises(AttributeError, f"{stays} an assignment"):
            setattr(layer, name, 4096)
        with raises(AttributeError, f"{stays} a deletion"):
            delattr(layer, name)
        assert getattr(layer, name) is value
    for duplicate in (copy.deepcopy, through_pickle):
        with pytest.raises(AttributeError, match=f"^{names[0]}: expected to stay"):
            setattr(duplicate(layer), names[0], 4096)


def test_the_names_of_parameters_stay() -> None:
    layer = fastrnn.Linear(I, O)
    layer.params["bias"] += 1
    with pytest.raises(AttributeError, match=r"^bias: expected values written into it"):
        layer.params["bias"] = np.zeros(O)
    for change in (
        lambda d: d.pop("bias"),
        lambda d: d.clear(),
        lambda d: d.popitem(),
        lambda d: d.update(bias=1),
        lambda d: d.setdefault("b", 1),
        lambda d: d.__delitem__("bias"),
        lambda d: d.__ior__({"b": 1}),
    ):
        with pytest.raises(AttributeError, match=r"^expected the arrays to stay"):
            change(layer.grads)
    assert list(layer.grads) == ["weight", "bias"]
    for d in (copy.deepcopy(layer.params), through_pickle(layer.params)):
        assert type(d) is dict
        np.testing.assert_array_equal(d["bias"], layer.params["bias"])
