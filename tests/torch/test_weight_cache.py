"""Packed weights that are kept between calls of a module in eval mode."""

from __future__ import annotations

import copy
import gc
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.func import functional_call  # noqa: E402

import fastrnn.torch  # noqa: E402
from fastrnn.torch import _weight_cache  # noqa: E402
from tests.implementations import every_isa, using  # noqa: E402
from tests.torch.comparing import CELLS, draw_input, flatten, make_pair  # noqa: E402

every_cell = pytest.mark.parametrize("cell", CELLS)


def kept(module: Any) -> dict[int, Any]:
    """Return the packed weights kept for a module, empty if there are none."""
    return dict(_weight_cache._caches.get(module, {}))


def call(module: Any, x: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return flatten(module(x))


def assert_fresh(module: Any, x: torch.Tensor) -> None:
    """The module returns the bits of a copy that has never run before."""
    fresh = copy.deepcopy(module)
    assert not kept(fresh)
    for a, b in zip(call(module, x), call(fresh, x), strict=True):
        assert torch.equal(a, b)


def step(module: Any) -> None:
    sgd = torch.optim.SGD(module.parameters(), lr=0.1)
    sum(p.sum() for p in module.parameters()).backward()
    sgd.step()


def load(module: Any) -> None:
    state = {k: a + 1e-3 for k, a in module.state_dict().items()}
    module.load_state_dict(state)


def write_data(module: Any) -> None:
    list(module.parameters())[-1].data[-1] += 1e-3  # no version counts this


def write_array(module: Any) -> None:
    module.weight_hh_l0.detach().numpy()[0, 0] *= -1


def replace(module: Any) -> None:
    module.weight_ih_l0 = nn.Parameter(module.weight_ih_l0 * 2)


def move(module: Any) -> None:
    module.weight_ih_l0.data = module.weight_ih_l0.data.t().contiguous().t()
    module.double().float()


def negate(module: Any) -> None:
    """Signs alone, in pairs."""
    module.weight_hh_l0.data.neg_()


CHANGES: list[Callable[[Any], None]] = [
    step, load, write_data, write_array, replace, move, negate,
]  # fmt: skip


@every_cell
@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_every_change_is_seen(cell: str, change: Callable[[Any], None]) -> None:
    _, module = make_pair(cell, num_layers=2, bidirectional=True)
    module.eval()
    x = draw_input(module)
    call(module, x)
    before = kept(module)
    assert list(before) == [0, 1, 2, 3]
    call(module, x)
    assert kept(module) == before
    change(module)
    assert_fresh(module, x)


@every_isa
@every_cell
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_same_as_torch(cell: str, dtype: Any, bias: bool, isa: str) -> None:
    theirs, module = make_pair(cell, bias=bias)
    module.to(dtype).eval()
    x = draw_input(module)
    with using(isa):
        first, second = call(module, x), call(module, x)
        assert_fresh(module, x)
    assert list(kept(module)) == [0]
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for a, b, c in zip(first, second, call(theirs.to(dtype), x), strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c, atol=tolerance, rtol=0)


@every_cell
def test_large_weights_on_threads(cell: str) -> None:
    """Digests of more than 4 MiB are shared among threads."""
    module = getattr(fastrnn.torch, cell.upper())(1100, 1100).eval()
    x = torch.randn(1, 1, 1100)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        call(module, x)
        was = kept(module)
        call(module, x)
        assert kept(module) == was
        module.weight_hh_l0.data[-1, -1] += 1
        assert_fresh(module, x)
        assert kept(module) != was
    finally:
        torch.set_num_threads(before)


def test_other_weights_of_a_functional_call() -> None:
    _, module = make_pair("lstm")
    module.eval()
    x = draw_input(module)
    own = call(module, x)
    others = {k: a.detach() * 2 for k, a in module.named_parameters()}
    with torch.no_grad():
        got = flatten(functional_call(module, others, (x,)))
    changed = copy.deepcopy(module)
    changed.load_state_dict(others)
    assert all(map(torch.equal, got, call(changed, x)))
    assert all(map(torch.equal, own, call(module, x)))


def test_copies_and_files_do_not_carry_it() -> None:
    _, module = make_pair("gru")
    module.eval()
    x = draw_input(module)

    def save() -> bytes:
        file = io.BytesIO()
        torch.save(module, file)
        return file.getvalue()

    bare = pickle.dumps(module), save()
    call(module, x)
    assert kept(module)
    assert (pickle.dumps(module), save()) == bare
    assert not kept(copy.deepcopy(module))
    assert not kept(pickle.loads(bare[0]))


def test_memory_is_given_back() -> None:
    _, module = make_pair("rnn")
    x = draw_input(module)
    for end in (nn.Module.train, fastrnn.torch.restore):
        model = fastrnn.torch.accelerate(nn.Sequential(module).eval())
        call(module, x)
        assert kept(module)
        end(model)
        assert not kept(module)
    fastrnn.torch.accelerate(module)
    call(module.eval(), x)
    count = len(_weight_cache._caches)
    del model, module
    gc.collect()
    assert len(_weight_cache._caches) < count


def test_kept_only_where_it_pays() -> None:
    _, module = make_pair("lstm")
    x = draw_input(module)
    call(module, x)  # in training mode
    assert not kept(module)
    module.eval()
    module(x)[0].sum().backward()  # with gradients
    assert not kept(module)
    call(module, torch.randn(_weight_cache.MOST_POSITIONS, 2, module.input_size))
    assert not kept(module)
    for p in module.parameters():
        p.requires_grad_(False)
    module(x)  # frozen: no gradients though they are enabled
    assert kept(module)
