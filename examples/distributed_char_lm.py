r"""Train a character model on several processes or machines, by PyTorch's own means.

    torchrun --nproc_per_node 2 examples/distributed_char_lm.py
    torchrun --nproc_per_node 2 examples/distributed_char_lm.py --text book.txt

Each process reads its share of the rows of every batch; `DistributedDataParallel`
averages the gradients over Gloo. The net is plain PyTorch with one line of fastrnn, see
`_torch_char_lm.py`. Without torchrun, one process reads the whole batch, and its losses
are the same up to rounding.

On several machines: the same command on each, with the address of the first:

    torchrun --nnodes 4 --nproc_per_node 1 --rdzv_endpoint FIRST:29500 \
        --rdzv_backend c10d examples/distributed_char_lm.py
"""

from __future__ import annotations

import sys

import _readers as read
from _errors import require, run
from _settings import SEED, Parser, Setting, settle

SETTINGS = [
    Setting("hidden", 256, "hidden units", read.units),
    Setting("layers", 1, "recurrent layers", read.layers),
    Setting("batch", 32, "rows, of all processes together", read.rows),
    Setting("seq", 64, "characters per row and step", read.rows),
    Setting("lr", 5e-3, "Adam's learning rate", read.rate),
    Setting("clip", 1.0, "largest norm of the gradient", read.norm),
    SEED,
    Setting("text", "", "UTF-8 file; '' is Python's own reference"),
    Setting("steps", 1000, "steps of training", read.steps),
    Setting("every", 50, "print the loss every so many steps", read.steps),
    Setting(
        "threads", 0, "per process; 0 shares the cores evenly",
        read.number(int, 0, 256),
    ),
]  # fmt: skip


def main() -> int:
    """Read the command line, then train with PyTorch."""
    options = Parser(__doc__, SETTINGS).parse_args()
    options.__dict__ |= settle(SETTINGS, options)
    require("torch")
    from _torch_char_lm import join_and_train

    join_and_train(options)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
