"""The public callables of `fastrnn.keras`, where Keras runs on PyTorch."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras

import fastrnn.keras
from tests.fuzz.public import Good, H, good


@good("keras.accelerate", "keras.restore")
def for_all_layers(name: str) -> Good:
    return Good(getattr(fastrnn.keras, name.partition(".")[2]), {})


@good("keras.report")
def report(_: str) -> Good:
    model = keras.Sequential([keras.layers.LSTM(H), keras.layers.Dense(2)])
    return Good(fastrnn.keras.report, {"model": model})


def public_names() -> Iterator[str]:
    for name in fastrnn.keras.__all__:
        if not inspect.isclass(getattr(fastrnn.keras, name)):
            yield f"keras.{name}"
