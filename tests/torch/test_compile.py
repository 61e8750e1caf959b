"""``torch.compile`` and ``torch.export`` take a layer and direction as one operator."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import fastrnn.torch  # noqa: E402
from tests.torch.comparing import (  # noqa: E402
    UNSORTED,
    I,
    N,
    T,
    assert_same,
    draw_input,
    draw_states,
    flatten,
    hx_of,
    make_pair,
    results_of,
)

# PyTorch's own, when it loads its compiler.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

every_cell = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch.compiler.reset()


def count_operators(graphs: list[Any], name: str) -> int:
    return sum(name in str(node.target) for g in graphs for node in g.graph.nodes)


def recorder(graphs: list[Any]) -> Any:
    """A compiler that keeps the graphs and runs them as they are."""
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    def keep(graph: Any, example_inputs: Any) -> Any:
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    return aot_autograd(fw_compiler=keep, bw_compiler=keep)


class Net(torch.nn.Module):
    """An accelerated module among others."""

    def __init__(self, recurrent: Any) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.head = torch.nn.Linear(recurrent.hidden_size, 3).to(
            recurrent.weight_ih_l0.dtype
        )

    def forward(self, x: Any, hx: Any = None) -> Any:
        """Return logits and final states."""
        y, final = self.recurrent(torch.tanh(x), hx)
        return self.head(y), final


@pytest.mark.parametrize("batch_first", [False, True], ids=["T-N", "N-T"])
@every_cell
def test_training(cell: str, batch_first: bool) -> None:
    """One graph forward and one backward, in each of them our operators."""
    theirs, ours = make_pair(
        cell, num_layers=2, batch_first=batch_first, dtype=torch.float64
    )
    torch.manual_seed(5)
    theirs = Net(theirs)
    ours = Net(ours)
    ours.load_state_dict(theirs.state_dict())
    graphs: list[Any] = []
    compiled = torch.compile(ours, fullgraph=True, backend=recorder(graphs))

    def call(module: Any, x: Any, states: Any) -> Any:
        run = compiled if module is ours else theirs
        return run(x, hx_of(ours.recurrent, states))

    x, states = draw_input(ours.recurrent), draw_states(ours.recurrent)
    states = [torch.cat([s, s.neg()])[:2] for s in states]
    assert_same(results_of(ours, call, x, states), results_of(theirs, call, x, states))
    assert len(graphs) == 2
    assert count_operators(graphs[:1], "fastrnn.layer.default") == 2
    assert count_operators(graphs[1:], "fastrnn.layer_backward.default") == 2


@every_cell
def test_inference(cell: str) -> None:
    theirs, ours = make_pair(cell, bidirectional=True)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    x = draw_input(ours)
    with torch.no_grad():
        assert_same(flatten(compiled(x)), flatten(theirs(x)))


def test_lengths_resets_and_cells() -> None:
    _, ours = make_pair("lstm", num_layers=2, dtype=torch.float64)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    resets = torch.rand(T, N) < 0.3

    def call(module: Any, x: Any, states: Any) -> Any:
        return module(x, lengths=UNSORTED, resets=resets, return_cells=True)

    x = draw_input(ours)
    assert_same(results_of(compiled, call, x), results_of(ours, call, x))


def test_changing_sizes() -> None:
    """A varying length does not recompile each time."""
    _, ours = make_pair("gru")
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager", dynamic=True)
    with torch.no_grad():
        for T_now in (3, 8, 20):
            x = torch.randn(T_now, N, I)
            assert_same(flatten(compiled(x)), flatten(ours(x)))


@pytest.mark.slow
def test_inductor() -> None:
    """PyTorch's own compiler, with a C++ compiler behind it."""
    theirs, ours = make_pair("gru", dtype=torch.float64)
    theirs, ours = Net(theirs), Net(ours)
    ours.load_state_dict(theirs.state_dict())
    compiled = torch.compile(ours, fullgraph=True)

    def call(module: Any, x: Any, states: Any) -> Any:
        return (compiled if module is ours else theirs)(x)

    x = draw_input(ours.recurrent)
    assert_same(results_of(ours, call, x), results_of(theirs, call, x))


def test_torchs_own_modules_are_refused_as_before() -> None:
    """Dynamo lets ours through and treats PyTorch's modules as before."""
    from torch._dynamo import config
    from torch._dynamo.exc import Unsupported

    theirs, ours = make_pair("gru")
    torch.compile(ours, fullgraph=True, backend="eager")(draw_input(ours))
    assert not config.allow_rnn
    with pytest.raises(Unsupported, match="Dynamo does not support RNN, GRU, or LSTM"):
        torch.compile(theirs, fullgraph=True, backend="eager")(draw_input(ours))


@pytest.mark.parametrize("strict", [False, True])
@every_cell
def test_export(cell: str, strict: bool) -> None:
    """The program holds our operator, and gradients pass through it."""
    theirs, ours = make_pair(cell, num_layers=2, dtype=torch.float64)
    ours.eval()
    theirs.eval()
    x = draw_input(ours)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(
        ours, (x,), dynamic_shapes={"input": {1: batch}}, strict=strict
    )
    assert count_operators([program.graph_module], "fastrnn.layer.default") == 2
    module = program.module()
    wide = torch.cat([x, x.neg()], 1)
    assert_same(flatten(module(wide)), flatten(theirs(wide)))
    x.requires_grad_()
    got = torch.autograd.grad(module(x)[0].square().sum(), x)
    assert_same(list(got), list(torch.autograd.grad(theirs(x)[0].square().sum(), x)))


def test_export_of_lengths() -> None:
    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = fastrnn.torch.GRU(I, 6, batch_first=True)

        def forward(self, x: Any, lengths: Any) -> Any:
            return self.gru(x, lengths=lengths)

    module = Masked()
    x = torch.randn(N, T, I)
    program = torch.export.export(module, (x, UNSORTED))
    other = UNSORTED.flip(0)
    assert_same(flatten(program.module()(x, other)), flatten(module(x, other)))
