"""`accelerate` changes the speed and nothing else."""

import copy
import io
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.data import Dataset  # noqa: E402

import fastrnn  # noqa: E402
import fastrnn.torch  # noqa: E402
from tests.processes import run_program, run_python  # noqa: E402
from tests.threads import TASKS  # noqa: E402
from tests.torch.comparing import (  # noqa: E402
    H,
    I,
    N,
    T,
    assert_same,
    draw_input,
    flatten,
    make_pair,
    results_of,
)

every_cell = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])


class Mixed(nn.Module):
    """A model with every recurrent module, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(I, I), nn.GRU(I, H))
        self.again = self.encoder[1]
        self.rnn = nn.RNN(I, H)
        self.lstms = nn.ModuleList([nn.LSTM(I, H), nn.LSTM(I, H, proj_size=2)])
        self.cell = nn.LSTMCell(I, H)
        self.half = nn.GRU(I, H, dtype=torch.bfloat16)
        self.own = Own(I, H)
        self.orthogonal = nn.utils.parametrizations.orthogonal(
            nn.RNN(I, H), "weight_hh_l0"
        )


class Own(nn.LSTM):
    """A user's own class."""


LEFT = {
    "lstms.1": "proj_size=2",
    "cell": "a cell of one step; whole sequences are served",
    "half": "torch.bfloat16 on cpu; float32 and float64 on the CPU are served",
    "own": "a class of its own, Own",
    "orthogonal": "parametrised",
}


def test_what_is_replaced(caplog: Any) -> None:
    model = Mixed()
    kinds = [type(m) for m in model.modules()]
    before = fastrnn.torch.report(model)
    assert before.replaced == []
    assert before.left == LEFT | dict.fromkeys(
        ["encoder.1", "rnn", "lstms.0"], "accelerate was not called"
    )
    parameters = dict(model.named_parameters())
    with caplog.at_level(logging.INFO, "fastrnn.torch"):
        assert fastrnn.torch.accelerate(model) is model
    assert fastrnn.torch.report(model) == (["encoder.1", "rnn", "lstms.0"], LEFT)
    lines = [r.getMessage() for r in caplog.records]
    assert lines == [
        "encoder.1: replaced",
        "rnn: replaced",
        "lstms.0: replaced",
        *(f"{name}: left as it is: {why}" for name, why in LEFT.items()),
    ]
    assert model.again is model.encoder[1]
    after = dict(model.named_parameters())
    assert list(after) == list(parameters)
    assert all(after[name] is p for name, p in parameters.items())
    assert fastrnn.torch.restore(model) is model
    assert [type(m) for m in model.modules()] == kinds


def test_twice_is_once() -> None:
    model = fastrnn.torch.accelerate(fastrnn.torch.accelerate(nn.GRU(I, H)))
    assert type(model) is fastrnn.torch.GRU
    assert type(fastrnn.torch.restore(fastrnn.torch.restore(model))) is nn.GRU


@pytest.mark.parametrize("name", ["accelerate", "restore", "report"])
def test_not_a_module(name: str) -> None:
    with pytest.raises(TypeError, match=r"model: expected a torch.nn.Module, got type"):
        getattr(fastrnn.torch, name)(nn.LSTM)


@every_cell
def test_hooks_stay(cell: str) -> None:
    module = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell](I, H)
    seen: list[str] = []
    module.register_forward_pre_hook(lambda *a: seen.append("before"))
    module.register_forward_hook(lambda *a: seen.append("after"))
    module.register_full_backward_hook(lambda *a: seen.append("backward"))
    module.weight_hh_l0.register_hook(lambda g: seen.append("weight"))
    fastrnn.torch.accelerate(module)
    y, _ = module(draw_input(module).requires_grad_())
    y.sum().backward()
    assert sorted(seen) == ["after", "backward", "before", "weight"]
    assert seen[:2] == ["before", "after"]


@every_cell
def test_shared_weights_with_a_hook(cell: str) -> None:
    """Two modules that share a weight, whose gradient a hook doubles."""
    results = []
    for accelerated in (True, False):
        torch.manual_seed(0)
        kind = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell]
        pair = nn.ModuleList([kind(H, H, dtype=torch.float64) for _ in range(2)])
        pair[1].weight_hh_l0 = pair[0].weight_hh_l0
        pair[0].weight_hh_l0.register_hook(lambda g: 2 * g)
        if accelerated:
            fastrnn.torch.accelerate(pair)

        def call(pair: Any, x: Any, states: Any) -> Any:
            return pair[1](pair[0](x)[0])

        x = torch.randn(T, N, H, dtype=torch.float64)
        results.append(results_of(pair, call, x))
    assert_same(*results)


@every_cell
def test_an_optimizer_goes_on(cell: str) -> None:
    """Adam's state survives accelerating and restoring in the middle of training."""
    theirs, ours = make_pair(cell, dtype=torch.float64)
    fastrnn.torch.restore(ours)
    optimizers = [torch.optim.Adam(m.parameters(), 0.01) for m in (ours, theirs)]
    for step in range(9):
        if step % 3 == 0:
            (fastrnn.torch.accelerate if step % 2 else fastrnn.torch.restore)(ours)
        torch.manual_seed(step)
        x = torch.randn(T, N, I, dtype=torch.float64)
        for module, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            module(x)[0].square().mean().backward()
            optimizer.step()
    assert_same(list(ours.parameters()), list(theirs.parameters()))


@every_cell
def test_copies(cell: str) -> None:
    _, ours = make_pair(cell, num_layers=2)
    x = draw_input(ours)
    expected = flatten(ours(x))
    file = io.BytesIO()
    torch.save(ours, file)
    file.seek(0)
    copies = [
        copy.deepcopy(ours),
        pickle.loads(pickle.dumps(ours)),
        torch.load(file, weights_only=False),
    ]
    for one in copies:
        assert type(one) is type(ours)
        for a, b in zip(flatten(one(x)), expected, strict=True):
            assert torch.equal(a, b)
        assert one.weight_hh_l0 is not ours.weight_hh_l0


@every_cell
def test_state_dicts_both_ways(cell: str, tmp_path: Path) -> None:
    theirs, ours = make_pair(cell, num_layers=2, dtype=torch.float64)
    x = draw_input(ours)
    torch.save(ours.state_dict(), tmp_path / "ours.pt")
    with torch.no_grad():
        for p in ours.parameters():
            p.mul_(2)
    torch.save(ours.state_dict(), tmp_path / "twice.pt")
    theirs.load_state_dict(torch.load(tmp_path / "twice.pt"))
    assert_same(flatten(ours(x)), flatten(theirs(x)))
    ours.load_state_dict(torch.load(tmp_path / "ours.pt"), assign=True)
    theirs.load_state_dict(torch.load(tmp_path / "ours.pt"))
    assert_same(flatten(ours(x)), flatten(theirs(x)))


def test_to_another_dtype() -> None:
    theirs, ours = make_pair("gru")
    theirs.double()
    ours.double()
    x = draw_input(ours)
    y, _ = ours(x)
    assert y.dtype == torch.float64
    assert type(y.grad_fn).__name__ == "LayerBackward"
    assert_same([y], [theirs(x)[0]])


class Rows(Dataset):
    """Return the result of a worker with an accelerated module of its own."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __len__(self) -> int:
        return 8

    def __getitem__(self, at: int) -> Any:
        x = torch.full((200, 32, I), at / 8)
        y, _ = self.module(x, lengths=[200] * 32)
        y.sum().backward()
        return y[:, 0].detach()


FORKED = """
import torch, fastrnn.torch
from torch.utils.data import DataLoader
from tests.torch.test_accelerate import Rows
torch.set_num_threads(2)
torch.manual_seed(0)
module = fastrnn.torch.LSTM(5, 64)
rows = Rows(module)
expected = torch.stack([rows[i] for i in range(8)])
loader = DataLoader(rows, batch_size=2, num_workers=2, multiprocessing_context="fork")
got = torch.cat(list(loader))
assert torch.equal(got, expected)
print(len(got))
"""


def test_forked_workers(monkeypatch: Any) -> None:
    """Fork workers from a process that has used its threads, in a fresh process."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=":")
    assert run_program(FORKED, timeout=120) == "8"


def test_threads_are_torchs(monkeypatch: Any) -> None:
    """The kernels use as many as `torch.set_num_threads` says, whatever fastrnn has."""
    from fastrnn import _core

    used = []

    def watch(function: Any) -> Any:
        def call(sequence: Any, *others: Any, **named: Any) -> Any:
            used.append(sequence[-1])
            return function(sequence, *others, **named)

        return call

    for name in ("forward", "backward"):
        monkeypatch.setattr(_core, name, watch(getattr(_core, name)))
    module = fastrnn.torch.GRU(I, H)
    before, ours = torch.get_num_threads(), fastrnn.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            module(draw_input(module))[0].sum().backward()
    finally:
        torch.set_num_threads(before)
    assert used == [1, 1, 2, 2, 3, 3]
    assert fastrnn.get_num_threads() == ours


SHARED = """
import numpy as np, fastrnn
from tests.threads import list_threads
fastrnn.set_num_threads(2)
import torch, fastrnn.torch
from fastrnn.torch import _threads
assert _threads.share_threads()
torch.set_num_threads(2)
before = list_threads()
module = fastrnn.torch.GRU(64, 64)
y, _ = module(torch.randn(100, 64, 64))
y.sum().backward()
(torch.randn(2000, 2000) @ torch.randn(2000, 2000)).relu_()
print(len(list_threads() - before))
"""


@pytest.mark.skipif(not TASKS.exists(), reason="threads cannot be listed")
def test_one_pool_of_threads(monkeypatch: Any) -> None:
    """Kernels and PyTorch's operations take turns on the same threads.

    Autograd starts one more.
    """
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=":")
    assert run_program(SHARED) in ("1", "2")


def test_no_pool_to_share() -> None:
    assert not fastrnn._core.use_openmp_of("/nowhere/libtorch_cpu.so")


def test_import_of_fastrnn_is_without_torch() -> None:
    program = "import sys, fastrnn; print('torch' in sys.modules)"
    assert run_program(program) == "False"


def test_import_without_torch() -> None:
    program = "import sys; sys.modules['torch'] = None; import fastrnn.torch"
    done = run_python("-c", program)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "ModuleNotFoundError: fastrnn.torch needs PyTorch: pip install 'fastrnn[torch]'"
    )


def test_import_is_without_dynamo() -> None:
    """Modules that only ``torch.compile`` needs take seconds to load."""
    program = "import sys, fastrnn.torch; print('torch._dynamo' in sys.modules)"
    assert run_program(program) == "False"
