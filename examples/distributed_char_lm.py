r"""Train a character model on several processes or machines, by PyTorch's own means.

    torchrun --nproc_per_node 2 examples/distributed_char_lm.py
    torchrun --nproc_per_node 2 examples/distributed_char_lm.py --text book.txt

Each process reads its share of the rows of every batch; `DistributedDataParallel`
averages the gradients over Gloo. The network is plain PyTorch with one line of fastrnn.
Without torchrun it is one process that reads the whole batch, and its losses are the
same but for rounding.

On many machines: the same command on each of them, with the address of the first:

    torchrun --nnodes 4 --nproc_per_node 1 --rdzv_endpoint FIRST:29500 \
        --rdzv_backend c10d examples/distributed_char_lm.py
"""

from __future__ import annotations

import argparse
import os
from itertools import cycle, islice
from typing import Any

import torch
from _common import UserError, read_text, run
from _settings import Setting, add_settings, number, settle
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

import fastrnn.torch
from fastrnn.data import stream_batches
from fastrnn.text import Vocabulary

SETTINGS = [
    Setting("hidden", 256, "hidden units", number(int, 1)),
    Setting("layers", 1, "recurrent layers", number(int, 1)),
    Setting("batch", 32, "rows, those of all processes together", number(int, 1)),
    Setting("seq", 64, "characters of a row a step", number(int, 1)),
    Setting("lr", 5e-3, "Adam's learning rate", number(float, 1e-9, 10)),
    Setting("clip", 1.0, "largest norm of the gradient", number(float, 1e-9)),
    Setting("seed", 0, "of the weights", number(int, 0)),
    Setting("text", "", "UTF-8 file; '' is Python's own reference"),
    Setting("steps", 1000, "stop after so many", number(int, 1)),
    Setting("every", 50, "print the loss so often", number(int, 1)),
    Setting("threads", 0, "of a process; 0 shares the cores evenly", number(int, 0)),
]

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
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    whole = (len(ids) - 1) // o.batch * o.batch  # so that every row is as long
    if whole == 0:
        raise UserError(f"--batch {o.batch}: the text has {len(ids)} characters only")
    batches = stream_batches(ids[: whole + 1], o.batch, o.seq)
    tensors = [(torch.tensor(x), torch.tensor(t).long()) for x, t in batches]
    return tensors, len(vocabulary)


def train(o: argparse.Namespace, rank: int, size: int) -> None:
    """Train on this process's rows of every batch."""
    if o.batch % size:
        raise UserError(f"--batch {o.batch}: expected a multiple of {size} processes")
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
            state = None  # the text begins anew
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


def main() -> int:
    """Join the other processes, if torchrun started several."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_settings(parser, SETTINGS)
    options = argparse.Namespace(**settle(SETTINGS, parser.parse_args()))
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        train(options, 0, 1)
        return 0
    distributed.init_process_group("gloo")
    try:
        train(options, distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
