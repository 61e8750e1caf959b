"""The functions of `fastrnn.jax`, with arguments that are good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp

import fastrnn.jax
from tests.fuzz.public import LENGTHS, RESETS, Good, good, sequence_arguments

CELLS = ("rnn", "gru", "lstm")
LEFT_OUT = ("embedding", "training", "recurrent_mask", "zoneout")


@good(*(f"jax.{cell}" for cell in CELLS))
def call(name: str) -> Good:
    cell = name.partition(".")[2]
    arguments: dict[str, Any] = sequence_arguments(cell, own=cell == "rnn")
    for left_out in LEFT_OUT:
        del arguments[left_out]
    for array in ("x", "w_ih", "w_hh", "b_ih", "b_hh", "h0", "c0"):
        if array in arguments:
            arguments[array] = jnp.array(arguments[array])
    arguments |= {"lengths": LENGTHS, "resets": RESETS}
    return Good(getattr(fastrnn.jax, cell), arguments)


def public_names() -> Iterator[str]:
    for name in fastrnn.jax.__all__:
        yield f"jax.{name}"
