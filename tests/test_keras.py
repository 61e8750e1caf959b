"""Keras: the same outputs as the layers, models and files that layers come from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import raises

keras = pytest.importorskip("keras", exc_type=ImportError)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own
T, N, V, I, H, O = 5, 3, 7, 4, 6, 2  # noqa: E741
CELLS = {"SimpleRNN": "RNN", "GRU": "GRU", "LSTM": "LSTM"}
layers, as_numpy = keras.layers, keras.ops.convert_to_numpy


def draw(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def tokens() -> Any:
    return np.random.default_rng(0).integers(0, V, (N, T))


def randomise(model: Any) -> Any:
    """Give every weight its own value: Keras begins with biases of 0."""
    rng = np.random.default_rng(1)
    model.set_weights(
        [
            0.4 * rng.standard_normal(a.shape).astype(a.dtype)
            for a in model.get_weights()
        ]
    )
    return model


def build(layer: Any, *shape: int) -> Any:
    layer.build(shape)
    return randomise(layer)


def make(cell: str, units: int = H, **options: Any) -> Any:
    return getattr(layers, cell)(units, **{"return_sequences": True, **options})


def assert_same(converted: Any, model: Any, x: Any) -> None:
    expected = model(x)
    expected = expected[0] if isinstance(expected, (tuple, list)) else expected
    found = converted(x)
    found = found[0] if isinstance(found, tuple) else found
    np.testing.assert_allclose(found, as_numpy(expected), atol=5e-6)


def kinds(model: Any) -> list[str]:
    return [type(a).__name__ for a in model.layers.values()]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
@pytest.mark.parametrize("width", [I, H])
def test_one_layer(cell: str, both: bool, width: int) -> None:
    layer = make(cell)
    layer = layers.Bidirectional(layer) if both else layer
    build(layer, N, T, width)
    x = draw(N, T, width)
    converted = fastrnn.load_keras(layer)
    assert type(converted) is getattr(fastrnn, CELLS[cell])
    assert converted.bidirectional == both
    assert_same(converted, layer, x)
    arrays = layer.get_weights()
    assert_same(fastrnn.load_keras(arrays, bidirectional=both), layer, x)


@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
def test_a_gru_with_the_reset_before_the_product(both: bool, tmp_path: Path) -> None:
    layer = make("GRU", reset_after=False, name="a")
    layer = layers.Bidirectional(layer, name="a") if both else layer
    model = randomise(keras.Sequential([layers.Input((T, I)), layer]))
    x = draw(N, T, I)
    sources = [layer, model, layer.get_weights()]
    for name in ("model.keras", "model.weights.h5"):
        (model.save_weights if name.endswith("h5") else model.save)(tmp_path / name)
        sources.append(tmp_path / name)
    for source in sources:
        options = {"bidirectional": both} if isinstance(source, list) else {}
        converted = fastrnn.load_keras(source, **options)
        assert converted.reset == "before"
        assert_same(converted, model, x)


def stack(cell: str) -> Any:
    model = keras.Sequential(
        [
            layers.Input((T,), dtype="int32"),
            layers.Embedding(V, H),
            layers.Bidirectional(make(cell)),
            layers.Dropout(0.5),
            make(cell, 2 * H),
            make(cell, 2 * H),
            layers.Dense(O),
        ]
    )
    return randomise(model)


@pytest.mark.parametrize("cell", CELLS)
def test_a_whole_model(cell: str, tmp_path: Path) -> None:
    model, name = stack(cell), CELLS[cell]
    converted = fastrnn.load_keras(model, seed=0)
    assert kinds(converted) == ["Embedding", name, "Dropout", name, name, "Linear"]
    assert list(converted.layers) == [layer.name for layer in model.layers]
    assert converted.layers[model.layers[2].name].p == 0.5
    assert_same(converted.eval(), model, tokens())
    arrays = fastrnn.load_keras(model.get_weights())
    assert kinds(arrays) == ["Embedding", name, name, name, "Linear"]
    assert_same(arrays, model, tokens())


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_files(cell: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    model, path = stack(cell), tmp_path / name
    (model.save_weights if name.endswith("h5") else model.save)(path)
    assert_same(fastrnn.load_keras(path).eval(), model, tokens())
    assert_same(fastrnn.load_keras(str(path)).eval(), model, tokens())


def test_files_of_weights_do_not_keep_the_order(tmp_path: Path) -> None:
    """Names and sizes tell it, or the user does."""
    pytest.importorskip("h5py")
    path = str(tmp_path / "a.weights.h5")
    inner = [make("LSTM") for _ in range(11)]  # lstm_10 comes after lstm_9
    model = randomise(keras.Sequential([layers.Input((T, I)), *inner]))
    model.save_weights(path)
    assert_same(fastrnn.load_keras(path), model, draw(N, T, I))
    model = randomise(
        keras.Sequential([layers.Input((T, H)), make("LSTM"), layers.Dense(H)])
    )
    model.save_weights(path)
    message = (
        f"{path}: expected order=, the names in the order in which data goes through "
        f"them, since the file does not keep it and sizes do not tell; got dense, lstm"
    )
    with raises(ValueError, message):
        fastrnn.load_keras(path)
    converted = fastrnn.load_keras(path, order=["lstm", "dense"])
    assert_same(converted, model, draw(N, T, H))
    message = "order: expected the names dense, lstm, each once, got ['lstm']"
    with raises(ValueError, message):
        fastrnn.load_keras(path, order=["lstm"])


# Each of these is a layer with one option, for inputs of N, T, I.
HONOURED: dict[str, Callable[[], Any]] = {
    **{
        f"{cell} {key}={value}": lambda cell=cell, key=key, value=value: make(
            cell, **{key: value}
        )
        for cell in CELLS
        for key, value in [
            ("use_bias", False),
            ("unroll", True),
            ("return_state", True),
            ("seed", 3),
            ("kernel_initializer", "ones"),
            ("zero_output_for_mask", True),
            ("name", "mine"),
        ]
    },
    "relu": lambda: make("SimpleRNN", activation="relu"),
    "elu": lambda: make("SimpleRNN", activation="elu"),
    "recurrent dropout": lambda: make("SimpleRNN", recurrent_dropout=0.5),
    "forget bias": lambda: make("LSTM", unit_forget_bias=False),
    "both, no bias": lambda: layers.Bidirectional(make("GRU", use_bias=False)),
    "both, relu": lambda: layers.Bidirectional(make("SimpleRNN", activation="relu")),
    "dense": lambda: layers.Dense(O),
    "dense without bias": lambda: layers.Dense(O, use_bias=False),
    **{
        f"dense {name}": lambda name=name: layers.Dense(O, activation=name)
        for name in ("relu", "tanh", "sigmoid", "gelu", "linear")
    },
    "each step": lambda: layers.TimeDistributed(layers.Dense(O, activation="tanh")),
    "activation": lambda: layers.Activation("gelu"),
    "ReLU": lambda: layers.ReLU(),
    "nested": lambda: keras.Sequential([make("GRU"), keras.Sequential([make("LSTM")])]),
}


@pytest.mark.parametrize("name", HONOURED)
def test_options_that_are_honoured(name: str) -> None:
    layer = build(HONOURED[name](), N, T, I)
    assert_same(fastrnn.load_keras(layer).eval(), layer, draw(N, T, I))
    if name == "recurrent dropout":
        assert fastrnn.load_keras(layer).recurrent_dropout == 0.5


def other_direction(**options: Any) -> Any:
    backward = make("LSTM", go_backwards=True, **options)
    return layers.Bidirectional(make("LSTM"), backward_layer=backward, name="a")


def relu(x: Any) -> Any:
    return x + 1


class Mine(layers.Dense):
    def call(self, inputs: Any, training: Any = None) -> Any:
        return -super().call(inputs)


REFUSED: dict[str, Callable[[], Any]] = {
    **{
        f"a: {option}: expected {expected}": lambda cell=cell, key=key, value=value: (
            make(cell, name="a", **{key: value})
        )
        for cell, key, value, expected in [
            ("LSTM", "go_backwards", True, "False, got True"),
            ("GRU", "go_backwards", True, "False, got True"),
            (
                "LSTM",
                "stateful",
                True,
                "False, got True; with False, pass on the state that a call returns",
            ),
            ("LSTM", "activation", "relu", "'tanh', got relu"),
            ("GRU", "activation", None, "'tanh', got linear"),
            (
                "SimpleRNN",
                "activation",
                "sigmoid",
                "one of tanh, relu, elu, got sigmoid",
            ),
            (
                "SimpleRNN",
                "activation",
                relu,
                "one of tanh, relu, elu, got another function, relu",
            ),
            (
                "LSTM",
                "recurrent_activation",
                "hard_sigmoid",
                "'sigmoid', got hard_sigmoid",
            ),
            ("LSTM", "dropout", 0.5, "0.0, got 0.5"),
            ("GRU", "recurrent_dropout", 0.5, "0, got 0.5"),
            ("LSTM", "kernel_regularizer", "l2", "None, got L2"),
            ("LSTM", "bias_constraint", "non_neg", "None, got NonNeg"),
            ("LSTM", "activity_regularizer", "l1", "None, got L1"),
            ("LSTM", "trainable", False, "True, got False"),
        ]
        for option in [key]
    },
    **{
        f"a: merge_mode: expected 'concat', got {mode!r}": lambda mode=mode: (
            layers.Bidirectional(make("LSTM"), merge_mode=mode, name="a")
        )
        for mode in ("sum", "mul", "ave", None)
    },
    "a: backward_layer.use_bias: expected True, got False": lambda: other_direction(
        use_bias=False
    ),
    "a: backward_layer.activation: expected 'tanh', got 'relu'": lambda: (
        other_direction(activation="relu")
    ),
    "a: activation: expected another than softmax, which logits=True leaves off at "
    "the end of a model": lambda: layers.Dense(O, activation="softmax", name="a"),
    "a: activation: expected one of linear, relu, tanh, sigmoid, gelu, got selu": (
        lambda: layers.Dense(O, activation="selu", name="a")
    ),
    "a: activation: expected one of linear, relu, tanh, sigmoid, gelu, got another "
    "function, relu": lambda: layers.Dense(O, activation=relu, name="a"),
    "a: max_value: expected 0.0, got 6.0": lambda: layers.ReLU(6.0, name="a"),
    "a: negative_slope: expected 0.0, got 0.1": lambda: layers.ReLU(
        negative_slope=0.1, name="a"
    ),
    "a: noise_shape: expected None, got (3, 1, 4)": lambda: layers.Dropout(
        0.5, noise_shape=(N, 1, I), name="a"
    ),
    **{
        f"a: expected SimpleRNN, GRU, LSTM, Bidirectional, Dense, Embedding, Dropout, "
        f"Activation, ReLU, Identity or TimeDistributed, got {got}": layer
        for got, layer in {
            "LayerNormalization": lambda: layers.LayerNormalization(name="a"),
            "Conv1D": lambda: layers.Conv1D(2, 3, name="a"),
            "Masking": lambda: layers.Masking(name="a"),
            "RNN": lambda: layers.RNN(layers.LSTMCell(3), name="a"),
            "SpatialDropout1D": lambda: layers.SpatialDropout1D(0.5, name="a"),
            "TimeDistributed": lambda: layers.TimeDistributed(
                layers.LayerNormalization(), name="a"
            ),
            "Mine, a class of your own: what it does is not known": lambda: Mine(
                O, name="a"
            ),
        }.items()
    },
}


@pytest.mark.parametrize("message", REFUSED, ids=range(len(REFUSED)))
def test_options_that_are_refused(message: str) -> None:
    layer = REFUSED[message]()
    layer.build((N, T, I))
    with raises(ValueError, message):
        fastrnn.load_keras(layer)
    if layer.name == "a":
        with raises(ValueError, message):
            fastrnn.load_keras(keras.Sequential([layers.Input((T, I)), layer]))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
def test_the_last_step(cell: str, both: bool) -> None:
    """The last one of each direction, with and without a mask."""
    first, second = make(cell), make(cell, return_sequences=False)
    if both:
        first, second = layers.Bidirectional(first), layers.Bidirectional(second)
    second.name = "a"
    model = keras.Sequential([layers.Input((T, I)), first, second, layers.Dense(O)])
    randomise(model)
    converted = fastrnn.load_keras(model)
    assert kinds(converted) == [CELLS[cell], CELLS[cell], "Last", "Linear"]
    assert list(converted.layers)[1:3] == ["a", "a_last"]
    x, mask = draw(N, T, I), np.arange(T) < np.arange(1, N + 1)[:, None]
    assert_same(converted, model, x)
    found, _ = converted(x, lengths=mask.sum(1))
    expected = second(first(x, mask=mask), mask=mask)
    expected = model.layers[-1](as_numpy(expected))
    np.testing.assert_allclose(found, as_numpy(expected), atol=5e-6)
    alone = fastrnn.load_keras(second)
    assert kinds(alone) == [CELLS[cell], "Last"]
    y = fastrnn.load_keras(first)(x)[0]
    np.testing.assert_array_equal(alone(y)[0], converted_head_input(converted, y))


def converted_head_input(model: Any, y: Any) -> Any:
    """Return what the head gets, from what the second layer gets."""
    second, last = model.layers["a"], model.layers["a_last"]
    return last(second(y)[0], batch_first=True)


def test_masks_are_refused() -> None:
    layer = layers.Embedding(V, I, mask_zero=True, name="a")
    layer.build((N, T))
    message = "a: mask_zero: expected False, got True; with False, give lengths"
    with raises(ValueError, message):
        fastrnn.load_keras(layer)
    layer.mask_zero = False
    assert_same(fastrnn.load_keras(layer), layer, tokens())


@pytest.mark.parametrize("head", ["softmax", "sigmoid", None, "layer", "Softmax"])
def test_logits(head: str | None) -> None:
    """They are what the model's probabilities come from."""
    after = [layers.Activation("softmax")] if head == "layer" else []
    after = [layers.Softmax()] if head == "Softmax" else after
    activation = head if head in ("softmax", "sigmoid") else None
    model = keras.Sequential(
        [layers.Input((T, I)), make("GRU"), layers.Dense(O, activation), *after]
    )
    randomise(model)
    x = draw(N, T, I)
    found, _ = fastrnn.load_keras(model, logits=True)(x)
    if head == "sigmoid":
        found = 1 / (1 + np.exp(-found))
        assert_same(fastrnn.load_keras(model), model, x)
    elif head:
        found = np.exp(found) / np.exp(found).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found, as_numpy(model(x)), atol=5e-6)


def functional(make_outputs: Callable[[Any], Any]) -> Any:
    x = keras.Input((T, I))
    return randomise(keras.Model(x, make_outputs(x), name="m"))


def test_functional_models(tmp_path: Path) -> None:
    pytest.importorskip("h5py")

    def outputs(x: Any) -> Any:
        inner = keras.Sequential([make("GRU"), layers.Dropout(0.5)])
        return layers.Dense(O, "tanh")(layers.Bidirectional(make("LSTM"))(inner(x)))

    model, path = functional(outputs), tmp_path / "m.keras"
    model.save(path)
    for source in (model, path):
        converted = fastrnn.load_keras(source)
        assert kinds(converted) == ["GRU", "Dropout", "LSTM", "Linear", "Activation"]
        assert_same(converted.eval(), model, draw(N, T, I))


def residual(x: Any) -> Any:
    return layers.Add(name="a")([x, make("GRU", I)(x)])


def twice(x: Any) -> Any:
    layer = make("GRU", I, name="a")
    return layer(layer(x))


def with_state(x: Any) -> Any:
    return make("GRU", name="a")(x, initial_state=make("GRU", return_state=True)(x)[1])


def state_alone(x: Any) -> Any:
    return make("GRU", name="a", return_state=True)(x)[1]


BRANCHES: dict[str, Callable[[Any], Any]] = {
    "a: expected one input, got 2: a branch": residual,
    "a: expected a layer used once, got it twice": twice,
    "m: expected one output, got 2: a branch": lambda x: [x + 0, x * 2],
    "a: expected its first output, got another: a state": state_alone,
    "a: expected a call with nothing but the input, got training=True": lambda x: (
        layers.Dropout(0.5, name="a")(x, training=True)
    ),
}


@pytest.mark.parametrize("message", BRANCHES, ids=range(len(BRANCHES)))
def test_models_that_are_no_chain(message: str) -> None:
    with raises(ValueError, message):
        fastrnn.load_keras(functional(BRANCHES[message]))


def test_operations_and_states_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a layer, got the operation Mul"):
        fastrnn.load_keras(functional(lambda x: make("GRU")(x) * 2))
    with pytest.raises(ValueError, match="a: expected one input, got 2"):
        fastrnn.load_keras(functional(with_state))


def test_a_model_with_a_call_of_its_own() -> None:
    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="m")
            self.rnn = make("GRU")

        def call(self, x: Any) -> Any:
            return -self.rnn(x)

    message = (
        "m: expected a Sequential or functional model, got Model, whose call is not "
        "known; convert its layers, or pass get_weights() if they follow one another"
    )
    with raises(ValueError, message):
        fastrnn.load_keras(Model())


def test_a_layer_that_is_not_built() -> None:
    message = "a: expected a layer with 3 arrays, got 0: it is not built yet"
    with raises(ValueError, message):
        fastrnn.load_keras(make("LSTM", name="a"))


def test_options_that_are_not_among_the_weights() -> None:
    layer = make("SimpleRNN", activation="relu", name="a")
    build(layer, N, T, I)
    layer.set_weights([a / 4 for a in layer.get_weights()])
    x = draw(N, T, I)
    for source in (layer, layer.get_weights()):
        converted = fastrnn.load_keras(source, nonlinearity="relu", batch_first=False)
        np.testing.assert_allclose(
            converted(x.swapaxes(0, 1).copy())[0].swapaxes(0, 1),
            as_numpy(layer(x)),
            atol=5e-6,
        )
    message = "nonlinearity: expected 'relu' (that of a) or None, got 'elu'"
    with raises(ValueError, message):
        fastrnn.load_keras(layer, nonlinearity="elu")


def test_dtypes() -> None:
    layer = build(layers.Dense(O, dtype="float16", name="a"), N, I)
    message = "a: weights[0]: expected float32 or float64, got float16"
    with raises(TypeError, message):
        fastrnn.load_keras(layer)
    for dtype in (np.float32, np.float64):
        converted = fastrnn.load_keras(layer, dtype=dtype)
        assert converted.dtype == dtype
        weight = layer.get_weights()[0].T.astype(dtype)
        np.testing.assert_array_equal(converted.params["weight"], weight)


def test_weights_that_do_not_do() -> None:
    kernel, recurrent, bias = build(make("GRU"), N, T, I).get_weights()
    message = (
        "source[1]: expected the first weight of an RNN, GRU, LSTM or Dense layer with "
        "bias, got shape (6, 18)"
    )
    with raises(ValueError, message):
        fastrnn.load_keras([kernel, recurrent, bias[:1], bias])


def test_bad_files(tmp_path: Path) -> None:
    for name in ("a.keras", "a.weights.h5", "a.h5"):
        path = tmp_path / name
        with pytest.raises(FileNotFoundError, match=f"{path}"):
            fastrnn.load_keras(path)
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(ValueError, match=f"^{path}: "):
            fastrnn.load_keras(path)
    other = tmp_path / "a.txt"
    other.touch()
    with raises(ValueError, f"{other}: expected a .keras or .weights.h5 file"):
        fastrnn.load_keras(other)
    with pytest.raises(IsADirectoryError, match=f"{tmp_path}"):
        fastrnn.load_keras(tmp_path)


def test_files_of_weights_of_other_layers(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    path = tmp_path / "a.weights.h5"
    keras.Sequential([layers.Input((T, I)), layers.Conv1D(2, 3)]).save_weights(path)
    message = (
        f"{path}: conv1d: expected SimpleRNN, GRU, LSTM, Bidirectional, Dense, "
        f"Embedding or Dropout, got conv1d; if load_keras takes it in a model, give "
        f"the model"
    )
    with raises(ValueError, message):
        fastrnn.load_keras(path)


@pytest.mark.parametrize(
    "bad", [{"bidirectional": True}, {"order": ["a"]}], ids=lambda bad: next(iter(bad))
)
def test_arguments_that_a_model_does_not_need(bad: dict[str, Any]) -> None:
    (name, value), layer = next(iter(bad.items())), build(layers.Dense(O), N, I)
    with raises(ValueError, f"{name}: expected None with a model, got {value!r}"):
        fastrnn.load_keras(layer, **bad)
