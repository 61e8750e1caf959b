"""The modules give PyTorch's outputs and gradients, and have further options."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

import fastrnn.reference  # noqa: E402
import fastrnn.torch  # noqa: E402
from tests.torch.comparing import (  # noqa: E402
    UNSORTED,
    H,
    I,
    N,
    T,
    assert_same,
    draw_input,
    draw_states,
    feed,
    hx_of,
    make_pair,
    results_of,
)

every_cell = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
every_dtype = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64], ids=["float32", "float64"]
)


@pytest.mark.parametrize("kind", ["padded", "unbatched", "sorted", "unsorted"])
@pytest.mark.parametrize("stateful", [False, True], ids=["zeros", "states"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("batch_first", [False, True], ids=["T-N", "N-T"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layers", [1, 2])
@every_cell
def test_same_as_torch(
    cell: str,
    layers: int,
    directions: int,
    batch_first: bool,
    bias: bool,
    stateful: bool,
    kind: str,
) -> None:
    """Dropout is included: the same seed drops the same units."""
    theirs, ours = make_pair(
        cell,
        num_layers=layers,
        bidirectional=directions == 2,
        batch_first=batch_first,
        bias=bias,
        dropout=0.3 * (layers - 1),
        dtype=torch.float64,
    )
    x = draw_input(ours, kind)
    states = draw_states(ours, kind) if stateful else []

    def call(module: Any, x: Any, states: Any) -> Any:
        return module(feed(module, x, kind), hx_of(module, states))

    assert_same(results_of(ours, call, x, states), results_of(theirs, call, x, states))


@every_dtype
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_nonlinearity(nonlinearity: str, dtype: Any) -> None:
    theirs, ours = make_pair("rnn", nonlinearity=nonlinearity, dtype=dtype)
    x = draw_input(ours)

    def call(module: Any, x: Any, states: Any) -> Any:
        return module(x)

    assert_same(results_of(ours, call, x), results_of(theirs, call, x))


@every_cell
def test_constructor(cell: str) -> None:
    """A module made by us is PyTorch's with the same seed, and says so."""
    torch.manual_seed(3)
    ours = getattr(fastrnn.torch, cell.upper())(I, H, 2, dropout=0.5)
    torch.manual_seed(3)
    theirs = getattr(torch.nn, cell.upper())(I, H, 2, dropout=0.5)
    assert repr(ours) == repr(theirs)
    assert isinstance(ours, type(theirs))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert_same(list(ours.parameters()), list(theirs.parameters()))
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())


@every_cell
def test_arrays_that_are_not_contiguous(cell: str) -> None:
    theirs, ours = make_pair(cell, num_layers=2, dtype=torch.float64)
    x, states = draw_input(ours), draw_states(ours)

    def call(module: Any, x: Any, states: Any) -> Any:
        x = x.repeat_interleave(2, -1)[..., ::2]
        states = [s.repeat_interleave(2, 0)[::2] for s in states]
        return module(x, hx_of(module, states))

    assert_same(results_of(ours, call, x, states), results_of(theirs, call, x, states))


@pytest.mark.parametrize("batch_first", [False, True], ids=["T-N", "N-T"])
@pytest.mark.parametrize("directions", [1, 2])
@every_cell
def test_lengths(cell: str, directions: int, batch_first: bool) -> None:
    """The results are those of packing and padding again."""
    theirs, ours = make_pair(
        cell,
        num_layers=2,
        bidirectional=directions == 2,
        batch_first=batch_first,
        dtype=torch.float64,
    )
    x, states = draw_input(ours), draw_states(ours)

    def call(module: Any, x: Any, states: Any) -> Any:
        hx = hx_of(module, states)
        if module is ours:
            return module(x, hx, lengths=UNSORTED)
        packed = pack_padded_sequence(
            x, UNSORTED, batch_first=batch_first, enforce_sorted=False
        )
        y, final = module(packed, hx)
        return pad_packed_sequence(y, batch_first)[0], final

    expected = results_of(theirs, call, x, states)
    assert_same(results_of(ours, call, x, states), expected)


@pytest.mark.parametrize("batch_first", [False, True], ids=["T-N", "N-T"])
@every_cell
def test_resets(cell: str, batch_first: bool) -> None:
    """A reset at step 3 equals two calls, the second from zeros."""
    theirs, ours = make_pair(cell, batch_first=batch_first, dtype=torch.float64)
    time = 1 if batch_first else 0
    x, states = draw_input(ours), draw_states(ours)
    resets = torch.zeros(x.shape[:2], dtype=torch.bool)
    resets.select(time, 3)[:] = True

    def call(module: Any, x: Any, states: Any) -> Any:
        hx = hx_of(module, states)
        if module is ours:
            return module(x, hx, resets=resets)
        first, second = x.split([3, T - 3], time)
        y, _ = module(first, hx)
        y_2, final = module(second)
        return torch.cat([y, y_2], time), final

    expected = results_of(theirs, call, x, states)
    assert_same(results_of(ours, call, x, states), expected)


@every_cell
def test_resets_without_a_batch(cell: str) -> None:
    _, ours = make_pair(cell)
    x = draw_input(ours, "unbatched")
    resets = torch.arange(T) == 3
    y, _ = ours(x, resets=resets)
    expected, _ = ours(x[:, None], resets=resets[:, None])
    assert_same([y], [expected[:, 0]])


@pytest.mark.parametrize("directions", [1, 2])
def test_cells(directions: int) -> None:
    """The cell states are those of `torch.nn.LSTMCell`, with their gradients."""
    theirs, ours = make_pair("lstm", bidirectional=directions == 2, dtype=torch.float64)
    x, states = draw_input(ours), draw_states(ours)

    def call(module: Any, x: Any, states: Any) -> Any:
        if module is ours:
            return module(x, tuple(states), return_cells=True)
        y, cells, final = [], [], []
        for d in range(directions):
            weights = list(theirs.parameters())[4 * d : 4 * d + 4]
            h, c = (s[d] for s in states)
            steps: list[Any] = [None] * T
            for t in reversed(range(T)) if d else range(T):
                h, c = torch._VF.lstm_cell(x[t], (h, c), *weights)
                steps[t] = h, c
            final.append((h, c))
            y.append(torch.stack([h for h, _ in steps]))
            cells.append(torch.stack([c for _, c in steps]))
        h_n, c_n = (torch.stack(s) for s in zip(*final, strict=True))
        return torch.cat(y, -1), (h_n, c_n), torch.cat(cells, -1)

    expected = results_of(theirs, call, x, states)
    assert_same(results_of(ours, call, x, states), expected)


def test_cells_of_packed_rows() -> None:
    _, ours = make_pair("lstm", 5, 6, 2, dtype=torch.float64)
    x = draw_input(ours)
    packed = pack_padded_sequence(x, UNSORTED, enforce_sorted=False)
    _, _, cells = ours(packed, return_cells=True)
    _, _, expected = ours(x, lengths=UNSORTED, return_cells=True)
    assert_same([pad_packed_sequence(cells)[0]], [expected])


def test_cells_without_a_gradient() -> None:
    _, ours = make_pair("lstm")
    x = draw_input(ours)
    with torch.no_grad():
        y, (_, c_n), cells = ours(x, return_cells=True)
    assert cells.shape == y.shape
    assert torch.equal(cells[-1], c_n[0])


@every_cell
def test_zero_length_and_reference(cell: str) -> None:
    """Rows without a step keep their state; PyTorch cannot pack them."""
    _, ours = make_pair(cell, dtype=torch.float64)
    x, states = draw_input(ours), draw_states(ours)
    lengths = torch.tensor([0, 7, 2, 0])
    y, final = ours(x, hx_of(ours, states), lengths=lengths)
    weights = [a.detach().numpy() for a in ours.parameters()]
    initial = {f"{n}0": s[0].numpy() for n, s in zip("hc", states, strict=False)}
    forward = getattr(fastrnn.reference, f"{cell}_forward")
    expected_y, expected, _ = forward(
        x.numpy(), *weights, lengths=lengths.numpy(), **initial
    )
    np.testing.assert_allclose(y.detach(), expected_y, atol=1e-12)
    final = final if cell == "lstm" else (final,)
    expected = expected if cell == "lstm" else (expected,)
    for a, b in zip(final, expected, strict=True):
        np.testing.assert_allclose(a[0].detach(), b, atol=1e-12)


@every_cell
def test_same_bits_as_the_functions(cell: str) -> None:
    """The adapter adds nothing: float32 outputs are those of the bare functions."""
    _, ours = make_pair(cell)
    x = draw_input(ours)
    weights = [a.detach().numpy() for a in ours.parameters()]
    expected, *_ = getattr(fastrnn, f"{cell}_forward")(x.numpy(), *weights)
    y, _ = ours(x)
    assert np.array_equal(y.detach().numpy(), expected)


BAD_CALLS: dict[str, tuple[dict[str, Any], Any, type[Exception], str]] = {
    "lengths' range": (
        {"lengths": [1, 8, 1, 1]}, None, ValueError,
        r"lengths: length 8 at \[n=1\] is out of range 0 <= length <= T = 7",
    ),
    "lengths' shape": (
        {"lengths": torch.ones(3, dtype=torch.int64)}, None, ValueError,
        r"lengths: expected shape \(N,\) = \(4,\), got \(3,\)",
    ),
    "lengths' dtype": (
        {"lengths": torch.ones(4)}, None, TypeError,
        "lengths: expected an integer dtype, got torch.float32",
    ),
    "resets' shape": (
        {"resets": torch.ones(4, 7, dtype=torch.bool)}, None, ValueError,
        r"resets: expected the leading sizes of x, \(7, 4\), got shape \(4, 7\)",
    ),
    "resets' dtype": (
        {"resets": torch.ones(7, 4)}, None, TypeError,
        "resets: expected a bool or integer dtype, got torch.float32",
    ),
    "lengths, no batch": (
        {"lengths": [7]}, torch.randn(T, I), ValueError,
        "lengths: expected None for input without a batch",
    ),
    "lengths, packed": (
        {"lengths": [7, 7, 7, 7]},
        pack_padded_sequence(torch.randn(T, N, I), [7, 5, 5, 1]), TypeError,
        "lengths, resets: expected None with a PackedSequence",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_CALLS)
@every_cell
def test_bad_lengths_and_resets(cell: str, name: str) -> None:
    options, x, error, message = BAD_CALLS[name]
    _, ours = make_pair(cell)
    with pytest.raises(error, match=message):
        ours(torch.randn(T, N, I) if x is None else x, **options)


@every_cell
def test_bad_batch_sizes(cell: str) -> None:
    """Inconsistent sizes would be read beyond the data's end."""
    _, ours = make_pair(cell)
    packed = pack_padded_sequence(torch.randn(T, N, I), [7, 5, 5, 1])
    wrong = packed._replace(batch_sizes=torch.tensor([4, 4, 4, 4, 4, 4, 4]))
    with pytest.raises(
        ValueError, match="batch_sizes: expected positive, not increasing"
    ):
        ours(wrong)


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # PyTorch's own
def test_projections() -> None:
    """PyTorch's own code runs, and it has no lengths."""
    module = fastrnn.torch.LSTM(I, H, proj_size=3)
    theirs = torch.nn.LSTM(I, H, proj_size=3)
    theirs.load_state_dict(module.state_dict())
    x = torch.randn(T, N, I)
    assert_same([module(x)[0]], [theirs(x)[0]])
    with pytest.raises(ValueError, match="not served with proj_size=3"):
        module(torch.zeros(T, N, I), lengths=[1] * N)
