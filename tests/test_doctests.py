"""The examples in the docstrings of public names run, and the main names have one."""

from __future__ import annotations

import doctest
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastrnn

MODULES = ("fastrnn", "fastrnn.data", "fastrnn.schedules", "fastrnn.text")
MAIN = {
    "fastrnn": {
        "RNN", "GRU", "LSTM", "Embedding", "Linear", "Dropout", "Activation", "Last",
        "MeanOverTime", "MaxOverTime", "Attention", "LayerNorm", "rnn_forward",
        "gru_forward", "lstm_forward", "linear_forward", "linear_cross_entropy",
        "mean_squared_error", "mean_absolute_error", "huber", "quantile_loss",
        "binary_cross_entropy", "ctc_loss", "softmax", "accuracy", "perplexity", "SGD",
        "Adam", "clip_grad_norm", "clip_grad_value", "fit", "predict", "save",
    },
    "fastrnn.data": {
        "batches", "windows", "split", "pad_sequences", "bucket_batches",
        "pack_streams", "stream_batches",
    },
    "fastrnn.schedules": {"cosine", "warmup"},
    "fastrnn.text": {"Vocabulary", "choose"},
}  # fmt: skip


def examples() -> Iterator[doctest.DocTest]:
    """Yield the examples of each public name, and of the methods of its own."""
    parser = doctest.DocTestParser()
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.ismodule(value):
                continue
            own = vars(value).items() if inspect.isclass(value) else ()
            for place, thing in [("", value), *own]:
                text = inspect.getdoc(thing) if callable(thing) else None
                full = ".".join(filter(None, [module.__name__, name, place]))
                found = parser.get_doctest(text or "", names(), full, None, None)
                if found.examples:
                    yield found


def names() -> dict[str, Any]:
    return {"np": np, "fastrnn": fastrnn}


EXAMPLES = {example.name: example for example in examples()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_runs(name: str) -> None:
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(EXAMPLES[name], out=said.append).failed == 0, "".join(said)


@pytest.mark.parametrize("module", MAIN)
def test_the_main_names_have_an_example(module: str) -> None:
    assert {f"{module}.{name}" for name in MAIN[module]} <= EXAMPLES.keys()
