"""Every public callable, with arguments that are good: what the fuzzers start from."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import fastrnn
import fastrnn.onnx
from fastrnn import data, plot, reference, schedules, text
from tests.problems import FUNCTIONS, GATES, STATES

T, N, I, H, V, O = 3, 2, 4, 5, 6, 3  # noqa: E741
RECURRENT = tuple(cell.upper() for cell in FUNCTIONS)
# Arguments that one cell alone has: of its functions, and of its layer.
OWN: dict[str, dict[str, Any]] = {
    "rnn": {"nonlinearity": "elu"},
    "gru": {"reset": "before"},
    "lstm": {"peephole": True, "proj_size": 3, "coupled": True},
}
F32 = np.float32
LENGTHS = np.array([T, 1])
RESETS = np.zeros((T, N), bool)
TOKENS = np.arange(T * N).reshape(T, N) % V
TARGETS = np.array([[0, 1], [2, -100], [1, 0]])
TEXT = "a cat, a hat"


class Good(NamedTuple):
    """A call that succeeds.

    ``names`` may begin a message beside the arguments' own; ``called`` are arguments
    that are called if they can be: what they raise is theirs.
    """

    function: Callable[..., Any]
    arguments: dict[str, Any]
    names: tuple[str, ...] = ()
    called: tuple[str, ...] = ()

    def call(self, **changed: Any) -> Any:
        arguments = {**self.arguments, **changed}
        # Some are for their places alone.
        first = [arguments.pop(n) for n in list(arguments) if n.startswith("*")]
        return self.function(*first, **arguments)


def ones(*shape: int) -> Any:
    """Return distinct numbers below 1, float32."""
    return np.linspace(-0.5, 0.9, int(np.prod(shape)), dtype=F32).reshape(shape)


def positive(*shape: int) -> Any:
    return np.linspace(0.1, 0.9, int(np.prod(shape)), dtype=F32).reshape(shape)


GOOD: dict[str, Callable[[], Good]] = {}
NEEDS = {"plot.": "matplotlib", "load_onnx": "onnx", "save_onnx": "onnx"}


def good(*names: str) -> Callable[[Callable[[str], Good]], Callable[[str], Good]]:
    """Register what makes the good call of each name."""

    def register(make: Callable[[str], Good]) -> Callable[[str], Good]:
        for name in names:
            GOOD[name] = lambda name=name: make(name)
        return make

    return register


def module_of(name: str) -> Any:
    return reference if name.startswith("reference.") else fastrnn


# --- functions -----------------------------------------------------------------------


def sequence_arguments(
    cell: str, tokens: bool = False, *, own: bool = True
) -> dict[str, Any]:
    """Return the arguments of a function of sequences, with those of its cell alone."""
    GH = GATES[cell] * H
    found = {
        "x": TOKENS if tokens else ones(T, N, I),
        "w_ih": ones(GH, I),
        "w_hh": ones(GH, H),
        "b_ih": ones(GH),
        "b_hh": ones(GH),
        "h0": ones(N, H),
        "lengths": LENGTHS,
        "padding": "left",
        "resets": RESETS,
        "reverse": True,
        "embedding": ones(V, I) if tokens else None,
        "training": True,
        "recurrent_mask": ones(N, H),
        "zoneout": np.zeros((T, N, H), bool),
    }
    if len(STATES[cell]) == 2:
        found |= {"c0": ones(N, H), "zoneout": (found["zoneout"],) * 2}
    if own:
        found |= OWN[cell]
    if own and cell == "lstm":
        P = found.pop("proj_size")
        found |= {"peephole": ones(3, H), "projection": ones(P, H), "w_hh": ones(GH, P)}
        found |= {"h0": ones(N, P), "recurrent_mask": ones(N, P)}
        found["zoneout"] = tuple(np.zeros((T, N, width), bool) for width in (P, H))
    return found


MODULES = ("", "reference.")


@good(*(f"{m}{cell}_forward" for m in MODULES for cell in FUNCTIONS))
def sequence_forward(name: str) -> Good:
    cell = name.rpartition(".")[2].partition("_")[0]
    function = getattr(module_of(name), f"{cell}_forward")
    return Good(function, sequence_arguments(cell))


@good(*(f"{m}{cell}_forward of tokens" for m in MODULES for cell in FUNCTIONS))
def sequence_forward_of_tokens(name: str) -> Good:
    cell = name.rpartition(".")[2].partition("_")[0]
    function = getattr(module_of(name), f"{cell}_forward")
    return Good(function, sequence_arguments(cell, tokens=True))


@good(*(f"{m}{cell}_backward" for m in MODULES for cell in FUNCTIONS))
def sequence_backward(name: str) -> Good:
    cell = name.rpartition(".")[2].partition("_")[0]
    module = module_of(name)
    tape = getattr(module, f"{cell}_forward")(**sequence_arguments(cell))[2]
    width = tape.y.shape[2]
    arguments = {"tape": tape, "dy": ones(T, N, width), "dh_n": ones(N, width)}
    if len(STATES[cell]) == 2:
        arguments["dc_n"] = ones(N, H)
    return Good(getattr(module, f"{cell}_backward"), {**arguments, "return_dh": True})


@good(*(f"{m}linear_{what}" for m in MODULES for what in ("forward", "backward")))
def linear(name: str) -> Good:
    arguments = {"x": ones(T, N, I), "w": ones(O, I)}
    if name.endswith("forward"):
        arguments["b"] = ones(O)
    else:
        arguments |= {"dy": ones(T, N, O), "bias": True}
    return Good(getattr(module_of(name), name.rpartition(".")[2]), arguments)


@good(*(f"{m}linear_cross_entropy" for m in MODULES))
def linear_cross_entropy(name: str) -> Good:
    arguments = {
        "y": ones(T, N, H),
        "w": ones(V, H),
        "b": ones(V),
        "targets": TARGETS,
        "ignore_index": -100,
        "reduction": "none",
        "training": True,
        "wanted": ("dy", "dw"),
        "weights": positive(T, N),
        "class_weights": positive(V),
        "label_smoothing": 0.1,
    }
    return Good(module_of(name).linear_cross_entropy, arguments)


OF_NUMBERS: dict[str, dict[str, Any]] = {
    "mean_squared_error": {},
    "mean_absolute_error": {},
    "huber": {"delta": 0.5},
    "quantile_loss": {"quantile": 0.9},
    "binary_cross_entropy": {},
}


@good(*(f"{m}{name}" for m in MODULES for name in OF_NUMBERS))
def loss_of_numbers(name: str) -> Good:
    loss = name.rpartition(".")[2]
    arguments = {"y": ones(T, N), "targets": positive(T, N), **OF_NUMBERS[loss]}
    arguments |= {"weights": positive(T), "mask": ~RESETS}
    return Good(getattr(module_of(name), loss), arguments)


@good(*(f"{m}{name}" for m in MODULES for name in ("softmax", "log_softmax")))
def softmax(name: str) -> Good:
    return Good(getattr(module_of(name), name.rpartition(".")[2]), {"y": ones(T, V)})


@good(*(f"{m}ctc_loss" for m in MODULES))
def ctc_loss(name: str) -> Good:
    arguments = {
        "logits": ones(T, N, V),
        "targets": np.array([[1, 2], [3, -1]]),
        "lengths": [T, 2],
        "target_lengths": [2, 1],
        "blank": 0,
    }
    return Good(module_of(name).ctc_loss, arguments, ("targets",))


@good("perplexity", "bits_per_character")
def of_a_loss(name: str) -> Good:
    return Good(getattr(fastrnn, name), {"loss": 0.5})


@good("accuracy")
def accuracy(_: str) -> Good:
    arguments = {"predicted": TOKENS, "targets": TARGETS, "ignore_index": -100}
    return Good(fastrnn.accuracy, arguments)


@good("clip_grad_norm")
def clip_grad_norm(_: str) -> Good:
    arguments = {"grads": [ones(3), ones(2, 2)], "max_norm": 1.0}
    return Good(fastrnn.clip_grad_norm, {**arguments, "error_if_nonfinite": True})


@good("clip_grad_norm of a layer", "clip_grad_value of a layer")
def clip_a_layer(name: str) -> Good:
    function = getattr(fastrnn, name.partition(" ")[0])
    limit = "max_norm" if "norm" in name else "clip_value"
    return Good(function, {"grads": make("Linear"), limit: 1.0})


@good("clip_grad_value")
def clip_grad_value(_: str) -> Good:
    return Good(fastrnn.clip_grad_value, {"grads": ones(3), "clip_value": 0.5})


@good("set_num_threads")
def set_num_threads(_: str) -> Good:
    return Good(fastrnn.set_num_threads, {"n": fastrnn.get_num_threads()})


@good("isa", "available_isas", "get_num_threads", "build_info", "trim_memory")
def without_arguments(name: str) -> Good:
    return Good(getattr(fastrnn, name), {})


# --- layers --------------------------------------------------------------------------

SEED: dict[str, Any] = {"seed": 0}


@good(*RECURRENT)
def recurrent(name: str) -> Good:
    arguments = {
        "input_size": I,
        "hidden_size": H,
        "num_layers": 2,
        "bias": True,
        "batch_first": False,
        "dropout": 0.5,
        "recurrent_dropout": 0.5,
        "zoneout": 0.5,
        "weight_dropout": 0.5,
        "bidirectional": True,
        "init": "keras",
        "dtype": np.float32,
        **SEED,
    }
    return Good(getattr(fastrnn, name), {**arguments, **OWN[name.lower()]})


def make(name: str, **options: Any) -> Any:
    if name == "Sequential":
        layers = {
            "embedding": fastrnn.Embedding(V, I, seed=0),
            "rnn": fastrnn.LSTM(I, H, seed=0),
            "drop": fastrnn.Dropout(0.5, seed=0),
            "head": fastrnn.Linear(H, V, seed=0),
        }
        return fastrnn.Sequential(**layers)
    if name == "Activation":
        return fastrnn.Activation("gelu")
    if name == "Heads":
        heads = {"a": fastrnn.Linear(I, O, seed=0), "b": fastrnn.Linear(I, 1, seed=0)}
        return fastrnn.Heads(**heads)
    if name in ("LayerNorm", "BatchNorm"):
        return getattr(fastrnn, name)(I)
    if name in ("Last", "MeanOverTime", "MaxOverTime"):
        return getattr(fastrnn, name)()
    if name == "Attention":
        return fastrnn.Attention(I, seed=0)
    sizes = {"Embedding": (V, I), "Linear": (I, O), "Dropout": (0.5,)}
    return getattr(fastrnn, name)(*sizes.get(name, (I, H)), seed=0, **options)


LAYERS = (*RECURRENT, "Embedding", "Linear", "Dropout", "Sequential")
LAYERS += ("Activation", "LayerNorm", "BatchNorm", "Heads")
POOLING = ("Last", "MeanOverTime", "MaxOverTime", "Attention")
LAYERS += POOLING
INPUTS = {"Embedding": TOKENS, "Sequential": TOKENS}
HEIGHTS = {"Embedding": I, "Linear": O, "Dropout": I, "Sequential": V, "Activation": I}
HEIGHTS |= {"LayerNorm": I, "BatchNorm": I}
MODES = ("train", "eval", "zero_grad", "state_dict")


@good("Embedding")
def embedding(_: str) -> Good:
    arguments = {"num_embeddings": V, "embedding_dim": I, "dtype": np.float64, **SEED}
    return Good(fastrnn.Embedding, {**arguments, "trainable": False})


@good("Linear")
def linear_layer(_: str) -> Good:
    arguments = {"in_features": I, "out_features": O, "bias": True, "dtype": np.float64}
    tied = fastrnn.Embedding(O, I, dtype=np.float64, seed=0)
    return Good(fastrnn.Linear, {**arguments, "tied": tied, **SEED})


@good("LayerNorm", "BatchNorm")
def norm(name: str) -> Good:
    arguments = {"hidden_size": I, "eps": 1e-3, "dtype": np.float64}
    more = {"momentum": 0.2} if name == "BatchNorm" else {}
    return Good(getattr(fastrnn, name), {**arguments, **more})


@good("Last")
def last(_: str) -> Good:
    return Good(fastrnn.Last, {"bidirectional": True})


@good("MeanOverTime", "MaxOverTime")
def pooling(name: str) -> Good:
    return Good(getattr(fastrnn, name), {})


@good("Attention")
def attention(_: str) -> Good:
    arguments = {"input_size": I, "units": H, "dtype": np.float64, **SEED}
    return Good(fastrnn.Attention, arguments)


@good("Heads")
def heads(_: str) -> Good:
    return Good(fastrnn.Heads, {"a": make("LSTM"), "b": make("Linear")})


@good("check_gradients")
def check_gradients(_: str) -> Good:
    arguments = {
        "model": fastrnn.LSTM(I, H, dtype=np.float64, seed=0),
        "x": ones(T, N, I).astype(np.float64),
        "lengths": LENGTHS,
        "padding": "left",
        "resets": RESETS,
        "samples": 1,
        "step": 1e-5,
        "tolerance": 1e-5,
        "seed": 0,
        "targets": None,
        "loss": lambda y, _: (y.sum(), np.ones_like(y)),
    }
    # A wide step, or infinite data, make gradients that differ.
    names = ("grads", "dx", "loss", "step")
    return Good(fastrnn.check_gradients, arguments, names, called=("loss",))


@good("Dropout")
def dropout(_: str) -> Good:
    return Good(fastrnn.Dropout, {"p": 0.5, **SEED})


@good("Activation")
def activation(_: str) -> Good:
    return Good(fastrnn.Activation, {"name": "tanh"})


@good("Sequential")
def sequential(_: str) -> Good:
    layers = {"rnn": make("LSTM"), "head": fastrnn.Linear(H, O)}
    return Good(fastrnn.Sequential, layers)


@good(*(f"{layer}.{method}" for layer in LAYERS for method in MODES))
def without_much(name: str) -> Good:
    layer, _, method = name.partition(".")
    weights = method == "eval" and layer in RECURRENT
    arguments = {"weights": "bfloat16"} if weights else {}
    return Good(getattr(make(layer), method), arguments)


@good(*(f"{layer}.load_state_dict" for layer in LAYERS))
def load_state_dict(name: str) -> Good:
    layer = make(name.partition(".")[0])
    return Good(layer.load_state_dict, {"d": layer.state_dict()})


@good(
    *(f"{layer}.{flat}=" for layer in LAYERS for flat in ("flat_params", "flat_grads"))
)
def set_flat(name: str) -> Good:
    layer, _, flat = name.rstrip("=").partition(".")
    return setter(make(layer), flat, lambda found: getattr(found, flat))


def setter(owner: Any, name: str, value: Callable[[Any], Any]) -> Good:
    def assign(**values: Any) -> None:
        setattr(owner, name, values[name])

    return Good(assign, {name: value(owner)})


def states(layer: str, rows: int = N) -> Any:
    h = ones(1, rows, H)
    return (h, h + 1) if len(STATES[layer.lower()]) == 2 else h


@good(*(f"{layer}.__call__" for layer in LAYERS))
def call(name: str) -> Good:
    layer = name.partition(".")[0]
    arguments: dict[str, Any] = {"x": INPUTS.get(layer, ones(T, N, I))}
    if layer in (*RECURRENT, "Sequential"):
        state = (states("LSTM"),) if layer == "Sequential" else states(layer)
        arguments |= {"state": state, "lengths": LENGTHS, "padding": "left"}
        arguments["resets"] = RESETS
    if layer in ("Embedding", "BatchNorm", "Heads", *POOLING):
        arguments |= {"lengths": LENGTHS, "padding": "left"}
    if layer in ("Embedding", "Sequential", "BatchNorm", "Heads", *POOLING):
        arguments["batch_first"] = False
    if layer == "Heads":
        arguments |= {"state": (), "resets": RESETS}
    return Good(make(layer), arguments)


@good(*(f"{layer}.__call__ in eval mode" for layer in RECURRENT))
def call_in_eval_mode(name: str) -> Good:
    layer = name.partition(".")[0]
    arguments = {"x": ones(T, N, I), "state": states(layer), "padding": "right"}
    return Good(make(layer).eval(), arguments)


@good(*(f"{layer}.__call__ batch first" for layer in RECURRENT))
def call_batch_first(name: str) -> Good:
    layer = name.partition(".")[0]
    arguments = {"x": ones(N, T, I), "lengths": LENGTHS, "resets": RESETS.T}
    return Good(make(layer, batch_first=True), arguments)


@good(*(f"{layer}.backward" for layer in LAYERS))
def backward(name: str) -> Good:
    kind = name.partition(".")[0]
    layer = make(kind)
    layer(INPUTS.get(kind, ones(T, N, I)))
    arguments: dict[str, Any] = {"dy": ones(T, N, HEIGHTS.get(kind, H))}
    if kind in (*RECURRENT, "Sequential"):
        state = (states("LSTM"),) if kind == "Sequential" else states(kind)
        arguments |= {"dstate": state, "return_dh": True}
    if kind in POOLING:
        arguments["dy"] = ones(N, I)
    if kind == "Heads":
        dy = {"a": ones(T, N, O), "b": ones(T, N, 1)}
        arguments = {"dy": dy, "dstate": (), "return_dh": True}
    return Good(layer.backward, arguments, ("backward",))


@good("Linear.cross_entropy", "Sequential.cross_entropy")
def cross_entropy(name: str) -> Good:
    kind = name.partition(".")[0]
    arguments: dict[str, Any] = {
        "x": INPUTS.get(kind, ones(T, N, I)),
        "targets": TARGETS,
    }
    arguments |= {"ignore_index": -100, "reduction": "sum"}
    arguments |= {"weights": positive(T, N), "label_smoothing": 0.1}
    arguments["class_weights"] = positive(V if kind == "Sequential" else O)
    if kind == "Sequential":
        arguments |= {"state": (states("LSTM"),), "lengths": LENGTHS, "padding": "left"}
        arguments |= {"resets": RESETS, "batch_first": False}
    return Good(make(kind).cross_entropy, arguments)


# --- the stepper ---------------------------------------------------------------------


@good("Stepper", "Stepper of a model")
def stepper(name: str) -> Good:
    layer = make("Sequential" if name.endswith("model") else "LSTM")
    return Good(fastrnn.Stepper, {"layer": layer, "rows": N})


@good("Stepper.step", "Stepper.step of tokens", "Stepper.step of a model")
def step(name: str) -> Good:
    x = ones(N, I) if name == "Stepper.step" else np.array([0, 1])
    layer = make("Sequential" if name.endswith("model") else "LSTM")
    return Good(fastrnn.Stepper(layer, rows=N).step, {"x": x})


@good("Stepper.reset")
def reset(_: str) -> Good:
    return Good(fastrnn.Stepper(make("GRU"), rows=N).reset, {"rows": [0, 1]})


@good("Stepper.state=", "Stepper.state= of a model")
def set_state(name: str) -> Good:
    layer = make("Sequential" if name.endswith("model") else "LSTM")
    return setter(fastrnn.Stepper(layer, rows=N), "state", lambda s: s.state)


@good("Stepper.clone", "Stepper.refresh")
def of_a_stepper(name: str) -> Good:
    return Good(getattr(fastrnn.Stepper(make("RNN")), name.partition(".")[2]), {})


# --- optimizers ----------------------------------------------------------------------

NUMBERS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.5, "nesterov": True},
    "RMSprop": {"alpha": 0.9, "eps": 1e-8, "momentum": 0.5},
    "Adagrad": {"eps": 1e-8},
    "Adam": {"betas": (0.9, 0.99), "eps": 1e-8},
    "AdamW": {"betas": (0.9, 0.99), "eps": 1e-8},
}


@good(*NUMBERS)
def optimizer(name: str) -> Good:
    arguments = {"params": [ones(3), ones(2, 2)], "lr": 0.1, "weight_decay": 0.1}
    return Good(getattr(fastrnn, name), {**arguments, **NUMBERS[name]})


def make_optimizer(name: str) -> Any:
    return getattr(fastrnn, name)([ones(3), ones(2, 2)], 0.1, **NUMBERS[name])


@good(*(f"{name}.step" for name in NUMBERS))
def optimizer_step(name: str) -> Good:
    made = make_optimizer(name.partition(".")[0])
    return Good(made.step, {"grads": [ones(3), ones(2, 2)]})


@good("Adam of a layer", "Adam.step of a layer")
def of_a_layer(name: str) -> Good:
    arguments = {"params": make("Linear"), "lr": 0.1}
    if "step" not in name:
        return Good(fastrnn.Adam, arguments)
    return Good(fastrnn.Adam(**arguments).step, {"grads": None})


@good(*(f"{name}.lr=" for name in NUMBERS))
def set_lr(name: str) -> Good:
    return setter(make_optimizer(name.partition(".")[0]), "lr", lambda _: 0.1)


@good(*(f"{name}.state_dict" for name in NUMBERS))
def optimizer_state_dict(name: str) -> Good:
    return Good(make_optimizer(name.partition(".")[0]).state_dict, {})


@good(*(f"{name}.load_state_dict" for name in NUMBERS))
def optimizer_load_state_dict(name: str) -> Good:
    made = make_optimizer(name.partition(".")[0])
    return Good(made.load_state_dict, {"d": made.state_dict()})


# --- files and conversion ------------------------------------------------------------


@good("save")
def save(_: str) -> Good:
    arguments = {"path": "made.safetensors", "arrays": {"a": ones(2), "b": ones(2, 2)}}
    arguments |= {"facts": {"n": 1}, "kind": "test", "checksum": True}
    return Good(fastrnn.save, arguments, ("made.safetensors",))


@good("load")
def load(_: str) -> Good:
    path = "kept.safetensors"
    fastrnn.save(path, {"a": ones(2)}, {"n": 1}, kind="test")
    return Good(fastrnn.load, {"path": path, "kind": "test"}, (path,))


@good("load_torch")
def load_torch(_: str) -> Good:
    d = fastrnn.RNN(2, 3, seed=0).state_dict()
    options = {
        "nonlinearity": "relu",
        "batch_first": True,
        "key": "state",
        "order": [""],
    }
    options |= {"dtype": np.float64, **SEED}
    # It names the module or the tensor.
    names = (*d, "weight_hh", "unknown", "a.safetensors")
    return Good(fastrnn.load_torch, {"source": {"state": d}, **options}, names)


@good("load_keras")
def load_keras(_: str) -> Good:
    weights = [ones(2, 12), ones(3, 12), ones(12)]
    options = {"bidirectional": False, "nonlinearity": "tanh", "batch_first": True}
    options |= {"logits": False, "order": None, "dtype": np.float64, **SEED}
    return Good(fastrnn.load_keras, {"source": weights, **options}, ("weights",))


@good("save_onnx")
def save_onnx(_: str) -> Good:
    model = make("Sequential")
    return Good(fastrnn.save_onnx, {"model": model, "path": "a.onnx", "lengths": True})


@good("load_onnx")
def load_onnx(_: str) -> Good:
    fastrnn.save_onnx(make("LSTM"), "b.onnx")
    return Good(fastrnn.load_onnx, {"source": "b.onnx"})


@good("onnx.run_node")
def run_node(_: str) -> Good:
    facts = {"op_type": "LSTM", "domain": "", "name": "", "attribute": ()}
    names = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    node = SimpleNamespace(**facts, input=names, output=("Y", "Y_h", "Y_c"))
    arguments = {
        "*node": node,
        "*X": ones(T, N, I),
        "*W": ones(1, 4 * H, I),
        "*R": ones(1, 4 * H, H),
        "*B": ones(1, 8 * H),
        "*sequence_lens": LENGTHS,
        "*initial_h": ones(1, N, H),
        "*initial_c": ones(1, N, H),
        "*P": np.zeros((1, 3 * H), F32),
    }
    return Good(fastrnn.onnx.run_node, arguments, ("node", "LSTM", "inputs"))


# --- data and text -------------------------------------------------------------------

SEQUENCES = [[1, 2], [3], [], [4, 5, 6]]


@good("data.pad_sequences")
def pad_sequences(_: str) -> Good:
    options = {"padding": "left", "truncate": "left", "value": -1, "dtype": "f4"}
    arguments = {"sequences": SEQUENCES, "max_length": 2, **options}
    return Good(data.pad_sequences, arguments)


@good("data.bucket_batches")
def bucket_batches(_: str) -> Good:
    return Good(data.bucket_batches, {"lengths": [1, 2, 3], "batch_size": 2, **SEED})


@good("data.pack_streams")
def pack_streams(_: str) -> Good:
    return Good(data.pack_streams, {"sequences": SEQUENCES, "rows": 2, "dtype": "i4"})


@good("data.stream_batches")
def stream_batches(_: str) -> Good:
    arguments = {"tokens": np.arange(9), "rows": 2, "steps": 2, "drop_last": True}
    return Good(data.stream_batches, arguments)


@good("data.batches", "data.Batches")
def batches(name: str) -> Good:
    arguments = {
        "sequences": [ones(3, I), ones(1, I), ones(2, I)],
        "targets": [[0, 1, 2], [1], [2, 0]],
        "rows": 2,
        "bucket": True,
        "shuffle": True,
        "weights": [0.5, 1.0, 2.0],
        "indices": [0, 2],
        "dtype": F32,
        "batch_first": True,
        "aligned": True,
        **SEED,
    }
    return Good(getattr(data, name.partition(".")[2]), arguments)


@good("data.windows")
def windows(_: str) -> Good:
    arguments = {"series": ones(9, I), "length": 3, "horizon": 2, "stride": 2}
    return Good(data.windows, arguments)


@good("data.split")
def split(_: str) -> Good:
    arguments = {"sequences": SEQUENCES, "fraction": 0.5, "groups": [1, 1, 2, 2]}
    return Good(data.split, {**arguments, **SEED})


@good("text.Vocabulary")
def vocabulary(_: str) -> Good:
    flags = dict.fromkeys(("words", "pad", "unk", "bos", "eos"), True)
    counts = {"tokens": None, "min_count": 1, "max_size": 2}
    return Good(text.Vocabulary, {"text": [TEXT, TEXT], **counts, **flags})


@good("text.Vocabulary of tokens")
def vocabulary_of_tokens(_: str) -> Good:
    tokens = ["<unk>", "the", "cat"]
    return Good(text.Vocabulary, {"text": None, "tokens": tokens, "words": True})


@good("text.Vocabulary []", "text.Vocabulary in")
def look_up(name: str) -> Good:
    made = text.Vocabulary(TEXT)
    method = made.__getitem__ if name.endswith("[]") else made.__contains__
    return Good(method, {"token": "a"})


@good("text.Vocabulary.encode")
def encode(_: str) -> Good:
    made = text.Vocabulary(TEXT, bos=True, eos=True)
    return Good(made.encode, {"text": TEXT, "bos": True, "eos": True})


@good("text.Vocabulary.decode")
def decode(_: str) -> Good:
    return Good(text.Vocabulary(TEXT).decode, {"ids": [0, 1, 2]})


@good("text.Vocabulary.state_dict")
def vocabulary_state_dict(_: str) -> Good:
    return Good(text.Vocabulary(TEXT).state_dict, {})


@good("text.Vocabulary.from_state_dict")
def from_state_dict(_: str) -> Good:
    d = text.Vocabulary(TEXT, eos=True).state_dict()
    return Good(text.Vocabulary.from_state_dict, {"d": d})


@good("text.read_text")
def read_text(_: str) -> Good:
    path = "kept.txt"
    Path(path).write_text(TEXT)
    return Good(text.read_text, {"path": path}, (path,))


@good("text.load_vectors")
def load_vectors(_: str) -> Good:
    path = "vectors.txt"
    Path(path).write_text("a 0.5 1\nb 2 3\n")
    arguments = {"path": path, "vocabulary": text.Vocabulary(TEXT), "dtype": F32}
    return Good(text.load_vectors, arguments, (path,))


@good("text.split_words")
def split_words(_: str) -> Good:
    return Good(text.split_words, {"text": TEXT})


@good("text.join_words")
def join_words(_: str) -> Good:
    return Good(text.join_words, {"tokens": ["a", ",", "b"]})


@good("text.choose")
def choose(_: str) -> Good:
    how = {"temperature": 0.5, "top_k": 2, "top_p": 0.9}
    return Good(text.choose, {"logits": ones(V), **SEED, **how})


@good("text.generate")
def generate(_: str) -> Good:
    def draw(length: Any, **arguments: Any) -> list[int]:
        drawn = text.generate(length=length, **arguments)
        return [i for i, _ in zip(drawn, range(3), strict=False)]

    how = {"temperature": 0.5, "top_k": 2, "top_p": 0.9, "stop": 0, **SEED}
    arguments = {"model": make("Sequential"), "prompt": [1, 2], "length": 3, **how}
    return Good(
        draw, {**arguments, "state": (states("LSTM", 1),)}, ("logits", "x"), ("model",)
    )


def few_at_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with a length that ends soon."""

    def call(length: Any, **arguments: Any) -> Any:
        is_large = isinstance(length, (int, np.integer)) and length > 3
        return function(length=3 if is_large else length, **arguments)

    return call


@good("text.generate of several prompts")
def generate_several(_: str) -> Good:
    how = {"temperature": 0.5, "top_k": 2, "top_p": 0.9, "stop": 0, **SEED}
    arguments = {"model": make("Sequential"), "prompt": [[1, 2], [3]], "length": 3}
    arguments |= {**how, "state": (states("LSTM"),)}
    function = few_at_once(text.generate)
    return Good(function, arguments, ("logits", "x"), ("model",))


@good("text.beam_search")
def beam_search(_: str) -> Good:
    arguments = {"model": make("Sequential"), "prompt": [1, 2], "length": 3, "beams": 2}
    arguments |= {"stop": 0, "length_penalty": 0.5, "state": (states("LSTM", 1),)}
    function = few_at_once(text.beam_search)
    return Good(function, arguments, ("logits", "x"), ("model",))


# --- training ------------------------------------------------------------------------


@good("fit")
def fit(_: str) -> Good:
    model = fastrnn.Sequential(fastrnn.GRU(I, H), fastrnn.Linear(H, O))
    batch = data.Batch(ones(T, N, I), TARGETS, LENGTHS, weights=ones(T, N) ** 2)
    options = {"epochs": 1, "patience": 1, "clip": 1.0, "progress": False}
    functions = {"schedule": lambda epoch, history: 1.0, "callbacks": [print_nothing]}
    optimizer = fastrnn.SGD(model, lr=0.1)
    arguments = {"model": model, "batches": [batch], "loss": "cross_entropy"}
    return Good(
        fastrnn.fit,
        {**arguments, "validation": [batch], "optimizer": optimizer, **options}
        | functions
        | {"checkpoint": None},
        ("x", "targets", "weights", "lengths"),
        ("batches", "validation", "loss", "schedule", "checkpoint", "callbacks"),
    )


def print_nothing(*_: Any) -> None:
    pass


@good("predict")
def predict(_: str) -> Good:
    model = fastrnn.Sequential(fastrnn.GRU(I, H), fastrnn.Linear(H, O))
    sequences = [ones(3, I), ones(1, I)]
    arguments = {"model": model, "sequences": sequences, "rows": 2}
    return Good(fastrnn.predict, arguments, ("x",))


@good("schedules.cosine")
def cosine(_: str) -> Good:
    return Good(schedules.cosine, {"epochs": 2, "final": 0.1})


@good("schedules.warmup")
def warmup(_: str) -> Good:
    return Good(schedules.warmup, {"epochs": 2, "then": schedules.cosine(2)})


@good("schedules.exponential")
def exponential(_: str) -> Good:
    return Good(schedules.exponential, {"factor": 0.5})


@good("schedules.plateau")
def plateau(_: str) -> Good:
    arguments = {"factor": 0.5, "patience": 2, "threshold": 0.1}
    return Good(schedules.plateau, arguments)


# --- pictures ------------------------------------------------------------------------


@good("plot.losses")
def losses(_: str) -> Good:
    curves = {"a": [1.0, 2.0], "b": ([1, 2], ones(2))}
    arguments = {"curves": curves, "lines": {"c": 1.5}, "unit": "u", "title": "t"}
    return Good(plot.losses, {**arguments, "log": True})


@good("plot.states")
def plot_states(_: str) -> Good:
    arguments = {"values": ones(T, H), "tokens": ["a", "b", "cd"], "title": "t"}
    return Good(plot.states, arguments)


@good("plot.activations")
def activations(_: str) -> Good:
    arguments = {"tokens": "abc", "values": ones(T), "columns": 2, "title": "t"}
    return Good(plot.activations, arguments)


@good("plot.activations_html")
def activations_html(_: str) -> Good:
    arguments = {"tokens": "abc", "values": ones(T, H), "title": "t"}
    return Good(plot.activations_html, arguments)


@good("plot.gate_saturation")
def gate_saturation(_: str) -> Good:
    tape = fastrnn.gru_forward(**sequence_arguments("gru"))[2]
    return Good(plot.gate_saturation, {"tape": tape, "title": "t"})


@good("plot.gradient_norms")
def gradient_norms(_: str) -> Good:
    arguments = {"dh": {"a": ones(T, N, H)}, "title": "t", "unit": "u"}
    return Good(plot.gradient_norms, arguments)


@good("plot.gradient_norms of a layer")
def gradient_norms_of_a_layer(_: str) -> Good:
    layer = make("LSTM")
    layer.backward(layer(ones(T, N, I))[0], return_dh=True)
    return Good(plot.gradient_norms, {"dh": layer, "title": "t"})


# --- what there is -------------------------------------------------------------------


def pool_for(name: str, values: list[Any]) -> list[Any]:
    """Return the hostile values for a callable: tensors too, for those that take some.

    NumPy, given one without memory, crashes before any function sees it.
    """
    return (
        values + list(public_torch.tensors()) if name.startswith("torch.") else values
    )


def public_names() -> Iterator[str]:
    """Yield the names that `GOOD` must have: all functions, classes and methods."""
    for prefix, module in {
        "": fastrnn,
        "reference.": reference,
        "data.": data,
        "schedules.": schedules,
        "text.": text,
        "plot.": plot,
        "onnx.": fastrnn.onnx,
    }.items():
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.ismodule(value) or isinstance(value, str):
                continue
            if not inspect.isclass(value):
                yield prefix + name
            elif not issubclass(value, (tuple, dict)) and value is not fastrnn.Layer:
                yield prefix + name
                yield from (f"{prefix}{name}.{member}" for member in members(value))
    for module in (public_torch, public_keras, public_jax):
        if module is not None:
            yield from module.public_names()


def members(owner: type) -> Iterator[str]:
    """Yield methods, and what can be assigned to with a ``=``."""
    for name in dir(owner):
        value = inspect.getattr_static(owner, name)
        if name != "__call__" and name.startswith("_"):
            continue
        if isinstance(value, property) or inspect.isgetsetdescriptor(value):
            if getattr(value, "fset", None) or name == "state":
                yield f"{name}="
        elif callable(getattr(owner, name)):
            yield name


public_torch: Any = None
if importlib.util.find_spec("torch"):
    from tests.fuzz import public_torch  # at the end: it adds to `GOOD`
public_keras: Any = None
if public_torch is not None and importlib.util.find_spec("keras"):
    from tests.fuzz import public_keras
public_jax: Any = None
if importlib.util.find_spec("jax"):
    from tests.fuzz import public_jax
