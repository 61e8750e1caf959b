"""A character model in PyTorch with one line of fastrnn, and its training.

`distributed_char_lm.py` is the program; this part needs PyTorch.
"""

from __future__ import annotations

import argparse
import os
from itertools import cycle, islice
from typing import Any

import torch
from _errors import UserError
from _files import read_text
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

import fastrnn.torch
from fastrnn.data import stream_batches
from fastrnn.text import Vocabulary

State = tuple[Tensor, Tensor]


class CharacterModel(nn.Module):
    """Characters in, logits of the next ones out."""

    def __init__(self, characters: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers)
        self.out = nn.Linear(hidden, characters)

    def forward(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return logits [T, N, characters] and the final state."""
        y, state = self.lstm(self.embedding(tokens), state)
        return self.out(y), state


def make_batches(o: argparse.Namespace) -> tuple[list[tuple[Tensor, Tensor]], int]:
    """Return inputs and targets [T, N] of one pass, and the number of characters."""
    text = read_text(o.text)
    if len(text) <= o.batch:
        raise UserError(
            f"--text: expected more than --batch {o.batch} characters, got {len(text)}"
        )
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    whole = (len(ids) - 1) // o.batch * o.batch  # rows of equal length
    batches = stream_batches(ids[: whole + 1], o.batch, o.seq)
    tensors = [(torch.tensor(x), torch.tensor(t).long()) for x, t in batches]
    return tensors, len(vocabulary)


def train(o: argparse.Namespace, rank: int, size: int) -> None:
    """Train on this process's rows of every batch."""
    if o.batch % size:
        raise UserError(
            f"--batch: expected a multiple of {size}, the processes, got {o.batch}"
        )
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(o.threads or max(1, fastrnn.get_num_threads() // here))
    batches, characters = make_batches(o)
    rows = slice(rank * o.batch // size, (rank + 1) * o.batch // size)

    torch.manual_seed(o.seed)  # the same weights everywhere
    model: Any = CharacterModel(characters, o.hidden, o.layers)
    fastrnn.torch.accelerate(model)  # the one line
    if size > 1:
        model = DistributedDataParallel(model)
    adam = torch.optim.Adam(model.parameters(), o.lr)
    state: State | None = None
    for step, (x, target) in enumerate(islice(cycle(batches), o.steps), 1):
        if (step - 1) % len(batches) == 0:
            state = None  # the text begins again
        logits, (h, c) = model(x[:, rows], state)
        state = h.detach(), c.detach()
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), target[:, rows].flatten()
        )
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), o.clip)
        adam.step()
        if step % o.every == 0 or step == o.steps:
            mean = loss.detach()
            if size > 1:
                distributed.all_reduce(mean)
            if rank == 0:
                print(f"step {step:5d}  loss {mean.item() / size:.6f}")


def join_and_train(options: argparse.Namespace) -> None:
    """Join the other processes, if torchrun started several, and train."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        train(options, 0, 1)
        return
    distributed.init_process_group("gloo")
    try:
        train(options, distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
